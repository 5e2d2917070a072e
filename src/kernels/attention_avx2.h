// AVX2 as attention_tile.h wants it. Included by avx2.cpp only.
#pragma once

#include "kernels/vec_avx2.h"

namespace lancet {
namespace {

struct AttentionAvx2 : Avx2 {
  using Int = __m256i;
  static Int int_zero() { return _mm256_setzero_si256(); }
  /// 16 codes: 8 pairs.
  static Int load_codes(const int16_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static Int load_codes(const int8_t* from) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static Int broadcast_pair(const int16_t* from) {
    int32_t pair;
    std::memcpy(&pair, from, sizeof pair);
    return _mm256_set1_epi32(pair);
  }
  static Int multiply_pairs(Int sum, Int a, Int b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }
  static Vec to_float(Int a) { return _mm256_cvtepi32_ps(a); }
  /// Nearest integers, within int16.
  static void store_rounded(int16_t* to, Vec a) {
    const __m256i whole = _mm256_cvtps_epi32(a);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                     _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1)));
  }
  /// The greatest lane of each.
  static Four max4(Vec a, Vec b, Vec c, Vec d) {
    const __m256 ab = max(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    const __m256 cd = max(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    const __m256 lanes = max(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
    return _mm_max_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
  }
};

}  // namespace
}  // namespace lancet
