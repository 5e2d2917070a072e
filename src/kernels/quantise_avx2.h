// Rounding of activations on AVX2. Included by avx2.cpp only.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace lancet {
namespace {

inline float largest_lane(__m256 values) {
  __m128 largest = _mm_max_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
  largest = _mm_max_ps(largest, _mm_movehl_ps(largest, largest));
  return _mm_cvtss_f32(_mm_max_ss(largest, _mm_shuffle_ps(largest, largest, 1)));
}

/// Quantises one block of 32; the definition is scalar.cpp's.
inline void quantise_block(const float* values, int8_t* quants, float& scale, int32_t& sum) {
  const __m256 magnitude_mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  __m256 largest = _mm256_setzero_ps(), unordered = _mm256_setzero_ps();
  for (int v = 0; v < 4; v++) {
    const __m256 x = _mm256_loadu_ps(values + 8 * v);
    largest = _mm256_max_ps(largest, _mm256_and_ps(x, magnitude_mask));
    unordered = _mm256_or_ps(unordered, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  }
  const float amax = _mm256_movemask_ps(unordered) != 0 ? __builtin_nanf("") : largest_lane(largest);
  scale = amax / 127.0f;
  const __m256 inverse = _mm256_set1_ps(amax > 0.0f ? 127.0f / amax : 0.0f);
  __m256i codes[4], total = _mm256_setzero_si256();
  for (int v = 0; v < 4; v++) {
    const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(values + 8 * v), inverse);
    const __m256 fits = _mm256_cmp_ps(_mm256_and_ps(scaled, magnitude_mask), _mm256_set1_ps(127.5f), _CMP_LE_OQ);
    codes[v] = _mm256_and_si256(_mm256_cvtps_epi32(scaled), _mm256_castps_si256(fits));
    total = _mm256_add_epi32(total, codes[v]);
  }
  // Packing works within 128-bit lanes; the permutation puts the fours back in order.
  const __m256i bytes =
      _mm256_packs_epi16(_mm256_packs_epi32(codes[0], codes[1]), _mm256_packs_epi32(codes[2], codes[3]));
  const __m256i ordered = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(quants), ordered);
  __m128i sums = _mm_add_epi32(_mm256_castsi256_si128(total), _mm256_extracti128_si256(total, 1));
  sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0x4e));
  sum = _mm_cvtsi128_si32(_mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0xb1)));
}

inline void quantise(const float* values, int tokens, int cols, int8_t* quants, float* scales, int32_t* sums) {
  const int64_t blocks = int64_t{tokens} * (cols / 32);
  for (int64_t block = 0; block < blocks; block++) {
    quantise_block(values + block * 32, quants + block * 32, scales[block], sums[block]);
  }
}

}  // namespace
}  // namespace lancet
