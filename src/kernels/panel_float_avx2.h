// Panel products with f32 activations on AVX2: weights decoded to f32, exactly; a lane is a row, a token's activation
// is broadcast from memory, and every sum is one chain of fused multiply-adds over the columns in order. Included by
// avx2_float.cpp only.
#pragma once

#include "kernels/panel_product_avx2.h"

namespace lancet {
namespace {

inline __m256i load_bytes(const std::byte* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }

/// Words of two bf16 numbers each: the low ones, then the high ones.
inline void split_pairs(__m256i pairs, __m256& low, __m256& high) {
  low = _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
  high = _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int>(0xffff0000))));
}

// How a stretch is decoded, half a panel (8 rows) at a time: cols[c] has column c.

struct Avx2F16 {
  static constexpr Format kFormat = Format::f16;
  static void decode(const std::byte* at, int half, __m256 (&cols)[1]) {
    cols[0] = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 16 * half)));
  }
};

struct Avx2Bf16 {
  static constexpr Format kFormat = Format::bf16;
  static void decode(const std::byte* at, int half, __m256 (&cols)[4]) {
    split_pairs(load_bytes(at + 32 * half), cols[0], cols[1]);
    split_pairs(load_bytes(at + 64 + 32 * half), cols[2], cols[3]);
  }
};

/// A code s eee e mmm is the bf16 number with the high byte s 0 (60 + eee) and the low byte e mmm 0000, as the bias of
/// its exponent grows by 120; only subnormals and NaN differ. So the high byte is looked up by the upper nibble.
struct Avx2F8 {
  static constexpr Format kFormat = Format::f8_e4m3;

  /// Looks 4 bits up in 16 bytes; 0 where the index has its top bit.
  static __m256i look_up(const int8_t (&table)[16], __m256i index) {
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(table))),
                               index);
  }

  struct Constants {
    alignas(32) int8_t magnitude[32], all_but_small[32], nan[32];
  };
  static constexpr Constants constants_for_bytes() {
    Constants all{};
    for (int i = 0; i < 32; i++) all.magnitude[i] = 0x7f, all.all_but_small[i] = 0x70, all.nan[i] = 0xef - 256;
    return all;
  }

  static void decode(const std::byte* at, int half, __m256 (&cols)[4]) {
    static constexpr Constants kConstants = constants_for_bytes();
    // By the code's upper nibble: 60 + eee with the sign.
    alignas(16) static constexpr int8_t kHigh[16] = {60,  61,  62,  63,  64,  65,  66,  67,
                                                     -68, -67, -66, -65, -64, -63, -62, -61};
    // What subnormals (codes 0 to 7) change in the two bytes.
    alignas(16) static constexpr int8_t kHighFix[16] = {60, 60 ^ 59, 60 ^ 59, 60 ^ 59};
    alignas(16) static constexpr int8_t kLowFix[16] = {0,    0x10,        0x20 ^ -128, 0x30 ^ -64,
                                                       0x40, 0x50 ^ 0x20, 0x60 ^ 0x40, 0x70 ^ 0x60};
    const __m256i codes = load_bytes(at + 32 * half);
    const Constants* constants = &kConstants;
    // Where they are is a secret: registers are for sums, and g++ would hold every constant in one.
    asm volatile("" : "+r"(constants));
    const auto constant = [](const int8_t(&bytes)[32]) {
      return _mm256_load_si256(reinterpret_cast<const __m256i*>(bytes));
    };
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(codes, 4), nibble);
    const __m256i lower = _mm256_slli_epi16(_mm256_and_si256(codes, nibble), 4);
    // The magnitude, its top bit set from 16 on; 0xef is NaN.
    const __m256i small =
        _mm256_adds_epu8(_mm256_and_si256(codes, constant(constants->magnitude)), constant(constants->all_but_small));
    const __m256i nan = _mm256_cmpeq_epi8(small, constant(constants->nan));
    const __m256i high = _mm256_or_si256(_mm256_xor_si256(look_up(kHigh, upper), look_up(kHighFix, small)), nan);
    const __m256i low = _mm256_xor_si256(lower, look_up(kLowFix, small));
    split_pairs(_mm256_unpacklo_epi8(low, high), cols[0], cols[1]);
    split_pairs(_mm256_unpackhi_epi8(low, high), cols[2], cols[3]);
  }
};

template <class Read>
struct Avx2FloatPanels {
  static constexpr int kStretchCols = panel_stretch(Read::kFormat).cols;
  static constexpr int kStretchBytes = panel_stretch(Read::kFormat).bytes;
  static constexpr int kUnpackedBytes = kStretchCols * kPanelRows * 4;
  static constexpr int kFusedTokens = 2, kPairTokens = 2;

