// Attention over a tile of cached keys (attention.h), for any instruction set: `Isa` is attention_avx2.h's or
// attention_avx512.h's, `Kv` a cache format.
#pragma once

#include "kernels/attention.h"
#include "kernels/kernels.h"
#include "kernels/vector_ops.h"

namespace lancet {
namespace {

/// Integers (or, for f32, numbers) as operands: how the loops below load, multiply and add.
template <class Isa, class Kv>
struct Operand {
  using Sum = typename Isa::Int;
  static Sum zero() { return Isa::int_zero(); }
  static Sum load(const std::byte* from) { return Isa::load_codes(reinterpret_cast<const typename Kv::Code*>(from)); }
  static Sum pair(const int16_t* from) { return Isa::broadcast_pair(from); }
  static Sum multiply(Sum sum, Sum a, Sum b) { return Isa::multiply_pairs(sum, a, b); }
  static typename Isa::Vec number(Sum sum) { return Isa::to_float(sum); }
};
template <class Isa>
struct Operand<Isa, KvF32> {
  using Sum = typename Isa::Vec;
  static Sum zero() { return Isa::zero(); }
  static Sum load(const std::byte* from) { return Isa::load(reinterpret_cast<const float*>(from)); }
  static Sum pair(const float* from) { return Isa::set(*from); }
  static Sum multiply(Sum sum, Sum a, Sum b) { return Isa::fma(a, b, sum); }
  static Sum number(Sum sum) { return sum; }
};

/// Scales of kWidth tokens from `lane` on.
template <class Isa, class Kv>
typename Isa::Vec load_scales(const std::byte* run, int width, int block, int lane) {
  const auto* scales =
      reinterpret_cast<const typename Kv::Scale*>(run + code_bytes<Kv>(width)) + block * kBlockLanes + lane;
  if constexpr (sizeof(typename Kv::Scale) == sizeof(float))
    return Isa::load(scales);
  else
    return Isa::load_f16(scales);
}

/// Q queries' work with one tile.
template <class Isa, class Kv, int Q>
class TileRun {
 public:
  TileRun(const AttentionTile& tile, int first)
      : tile_(tile),
        width_(tile.width),
        codes_(reinterpret_cast<const QueryCode*>(tile.codes) + query_at<Kv>(tile.first_query + first, 0, tile.width)),
        first_(first) {}

  void run() {
    for (int vec = 0; vec < kTileKeys / kWidth; vec += kScoreVectors) score(vec);
    weigh();
    for (int block = 0; block < scale_blocks<Kv>(width_); block++) add_values(block);
  }

 private:
  using Vec = typename Isa::Vec;
  using Op = Operand<Isa, Kv>;
  using QueryCode = typename Kv::QueryCode;
  static constexpr int kWidth = Isa::kWidth;
  static constexpr int kScoreVectors = 2;  // with 4 queries 8 chains of sums, and one step of Ahead a run
  static constexpr bool kHasScales = Kv::kScaleBlock != 0;
  static constexpr int64_t kLine = int64_t{kBlockLanes} * Kv::kPack * static_cast<int64_t>(sizeof(typename Kv::Code));
  static constexpr int64_t kStride = int64_t{kWidth} * Kv::kPack * static_cast<int64_t>(sizeof(typename Kv::Code));

  /// Brings the runs that are read next nearer: in order of address, which is what the processor's own prefetching
  /// understands, and at the pace of the work.
  struct Ahead {
    template <int64_t bytes>
    void step() {
      constexpr int kCacheLine = 64;
#pragma GCC unroll 4
      for (int64_t i = 0; i < bytes; i += kCacheLine) __builtin_prefetch(at + i, 0, 2);
      at += bytes;
    }
    /// Goes on to the next run at the end of one; apart from step() to keep the loops short.
    void turn() {
      if (at < end) return;
      at = runs[++block & (kTileBlocks - 1)];
      end = at + run_bytes;
    }
    const std::byte* const* runs;
    int64_t run_bytes;
    int block = 0;
    const std::byte* at = runs[0];
    const std::byte* end = at + run_bytes;
  };

