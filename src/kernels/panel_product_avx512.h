// The loop nest of the AVX-512 panel products: token groups, and panels within them, so that a group's activations stay
// in the level-2 cache while it visits the panels of a piece. A `Kernel` has
//   kGroup    the most tokens of a group
//   panels_together(tokens)   that a group of so many tokens takes, so that their sums do not wait for each other
//   kFormat
//   run<T, P>(const PanelGroup&)   P panels times T tokens
// Included by avx512_int8.cpp and avx512_float.cpp only.
#pragma once

#include <immintrin.h>

#include <utility>

#include "kernels/panels.h"

namespace lancet {
namespace {

/// How far ahead of the weights to prefetch: a stretch and more. Past the end it does nothing.
constexpr int prefetch_bytes(Format format) {
  const int stretch = panel_stretch(format).bytes;
  return stretch <= 128 ? 2048 : stretch < 2048 ? 4096 : 8192;
}

/// What is read once leaves the level-2 cache to what is read again.
inline void prefetch(const std::byte* at, int bytes, bool once) {
  for (int line = 0; line < bytes; line += 64) {
    const auto* address = reinterpret_cast<const char*>(at + line);
    once ? _mm_prefetch(address, _MM_HINT_NTA) : _mm_prefetch(address, _MM_HINT_T0);
  }
}

/// Some panels times one group of tokens.
struct PanelGroup {
  const std::byte* panels;
  int64_t panel_bytes;
  int stretches, cols;                         // cols: that the activations have
  const std::byte* values;                     // of the group, as the rest
  const float *scales, *scaled_sums;           // int8 only
  const int32_t *zero_8, *zero_128, *zero_32;  // int8 only
  float* out;                                  // row 0 of the first panel, the group's first token
  int64_t out_stride;
  int64_t rows;   // of the panels; those below 16 P are left
  bool prefetch;  // the weights ahead are not in the cache yet
  bool once;      // no other group of tokens will read them
};

/// Lanes of panel `p` that are rows.
inline uint16_t row_lanes(const PanelGroup& group, int p) {
  const int64_t rows = group.rows - p * kPanelRows;
  return static_cast<uint16_t>(rows < kPanelRows ? (1u << rows) - 1u : 0xffffu);
}

inline PanelGroup group_of(const PanelProduct& job, TokenGroup tokens) {
  const PanelActivations& x = *job.x;
  PanelGroup group{};
  group.cols = x.cols;
  group.values = x.values + tokens.begin * x.row_bytes();
  group.out_stride = job.out_stride;
  if (x.arithmetic != Arithmetic::int8) return group;
  const int64_t blocks = tokens.begin * int64_t{x.cols / kQuantBlock};
  group.scales = x.scales + blocks;
  group.scaled_sums = x.scaled_sums + blocks;
  group.zero_8 = x.zero_8 + blocks;
  group.zero_128 = x.zero_128 + blocks;
  group.zero_32 = x.zero_32 + 2 * blocks;
  return group;
}

using GroupFunction = void (*)(const PanelGroup&);

/// one[t - 1] and together[t - 1]: t tokens and one panel, or panels_together(t).
template <class Kernel, class Tokens>
struct GroupFunctions;
template <class Kernel, int... T>
struct GroupFunctions<Kernel, std::integer_sequence<int, T...>> {
  GroupFunction one[sizeof...(T)] = {Kernel::template run<T + 1, 1>...};
  GroupFunction together[sizeof...(T)] = {Kernel::template run<T + 1, Kernel::panels_together(T + 1)>...};
};

template <class Kernel>
void panel_product(const PanelProduct& job) {
  static constexpr GroupFunctions<Kernel, std::make_integer_sequence<int, Kernel::kGroup>> functions;
  constexpr PanelStretch kStretch = panel_stretch(Kernel::kFormat);
  const PanelActivations& x = *job.x;
  for (int g = 0; g < group_count(x.tokens, Kernel::kGroup); g++) {
    const TokenGroup tokens = token_group(x.tokens, Kernel::kGroup, g);
    PanelGroup group = group_of(job, tokens);
    group.stretches = (x.cols + kStretch.cols - 1) / kStretch.cols;
    group.panel_bytes = int64_t{group.stretches} * kStretch.bytes;
    group.prefetch = g == 0;
    group.once = group_count(x.tokens, Kernel::kGroup) == 1;
    const int most = Kernel::panels_together(tokens.tokens);
    for (int64_t p = job.panel_begin; p < job.panel_end;) {
      const bool together = job.panel_end - p >= most;
      group.panels = job.panels + (p - job.panel_begin) * group.panel_bytes;
      group.out = job.out + tokens.begin * job.out_stride + p * kPanelRows;
      group.rows = job.rows - p * kPanelRows;
      (together ? functions.together : functions.one)[tokens.tokens - 1](group);
      p += together ? most : 1;
    }
  }
}

}  // namespace
}  // namespace lancet
