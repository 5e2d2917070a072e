// Weighted sums of rows, the second half of attention, for any instruction set (`Isa`: vec_avx2.h, vec_avx512.h). Each
// sum is one chain of fused multiply-adds over the rows in order, whatever shares the call.
#pragma once

#include "kernels/kernels.h"

namespace lancet {
namespace {

/// Q queries from `query` on, V whole vectors of columns from `col` on: the sums stay in registers.
template <class Isa, int Q, int V>
void sum_columns(const WeightedRows& call, int query, int col) {
  typename Isa::Vec sums[Q][V];
  float* out = call.sums + int64_t{query} * call.width + col;
#pragma GCC unroll 4
  for (int q = 0; q < Q; q++) {
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) sums[q][v] = Isa::load(out + q * call.width + v * Isa::kWidth);
  }
  const float* weights = call.weights + query * call.weight_stride;
  for (int row = 0; row < call.row_count; row++) {
    const float* values = call.rows + int64_t{row} * call.width + col;
    typename Isa::Vec vectors[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) vectors[v] = Isa::load(values + v * Isa::kWidth);
#pragma GCC unroll 4
    for (int q = 0; q < Q; q++) {
      const auto weight = Isa::set(weights[q * call.weight_stride + row]);
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) sums[q][v] = Isa::fma(weight, vectors[v], sums[q][v]);
    }
  }
#pragma GCC unroll 4
  for (int q = 0; q < Q; q++) {
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) Isa::store(out + q * call.width + v * Isa::kWidth, sums[q][v]);
  }
}

/// The last columns, fewer than a vector.
template <class Isa>
void sum_last_columns(const WeightedRows& call, int query, int col) {
  const int count = call.width - col;
  float* out = call.sums + int64_t{query} * call.width + col;
  auto sum = Isa::load_part(out, count);
  for (int row = 0; row < call.row_count; row++) {
    const auto weight = Isa::set(call.weights[query * call.weight_stride + row]);
    sum = Isa::fma(weight, Isa::load_part(call.rows + int64_t{row} * call.width + col, count), sum);
  }
  Isa::store_part(out, sum, count);
}

template <class Isa, int Q>
void sum_queries(const WeightedRows& call, int query) {
  constexpr int kVectors = Isa::kWidth == 16 ? 4 : 2;  // 4 queries: 16 of 32 registers, or 8 of 16
  int col = 0;
  for (; col + kVectors * Isa::kWidth <= call.width; col += kVectors * Isa::kWidth) {
    sum_columns<Isa, Q, kVectors>(call, query, col);
  }
  for (; col + Isa::kWidth <= call.width; col += Isa::kWidth) sum_columns<Isa, Q, 1>(call, query, col);
  if (col < call.width) {
    for (int q = 0; q < Q; q++) sum_last_columns<Isa>(call, query + q, col);
  }
}

template <class Isa>
void weighted_sum(const WeightedRows& call) {
  int query = 0;
  for (; query + 4 <= call.queries; query += 4) sum_queries<Isa, 4>(call, query);
  switch (call.queries - query) {
    case 3: return sum_queries<Isa, 3>(call, query);
    case 2: return sum_queries<Isa, 2>(call, query);
    case 1: return sum_queries<Isa, 1>(call, query);
    default: return;
  }
}

template <class Isa>
float maximum(const float* x, int count) {
  auto best = Isa::set(-__builtin_inff());
  int i = 0;
  // The second operand wins if the first is NaN.
  for (; i + Isa::kWidth <= count; i += Isa::kWidth) best = Isa::max(Isa::load(x + i), best);
  alignas(64) float lanes[Isa::kWidth];
  Isa::store(lanes, best);
  for (int half = Isa::kWidth / 2; half > 0; half /= 2) {
    for (int lane = 0; lane < half; lane++)
      lanes[lane] = lanes[lane + half] > lanes[lane] ? lanes[lane + half] : lanes[lane];
  }
  float result = lanes[0];
  for (; i < count; i++) result = x[i] > result ? x[i] : result;
  return result;
}

}  // namespace
}  // namespace lancet