  /// Scores of kScoreVectors vectors of keys from number `first_vec` on.
  void score(int first_vec) {
    constexpr int V = kScoreVectors;
    Ahead ahead = ahead_;  // a copy stays in registers
    ahead.turn();
    const std::byte* runs[V];
    for (int v = 0; v < V; v++) {
      const int key = (first_vec + v) * kWidth;
      runs[v] = tile_.blocks[key / kBlockLanes] + key % kBlockLanes / kWidth * kStride;
    }
    Vec scores[Q][V];
#pragma GCC unroll 4
    for (int q = 0; q < Q; q++) {
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) scores[q][v] = Isa::zero();
    }
    const QueryCode* codes = codes_;
    int col = 0;
    for (int block = 0; block < scale_blocks<Kv>(width_); block++) {
      typename Op::Sum sums[Q][V];
#pragma GCC unroll 4
      for (int q = 0; q < Q; q++) {
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) sums[q][v] = Op::zero();
      }
      for (; col < scale_block_end<Kv>(block, width_); col += Kv::kPack) {
        typename Op::Sum keys[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) keys[v] = Op::load(runs[v] + col / Kv::kPack * kLine);
        ahead.template step<kLine * V>();
#pragma GCC unroll 4
        for (int q = 0; q < Q; q++) {
          const auto query = Op::pair(codes + col * kQueryLanes + q * Kv::kPack);
#pragma GCC unroll 4
          for (int v = 0; v < V; v++) sums[q][v] = Op::multiply(sums[q][v], keys[v], query);
        }
      }
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) {
        Vec scale = Isa::set(1.0f);
        if constexpr (kHasScales) {
          const int key = (first_vec + v) * kWidth;
          scale = load_scales<Isa, Kv>(tile_.blocks[key / kBlockLanes], width_, block, key % kBlockLanes);
        }
#pragma GCC unroll 4
        for (int q = 0; q < Q; q++) scores[q][v] = Isa::fma(Op::number(sums[q][v]), scale, scores[q][v]);
      }
    }
    ahead_ = ahead;
#pragma GCC unroll 4
    for (int q = 0; q < Q; q++) {
      const Vec scale = kHasScales ? Isa::set(tile_.scales[first_ + q]) : Isa::set(1.0f);
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) Isa::store(scores_[q] + (first_vec + v) * kWidth, Isa::mul(scores[q][v], scale));
    }
  }

  /// Scores become exp(score - maximum), 0 for keys out of sight; maxima, weights and old sums follow.
  void weigh() {
    Vec best[4], sum[4];
    for (int q = 0; q < Q; q++) {
      for (int key = tile_.keys; key < kTileKeys; key++) scores_[q][key] = -__builtin_inff();
      best[q] = Isa::load(scores_[q]);
      // The second operand wins if the first is NaN.
      best[q] = Isa::max(best[q], Isa::set(-__builtin_inff()));
      for (int key = kWidth; key < kTileKeys; key += kWidth) best[q] = Isa::max(Isa::load(scores_[q] + key), best[q]);
    }
    for (int q = Q; q < 4; q++) best[q] = best[0];
    alignas(64) float tops[kWidth] = {}, shrinks[kWidth] = {}, totals[4];
    Isa::store_four(tops, Isa::max4(best[0], best[1], best[2], best[3]));
    for (int q = 0; q < Q; q++) {
      const float old = tile_.maxima[first_ + q];
      tops[q] = tops[q] > old ? tops[q] : old;
      shrinks[q] = old - tops[q];
      tile_.maxima[first_ + q] = tops[q];
    }
    Isa::store(shrinks, exp<Isa>(Isa::load(shrinks)));
    for (int q = 0; q < Q; q++) {
      sum[q] = Isa::zero();
      for (int key = 0; key < kTileKeys; key += kWidth) {
        const Vec weight = exp<Isa>(Isa::sub(Isa::load(scores_[q] + key), Isa::set(tops[q])));
        Isa::store(scores_[q] + key, weight);
        sum[q] = Isa::add(sum[q], weight);
      }
    }
    for (int q = Q; q < 4; q++) sum[q] = sum[0];
    Isa::store_four(totals, Isa::reduce4(sum[0], sum[1], sum[2], sum[3]));
    for (int q = 0; q < Q; q++) {
      tile_.weights[first_ + q] = tile_.weights[first_ + q] * shrinks[q] + totals[q];
      if (shrinks[q] == 1.0f) continue;
      float* sums = tile_.sums + int64_t{first_ + q} * width_;
      for (int col = 0; col < width_; col += kWidth) {
        Isa::store(sums + col, Isa::mul(Isa::load(sums + col), Isa::set(shrinks[q])));
      }
    }
  }

  /// Adds the columns of one block of scales.
  void add_values(int block) {
    float factors[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    if constexpr (kHasScales) round_weights(block, factors);
    const int begin = kHasScales ? block * Kv::kScaleBlock : 0, end = scale_block_end<Kv>(block, width_);
    int col = begin;
    for (; col + 2 * kWidth <= end; col += 2 * kWidth) add_columns<2>(col, factors);
    for (; col < end; col += kWidth) add_columns<1>(col, factors);
  }

  /// Weights times the values' scales, as integers times a factor.
  void round_weights(int block, float (&factors)[4]) {
    const int full = tile_.keys / kWidth * kWidth;
    Vec scales[kTileKeys / kWidth], best[4];
    for (int key = 0; key < kTileKeys; key += kWidth) {
      const std::byte* run = tile_.blocks[key / kBlockLanes] + half_run_bytes<Kv>(width_);
      Vec scale = load_scales<Isa, Kv>(run, width_, block, key % kBlockLanes);
      if (key >= full) scale = key == full ? Isa::keep(scale, tile_.keys - key) : Isa::zero();
      scales[key / kWidth] = scale;
    }
    for (int q = 0; q < Q; q++) {
      best[q] = Isa::zero();
      for (int key = 0; key < kTileKeys; key += kWidth) {
        best[q] = Isa::max(Isa::mul(Isa::load(scores_[q] + key), scales[key / kWidth]), best[q]);
      }
    }
    for (int q = Q; q < 4; q++) best[q] = best[0];
    Isa::store_four(factors, Isa::max4(best[0], best[1], best[2], best[3]));
    for (int q = 0; q < Q; q++) {
      const float inverse = factors[q] > 1e-30f ? static_cast<float>(kWeightMost) / factors[q] : 0.0f;
      factors[q] *= 1.0f / static_cast<float>(kWeightMost);
      for (int key = 0; key < kTileKeys; key += kWidth) {
        const Vec weight = Isa::mul(Isa::load(scores_[q] + key), scales[key / kWidth]);
        Isa::store_rounded(rounded_[q] + key, Isa::mul(weight, Isa::set(inverse)));
      }
    }
  }

  const auto* weight_at(int query, int key) const {
    if constexpr (kHasScales)
      return rounded_[query] + key;
    else
      return scores_[query] + key;
  }

  /// V vectors of columns from `col` on.
  template <int V>
  void add_columns(int col, const float (&factors)[4]) {
    const int64_t offset = half_run_bytes<Kv>(width_) + int64_t{col / kBlockLanes} * kBlockLanes / Kv::kPack * kLine +
                           col % kBlockLanes / kWidth * kStride;
    constexpr int64_t kNext = kWidth == kBlockLanes ? kBlockLanes / Kv::kPack * kLine : kStride;  // the next vector
    float* out = tile_.sums + int64_t{first_} * width_ + col;
    Vec totals[Q][V];
    typename Op::Sum sums[Q][V];
#pragma GCC unroll 4
    for (int q = 0; q < Q; q++) {
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) totals[q][v] = Isa::load(out + q * width_ + v * kWidth), sums[q][v] = Op::zero();
    }
    const auto flush = [&] {
#pragma GCC unroll 4
      for (int q = 0; q < Q; q++) {
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) {
          totals[q][v] = Isa::fma(Op::number(sums[q][v]), Isa::set(factors[q]), totals[q][v]);
          sums[q][v] = Op::zero();
        }
      }
    };
    Ahead ahead = ahead_;
    for (int first = 0; first < tile_.keys; first += kBlockLanes) {
      // Integers of tokens out of sight are finite and their weights 0; f32 numbers may be anything.
      const int count = kHasScales || tile_.keys - first >= kBlockLanes ? kBlockLanes : tile_.keys - first;
      const std::byte* line = tile_.blocks[first / kBlockLanes] + offset;
      ahead.turn();
      for (int key = 0; key < count; key += Kv::kPack, line += kLine) {
        typename Op::Sum values[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) values[v] = Op::load(line + v * kNext);
        ahead.template step<kLine * V>();
#pragma GCC unroll 4
        for (int q = 0; q < Q; q++) {
          const auto weight = Op::pair(weight_at(q, first + key));
#pragma GCC unroll 4
          for (int v = 0; v < V; v++) sums[q][v] = Op::multiply(sums[q][v], values[v], weight);
        }
      }
      if constexpr (kHasScales) {
        if (Kv::kExactBlocks == 1) flush();
      }
    }
    ahead_ = ahead;
    if constexpr (!kHasScales)
      flush();
    else if (Kv::kExactBlocks != 1)
      flush();
