// The loop nest of the AVX2 table's panel products. 16 registers hold the sums of 16 rows and six tokens and little
// else, so what has to be unpacked from the weights is unpacked once into a scratch that stays in the level-1 cache,
// and every group of tokens reads it there. One or two tokens are multiplied as the weights are unpacked, in registers.
// A `Kernel` has
//   kStretchCols, kStretchBytes
//   kFusedTokens              up to so many tokens alone are multiplied without a scratch
//   kPairTokens               up to so many tokens take two panels at once: one panel's sums would wait for each other
//   kUnpackedBytes            a stretch in the scratch
//   unpack(weights, stretches, scratch)
//   multiply<T>(slice)        from the scratch
//   multiply_fused<T, P>(slice)
// The sum of a (row, token) continues from slice to slice in memory, so slices do not change it.
#pragma once

#include <immintrin.h>

#include <cstring>
#include <utility>

#include "kernels/panels.h"

namespace lancet {
namespace {

constexpr int kGroupTokens = 6;
constexpr int kScratchBytes = 16384;       // half of a level-1 cache
constexpr int kPrefetchBytes = 2048;       // how far ahead of the weights; past the end it does nothing
constexpr int64_t kNearBytes = 384 << 10;  // activations that stay in a level-2 cache

/// Some stretches of one panel (or two) times one group of tokens.
struct Avx2Slice {
  const std::byte* weights;                    // packed, or unpacked in the scratch
  int64_t panel_bytes;                         // from a packed panel to the next
  int stretches, cols;                         // cols: that the activations have
  const std::byte* values;                     // of the group, from the slice's first column on, as the rest
  const float *scales, *scaled_sums;           // int8 only
  const int32_t *zero_8, *zero_128, *zero_32;  // int8 only
  float* sums;                                 // row 0 of the panel, the group's first token; whole panels
  int64_t sums_stride;                         // from token to token
};

inline void prefetch(const std::byte* at, int bytes, int ahead) {
  for (int line = 0; line < bytes; line += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(at + ahead + line), _MM_HINT_T0);
  }
}

/// Where a group's sums of `panels` panels are: in place if all rows exist, else in a buffer that take_back() copies.
class Sums {
 public:
  Sums(const PanelProduct& job, int64_t panel, int panels, TokenGroup group, bool first)
      : tokens_(group.tokens), stride_(job.out_stride), out_(job.out + group.begin * stride_ + panel * kPanelRows) {
    const int64_t rows = job.rows - panel * kPanelRows;
    rows_ = static_cast<int>(rows < panels * kPanelRows ? rows : panels * kPanelRows);
    in_place_ = rows_ == panels * kPanelRows;
    const auto bytes = static_cast<size_t>(rows_) * sizeof(float);
    for (int t = 0; t < tokens_; t++) {
      if (first)
        std::memset(data() + t * stride(), 0, in_place_ ? bytes : kPanelRows * sizeof(float));
      else if (!in_place_)
        std::memcpy(buffer_ + t * kPanelRows, out_ + t * stride_, bytes);
    }
  }
  float* data() { return in_place_ ? out_ : buffer_; }
  int64_t stride() const { return in_place_ ? stride_ : kPanelRows; }
  void take_back() const {
    if (in_place_) return;
    for (int t = 0; t < tokens_; t++) {
      std::memcpy(out_ + t * stride_, buffer_ + t * kPanelRows, static_cast<size_t>(rows_) * sizeof(float));
    }
  }

