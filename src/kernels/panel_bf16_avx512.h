// Panel products with bf16 activations on AVX-512: a lane is a row, the activations of one token are broadcast from
// memory, and every sum is one chain over the columns in order. Included by avx512bf16.cpp only.
#pragma once

#include <immintrin.h>

#include "kernels/panel_product_avx512.h"
#include "kernels/vec_avx512.h"

namespace lancet {
namespace {

inline void round_to_bf16(const float* values, uint16_t* out) {
  const auto* low = reinterpret_cast<const float*>(values);
  const __m512bh rounded = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(low + 16), _mm512_loadu_ps(low));
  _mm512_storeu_si512(out, (__m512i)rounded);
}

inline __m512 dot_pairs(__m512 sum, __m512i weights, const std::byte* pair) {
  asm("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(weights), "m"(*reinterpret_cast<const int32_t*>(pair)));
  return sum;
}

// How a stretch is read: kWords vectors, each to be multiplied with one word of a token's activations.

struct PanelF8 {
  static constexpr Format kFormat = Format::f8_e4m3;
  static constexpr int kWords = 2;
  E4m3Decoder decoder;
  void load(const std::byte* at, __m512i (&words)[2]) const { decoder.decode(_mm512_loadu_si512(at), words); }
  static __m512 multiply(__m512 sum, __m512i word, const std::byte* x) { return dot_pairs(sum, word, x); }
};

struct PanelBf16 {
  static constexpr Format kFormat = Format::bf16;
  static constexpr int kWords = 2;
  void load(const std::byte* at, __m512i (&words)[2]) const {
    words[0] = _mm512_loadu_si512(at);
    words[1] = _mm512_loadu_si512(at + 64);
  }
  static __m512 multiply(__m512 sum, __m512i word, const std::byte* x) { return dot_pairs(sum, word, x); }
};

template <class Read>
struct Bf16Panels {
  static constexpr Format kFormat = Read::kFormat;
  static constexpr int kGroup = 12;
  static constexpr int panels_together(int tokens) { return tokens <= 5 ? 2 : 1; }
  template <int T, int P>
  static void run(const PanelGroup& group);
};

template <class Read>
template <int T, int P>
void Bf16Panels<Read>::run(const PanelGroup& group) {
  constexpr int kWords = Read::kWords, kStretchBytes = panel_stretch(kFormat).bytes;
  const Read read;
  const std::byte* at = group.panels;
  const std::byte* values = group.values;
  __m512 totals[P][T];
#pragma GCC unroll 2
  for (int p = 0; p < P; p++) {
#pragma GCC unroll 16
    for (int t = 0; t < T; t++) totals[p][t] = _mm512_setzero_ps();
  }
  for (int stretch = 0; stretch < group.stretches; stretch++, at += kStretchBytes, values += kWords * T * 4) {
#pragma GCC unroll 2
    for (int p = 0; p < P; p++) {
      const std::byte* weights = at + p * group.panel_bytes;
      if (group.prefetch) prefetch(weights + prefetch_bytes(kFormat), kStretchBytes, false);
      __m512i words[kWords];
      read.load(weights, words);
#pragma GCC unroll 2
      for (int w = 0; w < kWords; w++) {
#pragma GCC unroll 16
        for (int t = 0; t < T; t++) totals[p][t] = Read::multiply(totals[p][t], words[w], values + (w * T + t) * 4);
      }
    }
  }
#pragma GCC unroll 2
  for (int p = 0; p < P; p++) {
#pragma GCC unroll 16
    for (int t = 0; t < T; t++) {
      _mm512_mask_storeu_ps(group.out + t * group.out_stride + p * kPanelRows, row_lanes(group, p), totals[p][t]);
    }
  }
}

}  // namespace
}  // namespace lancet