#pragma GCC unroll 4
    for (int q = 0; q < Q; q++) {
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) Isa::store(out + q * width_ + v * kWidth, totals[q][v]);
    }
  }

  const AttentionTile& tile_;
  const int width_;
  const QueryCode* codes_;
  const int first_;
  Ahead ahead_{.runs = tile_.ahead, .run_bytes = 2 * half_run_bytes<Kv>(width_)};
  alignas(64) float scores_[Q][kTileKeys];
  alignas(64) int16_t rounded_[Q][kTileKeys];
};

template <class Isa, class Kv>
void attend(const AttentionTile& tile) {
  for (int query = 0; query < tile.queries;) {
    // Not beyond the next group of queries that stand side by side.
    const int room = kQueryLanes - (tile.first_query + query) % kQueryLanes;
    const int count = room < tile.queries - query ? room : tile.queries - query;
    switch (count) {
      case 4: TileRun<Isa, Kv, 4>(tile, query).run(); break;
      case 3: TileRun<Isa, Kv, 3>(tile, query).run(); break;
      case 2: TileRun<Isa, Kv, 2>(tile, query).run(); break;
      default: TileRun<Isa, Kv, 1>(tile, query).run();
    }
    query += count;
  }
}

/// x[i] and the numbers after it, 0 from x[count] on.
template <class Isa>
typename Isa::Vec load_up_to(const float* x, int i, int count) {
  if (i + Isa::kWidth <= count) return Isa::load(x + i);
  return i < count ? Isa::load_part(x + i, count - i) : Isa::zero();
}

template <class Isa>
float quantise_wide(const float* x, int count, int most, int16_t* codes) {
  auto best = Isa::zero(), odd = Isa::zero();  // odd: NaN if a number is not finite
  for (int i = 0; i < count; i += Isa::kWidth) {
    const auto value = load_up_to<Isa>(x, i, count);
    best = Isa::max(Isa::max(value, Isa::sub(Isa::zero(), value)), best);
    odd = Isa::fma(value, Isa::zero(), odd);
  }
  float tops[4];
  Isa::store_four(tops, Isa::max4(best, best, best, best));
  const bool finite = Isa::reduce(odd) == 0.0f;
  const float inverse = finite && tops[0] > 1e-30f ? static_cast<float>(most) / tops[0] : 0.0f;
  for (int i = 0; i < padded_width(count); i += Isa::kWidth) {
    const auto value = finite ? load_up_to<Isa>(x, i, count) : Isa::zero();
    Isa::store_rounded(codes + i, Isa::mul(value, Isa::set(inverse)));
  }
  return finite ? tops[0] / static_cast<float>(most) : __builtin_nanf("");
}

}  // namespace
}  // namespace lancet
