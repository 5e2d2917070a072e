// Panel products with f32 activations on AVX-512: weights decoded to f32, exactly; a lane is a row, a token's
// activation is broadcast from memory, and every sum is one chain of fused multiply-adds over the columns in order.
// Few tokens are multiplied as the weights are decoded, in registers, several panels together so that their sums do not
// wait for each other. For many tokens a slice of the panel is decoded once into a scratch that stays in the level-1
// cache, and every group of a chunk of tokens reads it there. A sum continues from slice to slice in memory, so slices
// do not change it. Included by avx512_float.cpp only.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <array>

#include "kernels/panel_product_avx512.h"
#include "kernels/vec_avx512.h"

namespace lancet {
namespace {

constexpr int kSliceCols = 256;     // 16 KB of f32: a third of a level-1 cache
constexpr int kBlockCols = 1536;    // with kChunkTokens, activations that stay in a level-2 cache with the weights
constexpr int kChunkTokens = 144;   // whole groups
constexpr int kDecodedTokens = 24;  // from so many tokens on decoding once is worth the detour

// How a stretch is decoded: cols[c] has column c.

struct FmaF16 {
  static constexpr Format kFormat = Format::f16;
  void decode(const std::byte* at, __m512 (&cols)[1]) const {
    cols[0] = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
  }
};

struct FmaBf16 {
  static constexpr Format kFormat = Format::bf16;
  void decode(const std::byte* at, __m512 (&cols)[4]) const {
    split_pairs(_mm512_loadu_si512(at), cols[0], cols[1]);
    split_pairs(_mm512_loadu_si512(at + 64), cols[2], cols[3]);
  }
};

struct FmaF8 {
  static constexpr Format kFormat = Format::f8_e4m3;
  E4m3Decoder decoder;
  void decode(const std::byte* at, __m512 (&cols)[4]) const {
    __m512i pairs[2];
    decoder.decode(_mm512_loadu_si512(at), pairs);
    split_pairs(pairs[0], cols[0], cols[1]);
    split_pairs(pairs[1], cols[2], cols[3]);
  }
};

template <class Read>
struct FmaPanels {
  static constexpr Format kFormat = Read::kFormat;
  static constexpr int kGroup = 12;
  static constexpr int kCols = panel_stretch(kFormat).cols, kStretchBytes = panel_stretch(kFormat).bytes;
  static constexpr int panels_together(int tokens) { return tokens == 1 ? 4 : tokens <= 5 ? 2 : 1; }

  template <int T, int P>
  static void run(const PanelGroup& group);
  template <int T, int P>
  static void add_stretch(const Read& read, const PanelGroup& group, int stretch, int cols, __m512 (&totals)[P][T]);
  static void prefetch_stretch(const std::byte* at) { prefetch(at + prefetch_bytes(kFormat), kStretchBytes, false); }

