// Panel products with int8 activations on AVX-512 VNNI: a lane is a row, a dot product of 32 columns is 8 `vpdpbusd`
// whose second operand, 4 columns of one token, is broadcast from memory. It is exact; then it is scaled and added.
// Included by avx512_int8.cpp only.
#pragma once

#include <immintrin.h>

#include "kernels/panel_product_avx512.h"

namespace lancet {
namespace {

// g++ 12 spills around _mm512_dpbusd_epi32; an operand that is broadcast from memory must be said in assembly anyway.
inline __m512i dot_fours(__m512i sum, __m512i codes, const std::byte* four) {
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(codes), "m"(*reinterpret_cast<const int32_t*>(four)));
  return sum;
}

inline __m512i unit(const std::byte* at, int number) { return _mm512_loadu_si512(at + 64 * number); }
inline __m512 halves(const std::byte* at, int number) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + 32 * number)));
}
inline __m512i low_nibbles(__m512i both) { return _mm512_and_si512(both, _mm512_set1_epi8(15)); }
inline __m512i high_nibbles(__m512i both) { return low_nibbles(_mm512_srli_epi16(both, 4)); }

// How a stretch of each format is read, run by run: a run is what shares a scale, kUnits x 4 columns. codes():
// unsigned.

enum class Zero { none, eight, thirty_two, hundred_twenty_eight };

struct PanelQ8_0 {
  static constexpr Format kFormat = Format::q8_0;
  static constexpr int kRuns = 2, kUnits = 8;
  static constexpr Zero kZero = Zero::hundred_twenty_eight;
  static constexpr bool kMinimum = false;
  explicit PanelQ8_0(const std::byte* stretch) : at(stretch) {}
  void load(int run) { now = at + run * 8 * 64; }
  __m512i codes(int k) const { return unit(now, k); }
  __m512 scale(int run) const { return halves(at + 16 * 64, run); }
  __m512 minimum(int) const { return _mm512_setzero_ps(); }
  const std::byte *at, *now = nullptr;
};

/// A run of 32 columns in 4 units of nibbles, as most formats have it.
struct NibbleUnits {
  static constexpr int kUnits = 8;
  explicit NibbleUnits(const std::byte* stretch) : at(stretch) {}
  void load(int run) { now = at + run * 4 * 64; }
  __m512i codes(int k) const { return k < 4 ? low_nibbles(unit(now, k)) : high_nibbles(unit(now, k - 4)); }
  const std::byte *at, *now = nullptr;
};

template <Format format>
struct PanelNibbles : NibbleUnits {
  static constexpr Format kFormat = format;
  static constexpr int kRuns = 2;
  static constexpr Zero kZero = format == Format::q4_0 ? Zero::eight : Zero::none;
  static constexpr bool kMinimum = format == Format::q4_1;
  using NibbleUnits::NibbleUnits;
  __m512 scale(int run) const { return halves(at + 8 * 64, run); }
  __m512 minimum(int run) const { return halves(at + 8 * 64, 2 + run); }
};

/// Byte `number` of each lane's word, unsigned, as a float.
inline __m512 byte_of_words(__m512i words, int number) {
  const __m512i byte = _mm512_and_si512(_mm512_srl_epi32(words, _mm_cvtsi32_si128(8 * number)), _mm512_set1_epi32(255));
  return _mm512_cvtepi32_ps(byte);
}

/// Scales and minima of q4_k and q5_k, unpacked to words of four bytes: blocks 0-3, then 4-7.
struct KScales {
  explicit KScales(const std::byte* at) {
    const __m512i first = unit(at, 0), second = unit(at, 1), third = unit(at, 2);
    const __m512i six = _mm512_set1_epi32(0x3f3f3f3f), four = _mm512_set1_epi32(0x0f0f0f0f);
    const __m512i top = _mm512_set1_epi32(0x30303030);
    const auto upper = [top](__m512i words) { return _mm512_and_si512(_mm512_srli_epi32(words, 2), top); };
    scales[0] = _mm512_and_si512(first, six);
    scales[1] = _mm512_or_si512(_mm512_and_si512(third, four), upper(first));
    minima[0] = _mm512_and_si512(second, six);
    minima[1] = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(third, 4), four), upper(second));
    factor = halves(at + 3 * 64, 0);
    minus_factor = _mm512_sub_ps(_mm512_setzero_ps(), halves(at + 3 * 64, 1));
  }
  __m512 scale(int block) const { return _mm512_mul_ps(factor, byte_of_words(scales[block / 4], block % 4)); }
  __m512 minimum(int block) const { return _mm512_mul_ps(minus_factor, byte_of_words(minima[block / 4], block % 4)); }
  __m512i scales[2], minima[2];
  __m512 factor, minus_factor;
};

struct PanelQ4_K : NibbleUnits, KScales {
  static constexpr Format kFormat = Format::q4_k;
  static constexpr int kRuns = 8;
  static constexpr Zero kZero = Zero::none;
  static constexpr bool kMinimum = true;
  explicit PanelQ4_K(const std::byte* stretch) : NibbleUnits(stretch), KScales(stretch + 32 * 64) {}
};

