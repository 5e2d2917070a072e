// Products with int8 activations for q4_0, q4_1, q8_0, q4_k and q5_k on AVX2. Included by avx2.cpp only.
//
// A weight is scale * code + minimum. The products of a block of 32 are added in fours to eight integers, exact, which
// join eight float lanes with one fused multiply-add; the minima have a sum of their own. Both go in the order of the
// blocks, for any number of tokens, so every result has one order.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "kernels/exact_product.h"
#include "kernels/kernels.h"
#include "kernels/vec_avx2.h"

namespace lancet {
namespace {

constexpr int kInt8Tokens = 4;  // tokens that share an unpacked block

inline float half_at(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)));
}

/// Low nibbles of 16 bytes, then their high nibbles.
inline __m256i nibbles(const std::byte* at) {
  const __m128i both = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  const __m256i spread = _mm256_inserti128_si256(_mm256_castsi128_si256(both), _mm_srli_epi16(both, 4), 1);
  return _mm256_and_si256(spread, _mm256_set1_epi8(15));
}

/// One block of 32 weights: scale * code + minimum.
struct Block {
  __m256i codes;
  float scale, minimum;
};

// How a format's block number b of a row is read. kSigned: codes are signed bytes.
struct ReadQ4_0 {
  static constexpr Format kFormat = Format::q4_0;
  static constexpr bool kSigned = true, kHasMinimum = false;
  static Block read(const std::byte* row, int64_t b) {
    const std::byte* block = row + b * 18;
    return {_mm256_sub_epi8(nibbles(block + 2), _mm256_set1_epi8(8)), half_at(block), 0.0f};
  }
};

struct ReadQ4_1 {
  static constexpr Format kFormat = Format::q4_1;
  static constexpr bool kSigned = false, kHasMinimum = true;
  static Block read(const std::byte* row, int64_t b) {
    const std::byte* block = row + b * 20;
    return {nibbles(block + 4), half_at(block), half_at(block + 2)};
  }
};

struct ReadQ8_0 {
  static constexpr Format kFormat = Format::q8_0;
  static constexpr bool kSigned = true, kHasMinimum = false;
  static Block read(const std::byte* row, int64_t b) {
    const std::byte* block = row + b * 34;
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + 2)), half_at(block), 0.0f};
  }
};

/// Block b % 8 of a superblock of 256 with its 4-bit codes at `quants` (format_blocks.cpp has the layout).
inline Block read_superblock(const std::byte* superblock, const std::byte* quants, int64_t b) {
  const auto packed = [superblock](int64_t i) { return static_cast<int>(superblock[4 + i]); };
  const int64_t j = b % 8;
  const int scale = j < 4 ? packed(j) & 63 : (packed(j + 4) & 15) | packed(j - 4) >> 6 << 4;
  const int minimum = j < 4 ? packed(j + 4) & 63 : packed(j + 4) >> 4 | packed(j) >> 6 << 4;
  const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(quants + j / 2 * 32));
  const __m256i codes = _mm256_srl_epi16(both, _mm_cvtsi32_si128(static_cast<int>(j % 2 * 4)));
  return {_mm256_and_si256(codes, _mm256_set1_epi8(15)), half_at(superblock) * static_cast<float>(scale),
          -half_at(superblock + 2) * static_cast<float>(minimum)};
}

struct ReadQ4_K {
  static constexpr Format kFormat = Format::q4_k;
  static constexpr bool kSigned = false, kHasMinimum = true;
  static Block read(const std::byte* row, int64_t b) {
    const std::byte* superblock = row + b / 8 * 144;
    return read_superblock(superblock, superblock + 16, b);
  }
};

struct ReadQ5_K {
  static constexpr Format kFormat = Format::q5_k;
  static constexpr bool kSigned = false, kHasMinimum = true;
  static Block read(const std::byte* row, int64_t b) {
    const std::byte* superblock = row + b / 8 * 176;
    Block block = read_superblock(superblock, superblock + 48, b);
    const __m256i fifths = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(superblock + 16));
    const __m256i bit = _mm256_set1_epi8(static_cast<char>(1 << (b % 8)));
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(fifths, bit), bit);
    block.codes = _mm256_or_si256(block.codes, _mm256_and_si256(set, _mm256_set1_epi8(16)));
    return block;
  }
};

/// Products of codes and quants, added in fours. Pairs stay below 2^15: |code| <= 128, |quant| <= 127.
template <bool kSigned>
__m256i multiply_codes(__m256i codes, __m256i quants) {
  const __m256i pairs = kSigned ? _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(quants, codes))
                                : _mm256_maddubs_epi16(codes, quants);
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

/// One row times T tokens from `token` on.
template <class Read, int T>
void multiply_row(const RowsProduct& product, int64_t row, int64_t token) {
  const Activations& x = *product.x;
  const int64_t blocks = x.cols / 32;
  const std::byte* weights = product.weights + row * bytes_of_row(Read::kFormat, x.cols);
  __m256 totals[T];
  float minima[T] = {};
#pragma GCC unroll 4
  for (int t = 0; t < T; t++) totals[t] = _mm256_setzero_ps();
  for (int64_t b = 0; b < blocks; b++) {
    const Block block = Read::read(weights, b);
#pragma GCC unroll 4
    for (int t = 0; t < T; t++) {
      const int8_t* quants = x.quants + (token + t) * x.cols + b * 32;
      const int64_t at = (token + t) * blocks + b;
      const __m256i dots =
          multiply_codes<Read::kSigned>(block.codes, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(quants)));
      totals[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots), _mm256_set1_ps(block.scale * x.scales[at]), totals[t]);
      if constexpr (Read::kHasMinimum) minima[t] += block.minimum * x.scales[at] * static_cast<float>(x.sums[at]);
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < T; t++) product.out[(token + t) * product.out_stride + row] = Avx2::reduce(totals[t]) + minima[t];
}

template <class Read>
void int8_product(const RowsProduct& product) {
  const int tokens = product.x->tokens;
  for (int64_t row = product.row_begin; row < product.row_end; row++) {
    int token = 0;
    for (; token + kInt8Tokens <= tokens; token += kInt8Tokens) multiply_row<Read, kInt8Tokens>(product, row, token);
    switch (tokens - token) {
      case 1: multiply_row<Read, 1>(product, row, token); break;
      case 2: multiply_row<Read, 2>(product, row, token); break;
      case 3: multiply_row<Read, 3>(product, row, token); break;
      default: break;
    }
  }
}

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
