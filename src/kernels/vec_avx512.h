// AVX-512 as the shared loops (exact_product.h, vector_ops.h) want it. Included by avx512.cpp only.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/kernels.h"

namespace lancet {
namespace {

/// E4M3 magnitude code -> bf16 bits, split into low and high bytes: two byte look-ups decode 64 codes exactly,
/// subnormals and NaN included. After the look-ups bytes are interleaved within 128-bit lanes and widened to f32, which
/// leaves the values in the order `order` undoes beforehand.
struct E4m3Tables {
  alignas(64) uint8_t low[128]{};
  alignas(64) uint8_t high[128]{};
  alignas(64) uint8_t order[64]{};

  constexpr E4m3Tables() {
    for (uint32_t code = 0; code < 128; code++) {
      const uint32_t bits = bf16_bits(code);
      low[code] = static_cast<uint8_t>(bits & 255u);
      high[code] = static_cast<uint8_t>(bits >> 8);
    }
    for (int vec = 0; vec < 4; vec++) {
      for (int i = 0; i < 16; i++)
        order[16 * (i / 4) + 8 * (vec / 2) + 2 * (i % 4) + vec % 2] = static_cast<uint8_t>(16 * vec + i);
    }
  }
  static constexpr uint32_t bf16_bits(uint32_t code) {
    if (code == 127) return 0x7fc0;
    uint32_t exponent = code >> 3, mantissa = code & 7u;
    if (exponent > 0) return (exponent + 120u) << 7 | mantissa << 4;
    if (mantissa == 0) return 0;
    exponent = 121;  // of the smallest normal number, 2^-6
    while (mantissa < 8) mantissa *= 2, exponent--;
    return exponent << 7 | (mantissa & 7u) << 4;
  }
};
constexpr E4m3Tables kE4m3Tables;

struct E4m3Decoder {
  __m512i low0 = _mm512_load_si512(kE4m3Tables.low), low1 = _mm512_load_si512(kE4m3Tables.low + 64);
  __m512i high0 = _mm512_load_si512(kE4m3Tables.high), high1 = _mm512_load_si512(kE4m3Tables.high + 64);
  /// bf16 numbers: in each quarter, those of its bytes 0-7, and those of its bytes 8-15.
  void decode(__m512i codes, __m512i (&numbers)[2]) const {
    const __m512i low = _mm512_permutex2var_epi8(low0, codes, low1);
    const __m512i magnitude = _mm512_permutex2var_epi8(high0, codes, high1);
    // magnitude | (codes & 0x80)
    const __m512i high = _mm512_ternarylogic_epi32(magnitude, codes, _mm512_set1_epi8(static_cast<char>(0x80)), 0xf8);
    numbers[0] = _mm512_unpacklo_epi8(low, high);
    numbers[1] = _mm512_unpackhi_epi8(low, high);
  }
};

/// Words of two bf16 numbers each: the low ones, then the high ones.
inline void split_pairs(__m512i pairs, __m512& low, __m512& high) {
  low = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
  high = _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
}

struct Avx512 {
  using Vec = __m512;
  static constexpr int kWidth = 16;
  struct Quad {
    Vec v[4];
  };

  static Vec zero() { return _mm512_setzero_ps(); }
  static Vec set(float value) { return _mm512_set1_ps(value); }
  static Vec load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, Vec value) { _mm512_storeu_ps(to, value); }
  static __mmask16 first(int count) { return static_cast<__mmask16>((1u << count) - 1u); }
  /// count < kWidth; the other lanes are 0 and are not read.
  static Vec load_part(const float* from, int count) { return _mm512_maskz_loadu_ps(first(count), from); }
  static void store_part(float* to, Vec value, int count) { _mm512_mask_storeu_ps(to, first(count), value); }
  static Vec keep(Vec value, int count) { return _mm512_maskz_mov_ps(first(count), value); }

  static Vec load_f16(const uint16_t* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }

  static Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  static Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
  static Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
  static Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
  static Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
  /// The second operand if either is NaN; so is min.
  static Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
  static Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
  static Vec round(Vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  /// a * 2^n for integral n; right for results below the normal range too.
  static Vec scale_by_power(Vec a, Vec n) { return _mm512_scalef_ps(a, n); }

  using Four = __m128;
  static void store_four(float* to, Four value) { _mm_storeu_ps(to, value); }
  /// Sums of the lanes of four vectors, each in the same fixed order.
  static Four reduce4(Vec a, Vec b, Vec c, Vec d) {
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m512d abd = _mm512_castps_pd(ab), cdd = _mm512_castps_pd(cd);
    const __m512 lanes =
        _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(abd, cdd)), _mm512_castpd_ps(_mm512_unpackhi_pd(abd, cdd)));
    const __m256 halves = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
    return _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
  }
  static float reduce(Vec a) { return _mm_cvtss_f32(reduce4(a, a, a, a)); }

  /// 64 consecutive numbers.
  template <Format format>
  static Quad load_quad(const std::byte* from) {
    static_assert(format == Format::f32 || format == Format::f16 || format == Format::bf16 ||
                  format == Format::f8_e4m3);
    if constexpr (format == Format::f8_e4m3) return load_e4m3(from);
    Quad quad;
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      if constexpr (format == Format::f32) quad.v[i] = _mm512_loadu_ps(from + 64 * i);
      if constexpr (format == Format::f16) quad.v[i] = load_f16(reinterpret_cast<const uint16_t*>(from + 32 * i));
      if constexpr (format == Format::bf16) quad.v[i] = load_bf16(from + 32 * i);
    }
    return quad;
  }
  static Vec load_int8(const std::byte* from) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
  }
  /// One f16 number in all lanes.
  static Vec load_half(const std::byte* from) {
    uint16_t bits;
    std::memcpy(&bits, from, sizeof bits);
    return set(_cvtsh_ss(bits));
  }
  static Vec load_bf16(const std::byte* from) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
  }
  static Quad load_e4m3(const std::byte* from) {
    __m512i halves[2];
    E4m3Decoder().decode(_mm512_permutexvar_epi8(_mm512_load_si512(kE4m3Tables.order), _mm512_loadu_si512(from)),
                         halves);
    Quad quad;
    split_pairs(halves[0], quad.v[0], quad.v[1]);
    split_pairs(halves[1], quad.v[2], quad.v[3]);
    return quad;
  }
};

}  // namespace
}  // namespace lancet
