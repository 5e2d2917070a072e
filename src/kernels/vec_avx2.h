// AVX2 with FMA and F16C as the shared loops (exact_product.h, vector_ops.h) want it. Included by avx2.cpp only.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/kernels.h"

namespace lancet {
namespace {

struct Avx2 {
  using Vec = __m256;
  static constexpr int kWidth = 8;
  struct Quad {
    Vec v[4];
  };

  static Vec zero() { return _mm256_setzero_ps(); }
  static Vec set(float value) { return _mm256_set1_ps(value); }
  static Vec load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, Vec value) { _mm256_storeu_ps(to, value); }
  static __m256i first(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  /// count < kWidth; the other lanes are 0 and are not read.
  static Vec load_part(const float* from, int count) { return _mm256_maskload_ps(from, first(count)); }
  static void store_part(float* to, Vec value, int count) { _mm256_maskstore_ps(to, first(count), value); }
  static Vec keep(Vec value, int count) { return _mm256_and_ps(value, _mm256_castsi256_ps(first(count))); }

  static Vec load_f16(const uint16_t* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }

  static Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
  static Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
  static Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
  static Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
  static Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
  /// The second operand if either is NaN; so is min.
  static Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
  static Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
  static Vec round(Vec a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  /// a * 2^n for integral |n| <= 250, in two steps of which only the second can round.
  static Vec scale_by_power(Vec a, Vec n) {
    const __m256i exponent = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(exponent, 1);
    return mul(mul(a, power_of_two(half)), power_of_two(_mm256_sub_epi32(exponent, half)));
  }
  static Vec power_of_two(__m256i exponent) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(exponent, _mm256_set1_epi32(127)), 23));
  }

  using Four = __m128;
  static void store_four(float* to, Four value) { _mm_storeu_ps(to, value); }
  /// Sums of the lanes of four vectors, each in the same fixed order.
  static Four reduce4(Vec a, Vec b, Vec c, Vec d) {
    const __m256 lanes = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
  }
  static float reduce(Vec a) { return _mm_cvtss_f32(reduce4(a, a, a, a)); }

  /// 32 consecutive numbers.
  template <Format format>
  static Quad load_quad(const std::byte* from) {
    static_assert(format == Format::f32 || format == Format::f16 || format == Format::bf16 ||
                  format == Format::f8_e4m3);
    Quad quad;
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      if constexpr (format == Format::f32) quad.v[i] = load(reinterpret_cast<const float*>(from + 32 * i));
      if constexpr (format == Format::f16) quad.v[i] = load_f16(reinterpret_cast<const uint16_t*>(from + 16 * i));
      if constexpr (format == Format::bf16) quad.v[i] = load_bf16(from + 16 * i);
      if constexpr (format == Format::f8_e4m3) quad.v[i] = load_e4m3(from + 8 * i);
    }
    return quad;
  }
  static Vec load_int8(const std::byte* from) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
  }
  /// One f16 number in all lanes.
  static Vec load_half(const std::byte* from) {
    uint16_t bits;
    std::memcpy(&bits, from, sizeof bits);
    return set(_cvtsh_ss(bits));
  }
  static Vec load_bf16(const std::byte* from) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
  /// An E4M3 code shifted by 7 is the f16 number with the same bits and another bias: 2^-8 times the value, subnormals
  /// included. The NaN code alone needs care: all exponent bits are set for it.
  static Vec load_e4m3(const std::byte* from) {
    const __m128i codes = _mm_cvtepi8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
    const __m128i magnitude_mask = _mm_set1_epi16(0x3f80);
    const __m128i halves = _mm_and_si128(_mm_slli_epi16(codes, 7), _mm_set1_epi16(static_cast<short>(0xbf80)));
    const __m128i nan = _mm_cmpeq_epi16(_mm_and_si128(halves, magnitude_mask), magnitude_mask);
    return mul(_mm256_cvtph_ps(_mm_or_si128(halves, nan)), set(256.0f));
  }
};

}  // namespace
}  // namespace lancet
