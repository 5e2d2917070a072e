// Panel products with bf16 and f32 activations on AVX-512: a lane is a row, the activations of one token are broadcast
// from memory, and every sum is one chain over the columns in order. Included by avx512_float.cpp only.
#pragma once

#include <immintrin.h>

#include "kernels/panel_product_avx512.h"
#include "kernels/vec_avx512.h"

namespace lancet {
namespace {

inline __m512 dot_pairs(__m512 sum, __m512i weights, const std::byte* pair) {
  asm("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(weights), "m"(*reinterpret_cast<const int32_t*>(pair)));
  return sum;
}

// How a stretch is read: kWords vectors, each to be multiplied with one word of a token's activations.

struct PanelF8 {
  static constexpr Format kFormat = Format::f8_e4m3;
  static constexpr int kWords = 2;
  __m512i low0 = _mm512_load_si512(kE4m3Tables.low), low1 = _mm512_load_si512(kE4m3Tables.low + 64);
  __m512i high0 = _mm512_load_si512(kE4m3Tables.high), high1 = _mm512_load_si512(kE4m3Tables.high + 64);
  void load(const std::byte* at, __m512i (&words)[2]) const {
    const __m512i codes = _mm512_loadu_si512(at);
    const __m512i low = _mm512_permutex2var_epi8(low0, codes, low1);
    const __m512i magnitude = _mm512_permutex2var_epi8(high0, codes, high1);
    // magnitude | (codes & 0x80)
    const __m512i high = _mm512_ternarylogic_epi32(magnitude, codes, _mm512_set1_epi8(static_cast<char>(0x80)), 0xf8);
    words[0] = _mm512_unpacklo_epi8(low, high);
    words[1] = _mm512_unpackhi_epi8(low, high);
  }
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

struct PanelF16 {
  static constexpr Format kFormat = Format::f16;
  static constexpr int kWords = 1;
  void load(const std::byte* at, __m512i (&words)[1]) const {
    words[0] = _mm512_castps_si512(_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at))));
  }
  static __m512 multiply(__m512 sum, __m512i word, const std::byte* x) {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(word), _mm512_set1_ps(*reinterpret_cast<const float*>(x)), sum);
  }
};

template <class Read>
struct FloatPanels {
  static constexpr Format kFormat = Read::kFormat;
  static constexpr int kGroup = 12;
  static constexpr int kFew = 5;
  template <int T, int P>
  static void run(const PanelGroup& group);
};

template <class Read>
template <int T, int P>
void FloatPanels<Read>::run(const PanelGroup& group) {
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
      if (group.prefetch) {
        for (int line = 0; line < kStretchBytes; line += 64) {
          _mm_prefetch(reinterpret_cast<const char*>(weights + prefetch_bytes(kFormat) + line), _MM_HINT_T0);
        }
      }
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
