// Rounding of activations on AVX-512. Included by avx512.cpp only.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace lancet {
namespace {

/// Quantises one block of 32; the definition is scalar.cpp's.
inline void quantise_block(const float* values, int8_t* quants, float& scale, int32_t& sum) {
  const __m512 first = _mm512_loadu_ps(values), second = _mm512_loadu_ps(values + 16);
  const bool nan = _mm512_cmp_ps_mask(first, second, _CMP_UNORD_Q) != 0;
  const float amax =
      nan ? __builtin_nanf("") : _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(first), _mm512_abs_ps(second)));
  scale = amax / 127.0f;
  const __m512 inverse = _mm512_set1_ps(amax > 0.0f ? 127.0f / amax : 0.0f);
  const auto round = [&](__m512 x) {
    const __m512 scaled = _mm512_mul_ps(x, inverse);
    const __mmask16 fits = _mm512_cmp_ps_mask(_mm512_abs_ps(scaled), _mm512_set1_ps(127.5f), _CMP_LE_OQ);
    return _mm512_maskz_cvtps_epi32(fits, scaled);
  };
  const __m512i low = round(first), high = round(second);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(quants), _mm512_cvtepi32_epi8(low));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(quants + 16), _mm512_cvtepi32_epi8(high));
  sum = _mm512_reduce_add_epi32(_mm512_add_epi32(low, high));
}

inline void quantise(const float* values, int tokens, int cols, int8_t* quants, float* scales, int32_t* sums) {
  const int64_t blocks = int64_t{tokens} * (cols / 32);
  for (int64_t block = 0; block < blocks; block++) {
    quantise_block(values + block * 32, quants + block * 32, scales[block], sums[block]);
  }
}

}  // namespace
}  // namespace lancet
