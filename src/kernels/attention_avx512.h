// AVX-512 as attention_tile.h wants it. Included by avx512.cpp only.
#pragma once

#include "kernels/vec_avx512.h"

namespace lancet {
namespace {

struct AttentionAvx512 : Avx512 {
  using Int = __m512i;
  static Int int_zero() { return _mm512_setzero_si512(); }
  /// 32 codes: 16 pairs.
  static Int load_codes(const int16_t* from) { return _mm512_loadu_si512(from); }
  static Int load_codes(const int8_t* from) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static Int broadcast_pair(const int16_t* from) {
    int32_t pair;
    std::memcpy(&pair, from, sizeof pair);
    return _mm512_set1_epi32(pair);
  }
  /// Not the intrinsic: g++ 12 copies registers around it.
  static Int multiply_pairs(Int sum, Int a, Int b) {
    asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
  }
  static Vec to_float(Int a) { return _mm512_cvtepi32_ps(a); }
  /// Nearest integers, within int16.
  static void store_rounded(int16_t* to, Vec a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(a)));
  }
  /// The greatest lane of each.
  static Four max4(Vec a, Vec b, Vec c, Vec d) {
    const __m512 ab = max(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m512 cd = max(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m512 lanes = max(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
    const __m256 halves = _mm256_max_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
    return _mm_max_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
  }
};

}  // namespace
}  // namespace lancet