 private:
  int tokens_;
  int64_t stride_;
  float* out_;
  int rows_;
  bool in_place_;
  alignas(64) float buffer_[kGroupTokens * kPanelRows];
};

/// A group's activations from `col` on.
inline void set_activations(Avx2Slice& slice, const PanelActivations& x, TokenGroup group, int64_t col) {
  const int64_t cols_before = group.begin * int64_t{x.cols} + col * group.tokens;
  slice.values = x.values + (x.arithmetic == Arithmetic::int8 ? cols_before : 4 * cols_before);
  if (x.arithmetic != Arithmetic::int8) return;
  const int64_t blocks_before = cols_before / kQuantBlock;
  slice.scales = x.scales + blocks_before;
  slice.scaled_sums = x.scaled_sums + blocks_before;
  slice.zero_8 = x.zero_8 + blocks_before;
  slice.zero_128 = x.zero_128 + blocks_before;
  slice.zero_32 = x.zero_32 + 2 * blocks_before;
}

using Avx2SliceFunction = void (*)(const Avx2Slice&);

template <class Kernel, int... T>
constexpr Avx2SliceFunction multiply_function(int tokens, std::integer_sequence<int, T...>) {
  constexpr Avx2SliceFunction kFunctions[] = {nullptr, Kernel::template multiply<T + 1>...};
  return kFunctions[tokens];
}
template <class Kernel, int P, int... T>
constexpr Avx2SliceFunction fused_function(int tokens, std::integer_sequence<int, T...>) {
  constexpr Avx2SliceFunction kFunctions[] = {nullptr, Kernel::template multiply_fused<T + 1, P>...};
  return kFunctions[tokens];
}

/// All columns of panels, for a few tokens.
template <class Kernel>
void multiply_fused_panels(const PanelProduct& job, int stretches) {
  const PanelActivations& x = *job.x;
  const TokenGroup group{0, x.tokens};
  Avx2Slice slice{};
  slice.panel_bytes = int64_t{stretches} * Kernel::kStretchBytes;
  slice.stretches = stretches;
  slice.cols = x.cols;
  set_activations(slice, x, group, 0);
  for (int64_t p = job.panel_begin; p < job.panel_end;) {
    const bool pair = x.tokens <= Kernel::kPairTokens && p + 2 <= job.panel_end && (p + 2) * kPanelRows <= job.rows;
    const int panels = pair ? 2 : 1;
    Sums sums(job, p, panels, group, true);
    slice.weights = job.panels + (p - job.panel_begin) * slice.panel_bytes;
    slice.sums = sums.data();
    slice.sums_stride = sums.stride();
    if (pair) {
      fused_function<Kernel, 2>(x.tokens, std::make_integer_sequence<int, Kernel::kPairTokens>())(slice);
    } else {
      fused_function<Kernel, 1>(x.tokens, std::make_integer_sequence<int, Kernel::kFusedTokens>())(slice);
    }
    sums.take_back();
    p += panels;
  }
}

/// A range of stretches of one panel times all tokens.
template <class Kernel>
void multiply_unpacked(const PanelProduct& job, int64_t panel, int begin, int stretches) {
  const PanelActivations& x = *job.x;
  alignas(64) std::byte scratch[kScratchBytes];
  const int all = (x.cols + Kernel::kStretchCols - 1) / Kernel::kStretchCols;
  Kernel::unpack(job.panels + ((panel - job.panel_begin) * all + begin) * Kernel::kStretchBytes, stretches, scratch);
  const int64_t col = int64_t{begin} * Kernel::kStretchCols;
  const int64_t cols = int64_t{stretches} * Kernel::kStretchCols;
  Avx2Slice slice{};
  slice.weights = scratch;
  slice.stretches = stretches;
  slice.cols = static_cast<int>(x.cols - col < cols ? x.cols - col : cols);
  for (int g = 0; g < group_count(x.tokens, kGroupTokens); g++) {
    const TokenGroup group = token_group(x.tokens, kGroupTokens, g);
    set_activations(slice, x, group, col);
    Sums sums(job, panel, 1, group, begin == 0);
    slice.sums = sums.data();
    slice.sums_stride = sums.stride();
    multiply_function<Kernel>(group.tokens, std::make_integer_sequence<int, kGroupTokens>())(slice);
    sums.take_back();
  }
}

template <class Kernel>
void avx2_product(const PanelProduct& job) {
  const PanelActivations& x = *job.x;
  const int stretches = (x.cols + Kernel::kStretchCols - 1) / Kernel::kStretchCols;
  if (x.tokens <= Kernel::kFusedTokens) return multiply_fused_panels<Kernel>(job, stretches);
  static_assert(kScratchBytes >= Kernel::kUnpackedBytes);
  // For few tokens weights come from memory all the time: never more at once than is read ahead.
  constexpr int kMany = kScratchBytes / Kernel::kUnpackedBytes, kFew = kPrefetchBytes / Kernel::kStretchBytes;
  const int at_once = x.tokens > 2 * kGroupTokens ? kMany : kFew < 1 ? 1 : kFew < kMany ? kFew : kMany;
  const auto some = [&](int64_t panel, int begin) {
    multiply_unpacked<Kernel>(job, panel, begin, stretches - begin < at_once ? stretches - begin : at_once);
  };
  if (x.tokens * x.row_bytes() <= kNearBytes) {
    for (int64_t p = job.panel_begin; p < job.panel_end; p++) {
      for (int begin = 0; begin < stretches; begin += at_once) some(p, begin);
    }
    return;
  }
  for (int begin = 0; begin < stretches; begin += at_once) {
    for (int64_t p = job.panel_begin; p < job.panel_end; p++) some(p, begin);
  }
}

}  // namespace
}  // namespace lancet
