// Panels packed with AVX2: 8 rows of 32 bytes, transposed as words, are halves of 8 units. Included by avx2_float.cpp
// and avx2_int8.cpp; the definition is panel_scalar.h's, which also packs what is rare.
#pragma once

#include <immintrin.h>

#include "kernels/panel_scalar.h"

namespace lancet {
namespace {

/// r[i] lane j becomes r[j] lane i.
inline void transpose(__m256i (&r)[8]) {
  __m256i a[8], b[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
    a[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
  }
  // b[4 q + c] holds, in 128-bit lane l, column 4 l + c of rows 4 q .. 4 q + 3.
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
    b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
    b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
    b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; c++) {
    r[c] = _mm256_permute2x128_si256(b[c], b[4 + c], 0x20);
    r[4 + c] = _mm256_permute2x128_si256(b[c], b[4 + c], 0x31);
  }
}

inline __m256i load_row(const std::byte* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }

/// load(r): 32 bytes of row r. Writes 8 units, each after change(half of the unit).
template <typename Load, typename Change>
void pack_units(const Load& load, const Change& change, std::byte* units) {
  for (int first = 0; first < kPanelRows; first += 8) {
    __m256i rows[8];
#pragma GCC unroll 8
    for (int r = 0; r < 8; r++) rows[r] = load(first + r);
    transpose(rows);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(units + 64 * i + 4 * first), change(rows[i]));
    }
  }
}
constexpr auto kAsItIs = [](__m256i half_unit) { return half_unit; };

inline void pack_bf16_fast(const PackPanel& job) {
  for (int64_t at = 0; at < int64_t{job.cols} * 2; at += 32) {
    pack_units([&](int r) { return load_row(job.rows + r * job.row_stride + at); }, kAsItIs, job.panel + at * 16);
  }
}

inline void pack_f8_fast(const PackPanel& job) {
  // In every quarter: bytes 0 and 1 of the four words, then bytes 2 and 3.
  const __m256i order =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
  for (int64_t at = 0; at < job.cols; at += 32) {
    pack_units([&](int r) { return load_row(job.rows + r * job.row_stride + at); },
               [&](__m256i half_unit) { return _mm256_shuffle_epi8(half_unit, order); }, job.panel + at * 16);
  }
}

/// f16: 8 columns at a time; a unit of two columns, its low halves, then its high ones.
inline void pack_f16_fast(const PackPanel& job) {
  for (int64_t c = 0; c < job.cols; c += 16) {
    std::byte units[8 * 64];
    pack_units([&](int r) { return load_row(job.rows + r * job.row_stride + c * 2); }, kAsItIs, units);
    const __m256i order =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
    for (int pair = 0; pair < 8; pair++) {
      // Quarters of 4 rows: low halves of rows 0-3, high ones, low ones of rows 4-7, high ones.
      const __m256i low = _mm256_shuffle_epi8(load_row(units + 64 * pair), order);
      const __m256i high = _mm256_shuffle_epi8(load_row(units + 64 * pair + 32), order);
      const __m256i even = _mm256_permute4x64_epi64(_mm256_unpacklo_epi64(low, high), 0xd8);
      const __m256i odd = _mm256_permute4x64_epi64(_mm256_unpackhi_epi64(low, high), 0xd8);
      std::byte* to = job.panel + (c + 2 * pair) * 32;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), even);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 32), odd);
    }
  }
}

inline void pack_q8_0_fast(const PackPanel& job) {
  constexpr int kBytes = panel_stretch(Format::q8_0).bytes;
  const __m256i sign = _mm256_set1_epi8(-128);
  for (int64_t b = 0; b < job.cols / kQuantBlock; b++) {
    std::byte* to = job.panel + b / 2 * kBytes;
    const std::byte* rows = job.rows + b * 34;
    pack_units([&](int r) { return load_row(rows + r * job.row_stride + 2); },
               [&](__m256i half_unit) { return _mm256_xor_si256(half_unit, sign); }, to + b % 2 * 8 * 64);
    for (int r = 0; r < kPanelRows; r++) put_half(rows + r * job.row_stride, r, static_cast<int>(b % 2), to + 16 * 64);
  }
}

/// q4_0 and q4_1, two blocks (a stretch) at a time.
template <Format format>
void pack_nibbles_fast(const PackPanel& job) {
  constexpr int kBlock = format == Format::q4_0 ? 18 : 20, kHead = kBlock - 16;
  std::byte* to = job.panel;
  for (int64_t b = 0; b < job.cols / kQuantBlock; b += 2, to += panel_stretch(format).bytes) {
    const std::byte* rows = job.rows + b * kBlock;
    const auto load = [&](int r) {
      const std::byte* at = rows + r * job.row_stride + kHead;
      return _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(at + kBlock), reinterpret_cast<const __m128i*>(at));
    };
    pack_units(load, kAsItIs, to);
    for (int r = 0; r < kPanelRows; r++) {
      const std::byte* row = rows + r * job.row_stride;
      for (const int odd : {0, 1}) {
        put_half(row + odd * kBlock, r, odd, to + 8 * 64);
        if (format == Format::q4_1) put_half(row + odd * kBlock + 2, r, 2 + odd, to + 8 * 64);
      }
    }
  }
}

/// 32 bytes of a pair of blocks (low nibbles are the first) to 16 bytes a block, the second half of its columns in the
/// high nibbles.
inline __m256i nibbles_by_block(const std::byte* at) {
  const __m128i* halves = reinterpret_cast<const __m128i*>(at);
  const __m128i first = _mm_loadu_si128(halves), second = _mm_loadu_si128(halves + 1), four = _mm_set1_epi8(15);
  const __m128i even = _mm_or_si128(_mm_and_si128(first, four), _mm_slli_epi16(_mm_and_si128(second, four), 4));
  const __m128i odd = _mm_or_si128(_mm_and_si128(_mm_srli_epi16(first, 4), four), _mm_andnot_si128(four, second));
  return _mm256_inserti128_si256(_mm256_castsi128_si256(even), odd, 1);
}

inline void pack_q4_k_fast(const PackPanel& job) {
  std::byte* to = job.panel;
  for (int64_t b = 0; b < job.cols / 256; b++, to += panel_stretch(Format::q4_k).bytes) {
    const std::byte* rows = job.rows + b * 144;
    for (int pair = 0; pair < 4; pair++) {
      pack_units([&](int r) { return nibbles_by_block(rows + r * job.row_stride + 16 + 32 * pair); }, kAsItIs,
                 to + pair * 8 * 64);
    }
    for (int r = 0; r < kPanelRows; r++) {
      const std::byte* block = rows + r * job.row_stride;
      put_fours(block + 4, 12, r, to + 32 * 64);
      put_half(block, r, 0, to + 35 * 64);
      put_half(block + 2, r, 1, to + 35 * 64);
    }
  }
}

}  // namespace
}  // namespace lancet