struct PanelQ5_K : NibbleUnits, KScales {
  static constexpr Format kFormat = Format::q5_k;
  static constexpr int kRuns = 8;
  static constexpr Zero kZero = Zero::none;
  static constexpr bool kMinimum = true;
  explicit PanelQ5_K(const std::byte* stretch) : NibbleUnits(stretch), KScales(stretch + 40 * 64) {}
  void load(int run) {
    NibbleUnits::load(run);
    fifths = unit(at, 32 + run);
  }
  __m512i codes(int k) const {
    const __m512i bit = k < 4 ? _mm512_slli_epi16(fifths, 4 - k) : _mm512_srli_epi16(fifths, k - 4);
    // four | (bit & 16)
    return _mm512_ternarylogic_epi32(NibbleUnits::codes(k), bit, _mm512_set1_epi8(16), 0xf8);
  }
  __m512i fifths = _mm512_setzero_si512();
};

/// Runs are halves of a block; the two halves' codes share bytes.
struct PanelQ6_K {
  static constexpr Format kFormat = Format::q6_k;
  static constexpr int kRuns = 16, kUnits = 4;
  static constexpr Zero kZero = Zero::thirty_two;
  static constexpr bool kMinimum = false;
  explicit PanelQ6_K(const std::byte* stretch) : at(stretch), factor(halves(stretch + 52 * 64, 0)) {}
  void load(int run) {
    now = at + run / 2 * 4 * 64;
    upper = unit(at, 32 + run);
    shift = _mm_cvtsi32_si128(run % 2 * 4);
  }
  __m512i codes(int k) const {
    const __m512i four = low_nibbles(_mm512_srl_epi16(unit(now, k), shift));
    const __m512i bits = k < 2 ? _mm512_slli_epi16(upper, 4 - 2 * k) : _mm512_srli_epi16(upper, 2 * k - 4);
    return _mm512_ternarylogic_epi32(four, bits, _mm512_set1_epi8(48), 0xf8);  // four | (bits & 48)
  }
  __m512 scale(int run) const {
    const __m512i top = _mm512_sll_epi32(unit(at, 48 + run / 4), _mm_cvtsi32_si128(24 - run % 4 * 8));
    return _mm512_mul_ps(factor, _mm512_cvtepi32_ps(_mm512_srai_epi32(top, 24)));
  }
  __m512 minimum(int) const { return _mm512_setzero_ps(); }
  const std::byte *at, *now = nullptr;
  __m512i upper = _mm512_setzero_si512();
  __m128i shift = _mm_setzero_si128();
  __m512 factor;
};

template <class Read>
struct Int8Panels {
  static constexpr Format kFormat = Read::kFormat;
  static constexpr int kGroup = 12;  // 12 dot products and 12 sums leave 8 registers
  // One stream of memory is read faster than two, and the dot products of several blocks overlap anyway.
  static constexpr int panels_together(int) { return 1; }
  static constexpr int kStretchBytes = panel_stretch(kFormat).bytes;
  template <int T, int P>
  static void run(const PanelGroup& group);
};

template <class Read>
template <int T, int P>
void Int8Panels<Read>::run(const PanelGroup& group) {
  static_assert(P == 1);
  constexpr int kRunsOfBlock = 8 / Read::kUnits;
  constexpr int kRunBytes = kStretchBytes / Read::kRuns;
  constexpr int kChains = T <= 3 ? 2 : 1;  // few tokens: one chain of dot products would wait for itself
  const std::byte* at = group.panels;
  const std::byte* values = group.values;
  const float *scales = group.scales, *scaled_sums = group.scaled_sums;
  const int32_t* zeros = Read::kZero == Zero::eight        ? group.zero_8
                         : Read::kZero == Zero::thirty_two ? group.zero_32
                                                           : group.zero_128;
  __m512 totals[T];
#pragma GCC unroll 16
  for (int t = 0; t < T; t++) totals[t] = _mm512_setzero_ps();
  for (int stretch = 0; stretch < group.stretches; stretch++, at += kStretchBytes) {
    Read read(at);
#pragma GCC unroll 16
    for (int run = 0; run < Read::kRuns; run++) {
      // A little in every run: a burst would keep the activations waiting.
      if (group.prefetch) prefetch(at + prefetch_bytes(kFormat) + run * kRunBytes, kRunBytes, group.once);
      read.load(run);
      __m512i dots[kChains][T];
#pragma GCC unroll 16
      for (int t = 0; t < T; t++) {
        dots[0][t] = Read::kZero == Zero::none ? _mm512_setzero_si512() : _mm512_set1_epi32(zeros[t]);
        if (kChains > 1) dots[kChains - 1][t] = _mm512_setzero_si512();
      }
#pragma GCC unroll 8
      for (int k = 0; k < Read::kUnits; k++) {
        const __m512i codes = read.codes(k);
#pragma GCC unroll 16
        for (int t = 0; t < T; t++) {
          __m512i& dot = dots[k % kChains][t];
          dot = dot_fours(dot, codes, values + (k * T + t) * 4);
        }
      }
      const __m512 scale = read.scale(run);
      const __m512 minimum = read.minimum(run);
#pragma GCC unroll 16
      for (int t = 0; t < T; t++) {
        if (kChains > 1) dots[0][t] = _mm512_add_epi32(dots[0][t], dots[kChains - 1][t]);
        const __m512 both_scales = _mm512_mul_ps(scale, _mm512_set1_ps(scales[t]));
        totals[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[0][t]), both_scales, totals[t]);
        if (Read::kMinimum) totals[t] = _mm512_fmadd_ps(minimum, _mm512_set1_ps(scaled_sums[t]), totals[t]);
      }
      values += Read::kUnits * T * 4;
      zeros += T;
      if (run % kRunsOfBlock == kRunsOfBlock - 1) scales += T, scaled_sums += T;
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < T; t++) _mm512_mask_storeu_ps(group.out + t * group.out_stride, row_lanes(group, 0), totals[t]);
}

}  // namespace
}  // namespace lancet