  /// Columns of one panel and one group of tokens: from a decoded slice.
  struct Part {
    const float *weights, *values;
    int cols;
    bool first;  // of the columns: sums begin with 0
    float* out;
    int64_t out_stride;
    uint16_t lanes;
  };
  template <int T>
  static void run_part(const Part& part);
  static void decode_slice(const std::byte* from, int stretches, bool prefetch, float* to);
  static void run_block(const PanelProduct& job, TokenGroup chunk, int first_col, float* slice);
  static void product(const PanelProduct& job);
};

/// `cols` columns of a stretch of each panel.
template <class Read>
template <int T, int P>
inline void FmaPanels<Read>::add_stretch(const Read& read, const PanelGroup& group, int stretch, int cols,
                                         __m512 (&totals)[P][T]) {
  const auto* values = reinterpret_cast<const float*>(group.values) + int64_t{stretch} * kCols * T;
#pragma GCC unroll 4
  for (int p = 0; p < P; p++) {
    const std::byte* weights = group.panels + p * group.panel_bytes + int64_t{stretch} * kStretchBytes;
    if (group.prefetch) prefetch_stretch(weights);
    __m512 decoded[kCols];
    read.decode(weights, decoded);
#pragma GCC unroll 4
    for (int c = 0; c < kCols; c++) {
      if (c >= cols) break;
#pragma GCC unroll 16
      for (int t = 0; t < T; t++) {
        totals[p][t] = _mm512_fmadd_ps(decoded[c], _mm512_set1_ps(values[c * T + t]), totals[p][t]);
      }
    }
  }
}

template <class Read>
template <int T, int P>
void FmaPanels<Read>::run(const PanelGroup& group) {
  const Read read;
  __m512 totals[P][T];
#pragma GCC unroll 4
  for (int p = 0; p < P; p++) {
#pragma GCC unroll 16
    for (int t = 0; t < T; t++) totals[p][t] = _mm512_setzero_ps();
  }
  const int whole = group.cols / kCols, rest = group.cols % kCols;
  for (int stretch = 0; stretch < whole; stretch++) add_stretch<T, P>(read, group, stretch, kCols, totals);
  if (rest > 0) add_stretch<T, P>(read, group, whole, rest, totals);
#pragma GCC unroll 4
  for (int p = 0; p < P; p++) {
#pragma GCC unroll 16
    for (int t = 0; t < T; t++) {
      _mm512_mask_storeu_ps(group.out + t * group.out_stride + p * kPanelRows, row_lanes(group, p), totals[p][t]);
    }
  }
}

template <class Read>
template <int T>
void FmaPanels<Read>::run_part(const Part& part) {
  __m512 totals[T];
#pragma GCC unroll 16
  for (int t = 0; t < T; t++) {
    totals[t] = part.first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(part.lanes, part.out + t * part.out_stride);
  }
  const float *weights = part.weights, *values = part.values;
#pragma GCC unroll 4
  for (int c = 0; c < part.cols; c++, weights += kPanelRows, values += T) {
    const __m512 w = _mm512_load_ps(weights);
#pragma GCC unroll 16
    for (int t = 0; t < T; t++) totals[t] = _mm512_fmadd_ps(w, _mm512_set1_ps(values[t]), totals[t]);
  }
#pragma GCC unroll 16
  for (int t = 0; t < T; t++) _mm512_mask_storeu_ps(part.out + t * part.out_stride, part.lanes, totals[t]);
}

template <class Read>
void FmaPanels<Read>::decode_slice(const std::byte* from, int stretches, bool prefetch, float* to) {
  const Read read;
  for (int s = 0; s < stretches; s++, from += kStretchBytes, to += kCols * kPanelRows) {
    if (prefetch) prefetch_stretch(from);
    __m512 cols[kCols];
    read.decode(from, cols);
#pragma GCC unroll 4
    for (int c = 0; c < kCols; c++) _mm512_store_ps(to + c * kPanelRows, cols[c]);
  }
}

/// All panels, the columns from first_col on, the tokens of some groups.
template <class Read>
void FmaPanels<Read>::run_block(const PanelProduct& job, TokenGroup groups, int first_col, float* slice) {
  static constexpr auto functions = []<int... T>(std::integer_sequence<int, T...>) {
    return std::array<void (*)(const Part&), sizeof...(T)>{run_part<T + 1>...};
  }(std::make_integer_sequence<int, kGroup>());
  const PanelActivations& x = *job.x;
  const int end_col = std::min(x.cols, first_col + kBlockCols);
  const int64_t bytes = panel_bytes(kFormat, x.cols);
  for (int64_t p = job.panel_begin; p < job.panel_end; p++) {
    const std::byte* panel = job.panels + (p - job.panel_begin) * bytes;
    const int64_t rows = job.rows - p * kPanelRows;
    for (int col = first_col; col < end_col; col += kSliceCols) {
      const int cols = std::min(kSliceCols, end_col - col);
      decode_slice(panel + int64_t{col / kCols} * kStretchBytes, (cols + kCols - 1) / kCols, groups.begin == 0, slice);
      for (int g = groups.begin; g < groups.begin + groups.tokens; g++) {
        const TokenGroup tokens = token_group(x.tokens, kGroup, g);
        const auto* values = reinterpret_cast<const float*>(x.values + tokens.begin * x.row_bytes());
        functions[static_cast<size_t>(tokens.tokens - 1)](
            {.weights = slice,
             .values = values + int64_t{col} * tokens.tokens,
             .cols = cols,
             .first = col == 0,
             .out = job.out + tokens.begin * job.out_stride + p * kPanelRows,
             .out_stride = job.out_stride,
             .lanes = static_cast<uint16_t>(rows < kPanelRows ? (1u << rows) - 1u : 0xffffu)});
      }
    }
  }
}

template <class Read>
void FmaPanels<Read>::product(const PanelProduct& job) {
  if (job.x->tokens < kDecodedTokens) return panel_product<FmaPanels>(job);
  alignas(64) float slice[kSliceCols * kPanelRows];
  const int groups = group_count(job.x->tokens, kGroup);
  const int chunks = group_count(groups, kChunkTokens / kGroup);
  for (int chunk = 0; chunk < chunks; chunk++) {
    const TokenGroup some = token_group(groups, kChunkTokens / kGroup, chunk);
    for (int col = 0; col < job.x->cols; col += kBlockCols) run_block(job, some, col, slice);
  }
}

}  // namespace
}  // namespace lancet
