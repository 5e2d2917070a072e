// Panels packed with AVX-512: 16 rows of 64 bytes, transposed as words, are 16 units. Included by avx512_float.cpp and
// avx512_int8.cpp; the definition is panel_scalar.h's, which also packs what is rare.
#pragma once

#include <immintrin.h>

#include "kernels/panel_scalar.h"

namespace lancet {
namespace {

/// r[i] lane j becomes r[j] lane i.
inline void transpose(__m512i (&r)[16]) {
  __m512i a[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    a[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
  // r[4 q + c] holds, in 128-bit lane l, column 4 l + c of rows 4 q .. 4 q + 3.
#pragma GCC unroll 4
  for (int c = 0; c < 4; c++) {
    const __m512i low01 = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88),
                  high01 = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd);
    const __m512i low23 = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
    const __m512i high23 = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
    a[c] = _mm512_shuffle_i32x4(low01, low23, 0x88);
    a[8 + c] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
    a[4 + c] = _mm512_shuffle_i32x4(high01, high23, 0x88);
    a[12 + c] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) r[i] = a[i];
}

/// load(r): 64 bytes of row r. Writes 16 units.
template <typename Load>
void pack_units(const Load& load, std::byte* units) {
  __m512i rows[16];
#pragma GCC unroll 16
  for (int r = 0; r < 16; r++) rows[r] = load(r);
  transpose(rows);
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) _mm512_storeu_si512(units + 64 * i, rows[i]);
}

inline void pack_words(const PackPanel& job, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += 64) {
    pack_units([&](int r) { return _mm512_loadu_si512(job.rows + r * job.row_stride + at); }, job.panel + at * 16);
  }
}

inline void pack_bf16_fast(const PackPanel& job) { pack_words(job, int64_t{job.cols} * 2); }

inline void pack_f8_fast(const PackPanel& job) {
  // In every quarter: bytes 0 and 1 of the four words, then bytes 2 and 3.
  const __m512i order = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
  for (int64_t at = 0; at < job.cols; at += 64) {
    __m512i rows[16];
#pragma GCC unroll 16
    for (int r = 0; r < 16; r++) rows[r] = _mm512_loadu_si512(job.rows + r * job.row_stride + at);
    transpose(rows);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
      _mm512_storeu_si512(job.panel + at * 16 + 64 * i, _mm512_shuffle_epi8(rows[i], order));
    }
  }
}

inline void pack_q8_0_fast(const PackPanel& job) {
  constexpr int kBytes = panel_stretch(Format::q8_0).bytes;
  std::byte* to = job.panel;
  for (int64_t b = 0; b < job.cols / kQuantBlock; b += 2, to += kBytes) {
    const auto load = [&](int r) {
      const std::byte* at = job.rows + r * job.row_stride + b * 34 + 2;
      const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
      const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + 34));
      return _mm512_xor_si512(_mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1),
                              _mm512_set1_epi8(static_cast<char>(0x80)));
    };
    pack_units(load, to);
    for (int r = 0; r < kPanelRows; r++) {
      const std::byte* row = job.rows + r * job.row_stride + b * 34;
      put_half(row, r, 0, to + 16 * 64);
      put_half(row + 34, r, 1, to + 16 * 64);
    }
  }
}

/// q4_0 and q4_1, four blocks (two stretches) at a time.
template <Format format>
void pack_nibbles_fast(const PackPanel& job) {
  constexpr int kBytes = panel_stretch(format).bytes, kBlock = format == Format::q4_0 ? 18 : 20;
  constexpr int kHead = kBlock - 16;
  std::byte* to = job.panel;
  for (int64_t b = 0; b < job.cols / kQuantBlock; b += 4, to += 2 * kBytes) {
    const auto load = [&](int r) {
      const std::byte* at = job.rows + r * job.row_stride + b * kBlock + kHead;
      const auto codes = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + i * kBlock)); };
      const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(codes(0)), codes(1), 1);
      const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(codes(2)), codes(3), 1);
      return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    };
    std::byte units[16 * 64];
    pack_units(load, units);
    for (const int stretch : {0, 1}) {
      std::byte* at = to + stretch * kBytes;
      std::memcpy(at, units + stretch * 8 * 64, 8 * 64);
      for (int r = 0; r < kPanelRows; r++) {
        const std::byte* row = job.rows + r * job.row_stride + (b + 2 * stretch) * kBlock;
        for (const int odd : {0, 1}) {
          put_half(row + odd * kBlock, r, odd, at + 8 * 64);
          if (format == Format::q4_1) put_half(row + odd * kBlock + 2, r, 2 + odd, at + 8 * 64);
        }
      }
    }
  }
}

/// 64 bytes of nibbles, 32 for each of two pairs of blocks (low nibbles are the even block), to the panel's: 16 bytes a
/// block, the second half of its columns in the high nibbles.
inline __m512i nibbles_by_block(const std::byte* at) {
  const __m512i both = _mm512_loadu_si512(at);
  const __m512i four = _mm512_set1_epi8(15);
  // Quarters: pair 0 columns 0-15, 16-31, pair 1 columns 0-15, 16-31.
  const __m512i first = _mm512_shuffle_i64x2(both, both, _MM_SHUFFLE(2, 2, 0, 0));
  const __m512i second = _mm512_shuffle_i64x2(both, both, _MM_SHUFFLE(3, 3, 1, 1));
  const __m512i even =
      _mm512_or_si512(_mm512_and_si512(first, four), _mm512_slli_epi16(_mm512_and_si512(second, four), 4));
  const __m512i odd =
      _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(first, 4), four), _mm512_andnot_si512(four, second));
  return _mm512_mask_blend_epi64(0xcc, even, odd);
}

inline void pack_q4_k_fast(const PackPanel& job) {
  constexpr int kBytes = panel_stretch(Format::q4_k).bytes;
  std::byte* to = job.panel;
  for (int64_t b = 0; b < job.cols / 256; b++, to += kBytes) {
    const std::byte* rows = job.rows + b * 144;
    for (const int half : {0, 1}) {
      pack_units([&](int r) { return nibbles_by_block(rows + r * job.row_stride + 16 + 64 * half); }, to + half * 1024);
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