  static void unpack(const std::byte* weights, int stretches, std::byte* scratch) {
    auto* to = reinterpret_cast<float*>(scratch);
    for (int s = 0; s < stretches; s++, weights += kStretchBytes, to += kStretchCols * kPanelRows) {
      prefetch(weights, kStretchBytes, kPrefetchBytes);
#pragma GCC unroll 2
      for (int half = 0; half < 2; half++) {
        __m256 cols[kStretchCols];
        Read::decode(weights, half, cols);
#pragma GCC unroll 4
        for (int c = 0; c < kStretchCols; c++) _mm256_store_ps(to + c * kPanelRows + 8 * half, cols[c]);
      }
    }
  }

  template <int T>
  static void multiply(const Avx2Slice& slice) {
    __m256 sums[T][2];
    float* out = slice.sums;
#pragma GCC unroll 6
    for (int t = 0; t < T; t++) {
      sums[t][0] = _mm256_loadu_ps(out + t * slice.sums_stride);
      sums[t][1] = _mm256_loadu_ps(out + t * slice.sums_stride + 8);
    }
    const auto* weights = reinterpret_cast<const float*>(slice.weights);
    const auto* values = reinterpret_cast<const float*>(slice.values);
#pragma GCC unroll 4
    for (int c = 0; c < slice.cols; c++, weights += kPanelRows, values += T) {
      const __m256 low = _mm256_load_ps(weights), high = _mm256_load_ps(weights + 8);
#pragma GCC unroll 6
      for (int t = 0; t < T; t++) {
        const __m256 x = _mm256_broadcast_ss(values + t);
        sums[t][0] = _mm256_fmadd_ps(low, x, sums[t][0]);
        sums[t][1] = _mm256_fmadd_ps(high, x, sums[t][1]);
      }
    }
#pragma GCC unroll 6
    for (int t = 0; t < T; t++) {
      _mm256_storeu_ps(out + t * slice.sums_stride, sums[t][0]);
      _mm256_storeu_ps(out + t * slice.sums_stride + 8, sums[t][1]);
    }
  }

  /// `cols` columns of a stretch.
  template <int T, int P>
  static void add_stretch(const std::byte* weights, int64_t panel_bytes, const float* values, int cols,
                          __m256 (&sums)[P][T][2]) {
#pragma GCC unroll 2
    for (int p = 0; p < P; p++) {
#pragma GCC unroll 2
      for (int half = 0; half < 2; half++) {
        __m256 decoded[kStretchCols];
        Read::decode(weights + p * panel_bytes, half, decoded);
#pragma GCC unroll 4
        for (int c = 0; c < kStretchCols; c++) {
          if (c >= cols) break;
#pragma GCC unroll 2
          for (int t = 0; t < T; t++) {
            sums[p][t][half] = _mm256_fmadd_ps(decoded[c], _mm256_broadcast_ss(values + c * T + t), sums[p][t][half]);
          }
        }
      }
    }
  }

  /// P panels side by side.
  template <int T, int P>
  static void multiply_fused(const Avx2Slice& slice) {
    __m256 sums[P][T][2];
#pragma GCC unroll 2
    for (int p = 0; p < P; p++) {
#pragma GCC unroll 2
      for (int t = 0; t < T; t++) sums[p][t][0] = sums[p][t][1] = _mm256_setzero_ps();
    }
    const std::byte* weights = slice.weights;
    const auto* values = reinterpret_cast<const float*>(slice.values);
    int cols = slice.cols;
    for (; cols >= kStretchCols; cols -= kStretchCols, weights += kStretchBytes, values += kStretchCols * T) {
#pragma GCC unroll 2
      for (int p = 0; p < P; p++) prefetch(weights + p * slice.panel_bytes, kStretchBytes, kPrefetchBytes);
      add_stretch<T, P>(weights, slice.panel_bytes, values, kStretchCols, sums);
    }
    if (cols > 0) add_stretch<T, P>(weights, slice.panel_bytes, values, cols, sums);
#pragma GCC unroll 2
    for (int p = 0; p < P; p++) {
#pragma GCC unroll 2
      for (int t = 0; t < T; t++) {
        float* out = slice.sums + t * slice.sums_stride + p * kPanelRows;
        _mm256_storeu_ps(out, sums[p][t][0]);
        _mm256_storeu_ps(out + 8, sums[p][t][1]);
      }
    }
  }
};

}  // namespace
}  // namespace lancet
