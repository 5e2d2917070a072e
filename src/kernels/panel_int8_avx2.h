// Panel products with int8 activations on AVX2: a lane of 32 bits is a row. `vpmaddubsw` multiplies 4 unsigned codes of
// each row with 4 quants of one token, broadcast from memory, and adds them in pairs to 16 bits; codes of few bits
// leave room to add several of those before `vpmaddwd` widens them. The codes of q8_0 leave none, and two of their
// products would not even fit: they are two planes of 4 bits. All of it is exact; then it is scaled and added, run by
// run. Included by avx2_int8.cpp only.
#pragma once

#include "kernels/panel_product_avx2.h"

namespace lancet {
namespace {

inline __m256i half_unit(const std::byte* at, int number, int half) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + 64 * number + 32 * half));
}
inline __m256 halves(const std::byte* at, int number, int half) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 32 * number + 16 * half)));
}
inline __m256i nibbles(__m256i both, bool high) {
  return _mm256_and_si256(high ? _mm256_srli_epi16(both, 4) : both, _mm256_set1_epi8(15));
}

// How a format's stretch is read. It is kBlocks blocks of 32 columns; a block is kRuns runs that share a scale, a run
// 8 / kRuns units of 4 columns. codes(): unsigned, of unit k of a block; a code is plane 0 + 16 * plane 1. scales(): of
// every run, and minima of every block.
// kSums: so many products of codes and quants, added in pairs, fit 16 bits: 2 * (largest code) * 127 * kSums < 2^15.

enum class Zero { none, eight, thirty_two, hundred_twenty_eight };

struct Avx2Q8_0 {
  static constexpr Format kFormat = Format::q8_0;
  static constexpr int kBlocks = 2, kRuns = 1, kPlanes = 2, kSums = 8;
  static constexpr bool kMinimum = false;
  static constexpr Zero kZero = Zero::hundred_twenty_eight;
  static __m256i codes(const std::byte* at, int block, int k, int half, int plane) {
    return nibbles(half_unit(at, block * 8 + k, half), plane == 1);
  }
  static void scales(const std::byte* at, int half, float* scales, float*) {
    for (int b = 0; b < 2; b++) _mm256_store_ps(scales + b * kPanelRows, halves(at + 16 * 64, b, half));
  }
};

template <Format format>
struct Avx2Nibbles {
  static constexpr Format kFormat = format;
  static constexpr int kBlocks = 2, kRuns = 1, kPlanes = 1, kSums = 8;
  static constexpr bool kMinimum = format == Format::q4_1;
  static constexpr Zero kZero = format == Format::q4_0 ? Zero::eight : Zero::none;
  static __m256i codes(const std::byte* at, int block, int k, int half, int) {
    return nibbles(half_unit(at, block * 4 + k % 4, half), k >= 4);
  }
  static void scales(const std::byte* at, int half, float* scales, float* minima) {
    for (int b = 0; b < 2; b++) {
      _mm256_store_ps(scales + b * kPanelRows, halves(at + 8 * 64, b, half));
      if (kMinimum) _mm256_store_ps(minima + b * kPanelRows, halves(at + 8 * 64, 2 + b, half));
    }
  }
};

/// Scales and minima of q4_k and q5_k.
inline void unpack_k_scales(const std::byte* at, int half, float* scales, float* minima) {
  const __m256i first = half_unit(at, 0, half), second = half_unit(at, 1, half), third = half_unit(at, 2, half);
  const __m256i six = _mm256_set1_epi32(0x3f3f3f3f), four = _mm256_set1_epi32(0x0f0f0f0f);
  const __m256i top = _mm256_set1_epi32(0x30303030);
  const auto upper = [top](__m256i words) { return _mm256_and_si256(_mm256_srli_epi32(words, 2), top); };
  const __m256i scale_words[2] = {_mm256_and_si256(first, six),
                                  _mm256_or_si256(_mm256_and_si256(third, four), upper(first))};
  const __m256i minimum_words[2] = {
      _mm256_and_si256(second, six),
      _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi32(third, 4), four), upper(second))};
  const __m256 factor = halves(at + 3 * 64, 0, half);
  const __m256 minus_factor = _mm256_sub_ps(_mm256_setzero_ps(), halves(at + 3 * 64, 1, half));
  const auto number = [](__m256i words, int i) {
    return _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(words, 8 * i), _mm256_set1_epi32(255)));
  };
#pragma GCC unroll 8
  for (int b = 0; b < 8; b++) {
    _mm256_store_ps(scales + b * kPanelRows, _mm256_mul_ps(factor, number(scale_words[b / 4], b % 4)));
    _mm256_store_ps(minima + b * kPanelRows, _mm256_mul_ps(minus_factor, number(minimum_words[b / 4], b % 4)));
  }
}

struct Avx2Q4_K {
  static constexpr Format kFormat = Format::q4_k;
  static constexpr int kBlocks = 8, kRuns = 1, kPlanes = 1, kSums = 8;
  static constexpr bool kMinimum = true;
  static constexpr Zero kZero = Zero::none;
  static __m256i codes(const std::byte* at, int block, int k, int half, int) {
    return nibbles(half_unit(at, block * 4 + k % 4, half), k >= 4);
  }
  static void scales(const std::byte* at, int half, float* scales, float* minima) {
    unpack_k_scales(at + 32 * 64, half, scales, minima);
  }
};

struct Avx2Q5_K {
  static constexpr Format kFormat = Format::q5_k;
  static constexpr int kBlocks = 8, kRuns = 1, kPlanes = 1, kSums = 4;
  static constexpr bool kMinimum = true;
  static constexpr Zero kZero = Zero::none;
  static __m256i codes(const std::byte* at, int block, int k, int half, int) {
    const __m256i fifths = half_unit(at, 32 + block, half);
    const __m256i bit = k < 4 ? _mm256_slli_epi16(fifths, 4 - k) : _mm256_srli_epi16(fifths, k - 4);
    return _mm256_or_si256(nibbles(half_unit(at, block * 4 + k % 4, half), k >= 4),
                           _mm256_and_si256(bit, _mm256_set1_epi8(16)));
  }
  static void scales(const std::byte* at, int half, float* scales, float* minima) {
    unpack_k_scales(at + 40 * 64, half, scales, minima);
  }
};

struct Avx2Q6_K {
  static constexpr Format kFormat = Format::q6_k;
  static constexpr int kBlocks = 8, kRuns = 2, kPlanes = 1, kSums = 2;
  static constexpr bool kMinimum = false;
  static constexpr Zero kZero = Zero::thirty_two;
  static __m256i codes(const std::byte* at, int block, int k, int half, int) {
    const __m256i upper = half_unit(at, 32 + 2 * block + k / 4, half);
    const int place = k % 4 * 2;
    const __m256i bits = place < 4 ? _mm256_slli_epi16(upper, 4 - place) : _mm256_srli_epi16(upper, place - 4);
    return _mm256_or_si256(nibbles(half_unit(at, block * 4 + k % 4, half), k >= 4),
                           _mm256_and_si256(bits, _mm256_set1_epi8(48)));
  }
  static void scales(const std::byte* at, int half, float* scales, float*) {
    const __m256 factor = halves(at + 52 * 64, 0, half);
    for (int word = 0; word < 4; word++) {
      const __m256i words = half_unit(at, 48 + word, half);
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) {
        const __m256i scale = _mm256_srai_epi32(_mm256_slli_epi32(words, 24 - 8 * i), 24);
        _mm256_store_ps(scales + (4 * word + i) * kPanelRows, _mm256_mul_ps(factor, _mm256_cvtepi32_ps(scale)));
      }
    }
  }
};

// Where a kernel takes its codes and scales from.

/// Packed: codes are unpacked when they are used, the scales of a stretch at its beginning.
template <class Read>
struct PackedCodes {
  explicit PackedCodes(const std::byte* stretch) : at(stretch) {
    for (int half = 0; half < 2; half++) Read::scales(at, half, scales + 8 * half, minima + 8 * half);
  }
  __m256i codes(int block, int k, int half, int plane) const { return Read::codes(at, block, k, half, plane); }
  /// A block's part of what is to come: all of a stretch at once would wait for itself.
  void prefetch_ahead(int block) const {
    constexpr int kLines = (kBytes / 64 + Read::kBlocks - 1) / Read::kBlocks;
    // The scales are read first and stand last, so long stretches are wanted earlier.
    constexpr int kAhead = kPrefetchBytes + (kBytes > kPrefetchBytes ? kBytes / 64 * 64 : 0);
    prefetch(at + kBytes / 64 * block / Read::kBlocks * 64, kLines * 64, kAhead);
  }
  static constexpr int kBytes = panel_stretch(Read::kFormat).bytes;
  const std::byte* at;
  alignas(32) float scales[Read::kBlocks * Read::kRuns * kPanelRows];
  alignas(32) float minima[Read::kMinimum ? Read::kBlocks * kPanelRows : 16];
};

/// Unpacked: scales, then minima, then a byte for each code; a unit's planes are side by side.
template <class Read>
struct UnpackedCodes {
  static constexpr int kScales = Read::kBlocks * Read::kRuns * kPanelRows;
  static constexpr int kMinima = Read::kMinimum ? Read::kBlocks * kPanelRows : 0;
  static constexpr int kHead = (kScales + kMinima) * 4;
  static constexpr int kBytes = kHead + Read::kBlocks * 8 * Read::kPlanes * 64;
  explicit UnpackedCodes(const std::byte* at)
      : scales(reinterpret_cast<const float*>(at)), minima(scales + kScales), bytes(at + kHead) {}
  __m256i codes(int block, int k, int half, int plane) const {
    return half_unit(bytes, (block * 8 + k) * Read::kPlanes + plane, half);
  }
  void prefetch_ahead(int) const {}
  const float *scales, *minima;
  const std::byte* bytes;
};

// Sums in assembly: g++ 12 gathers the terms of an unrolled sum before it adds them, and spills them all.
alignas(32) constexpr int16_t kOnes[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

inline void add_pairs(__m256i& sum, __m256i codes, __m256i quants) {
  __m256i pairs;
  asm("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0" : "+x"(sum), "=&x"(pairs) : "x"(codes), "x"(quants));
}
inline void add_widened(__m256i& sum, __m256i narrow) {
  __m256i fours;
  asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0"
      : "+x"(sum), "=&x"(fours)
      : "x"(narrow), "m"(*reinterpret_cast<const __m256i*>(kOnes)));
}
template <class Read>
struct Avx2Int8Panels {
  static constexpr int kStretchCols = panel_stretch(Read::kFormat).cols;
  static constexpr int kStretchBytes = panel_stretch(Read::kFormat).bytes;
  static constexpr int kUnpackedBytes = UnpackedCodes<Read>::kBytes;
  static constexpr int kFusedTokens = kGroupTokens, kPairTokens = 0;
  static constexpr int kUnits = 8 / Read::kRuns;

  static void unpack(const std::byte* weights, int stretches, std::byte* scratch) {
    using Unpacked = UnpackedCodes<Read>;
    for (int s = 0; s < stretches; s++, weights += kStretchBytes, scratch += kUnpackedBytes) {
      prefetch(weights, kStretchBytes, kPrefetchBytes);
      auto* scales = reinterpret_cast<float*>(scratch);
      for (int half = 0; half < 2; half++) {
        Read::scales(weights, half, scales + 8 * half, scales + Unpacked::kScales + 8 * half);
        for (int block = 0; block < Read::kBlocks; block++) {
#pragma GCC unroll 16
          for (int k = 0; k < 8 * Read::kPlanes; k++) {
            std::byte* to = scratch + Unpacked::kHead + (block * 8 * Read::kPlanes + k) * 64 + 32 * half;
            _mm256_store_si256(reinterpret_cast<__m256i*>(to),
                               Read::codes(weights, block, k / Read::kPlanes, half, k % Read::kPlanes));
          }
        }
      }
    }
  }

  template <int T>
  static void multiply(const Avx2Slice& slice) {
    multiply_stretches<T, UnpackedCodes<Read>>(slice);
  }
  template <int T, int P>
  static void multiply_fused(const Avx2Slice& slice) {
    static_assert(P == 1);
    multiply_stretches<T, PackedCodes<Read>>(slice);
  }

  /// Activations of the current run.
  struct Run {
    const std::byte* values;
    const float *scales, *scaled_sums;
    const int32_t* zeros;
    float* sums;
    int64_t sums_stride;
  };

  /// H halves of the panel from `half` on, so that the integers of T tokens stay in registers.
  template <int T, int H, class Codes>
  static inline __attribute__((always_inline)) void add_run(const Codes& from, int block, int run, int half,
                                                            const Run& x) {
    constexpr int kSums = Read::kSums, kPlanes = Read::kPlanes;
    __m256i narrow[T][H][kPlanes], wide[T][H];
#pragma GCC unroll 8
    for (int k = 0; k < kUnits; k++) {
      __m256i codes[H][kPlanes];
#pragma GCC unroll 2
      for (int h = 0; h < H; h++) {
#pragma GCC unroll 2
        for (int p = 0; p < kPlanes; p++) codes[h][p] = from.codes(block, run * kUnits + k, half + h, p);
      }
#pragma GCC unroll 6
      for (int t = 0; t < T; t++) {
        const __m256i quants = _mm256_set1_epi32(*reinterpret_cast<const int32_t*>(x.values + (k * T + t) * 4));
#pragma GCC unroll 2
        for (int h = 0; h < H; h++) {
#pragma GCC unroll 2
          for (int p = 0; p < kPlanes; p++) {
            if (k % kSums == 0)
              narrow[t][h][p] = _mm256_maddubs_epi16(codes[h][p], quants);
            else
              add_pairs(narrow[t][h][p], codes[h][p], quants);
          }
          if (k % kSums != kSums - 1) continue;
          // Not before it is used: it would take a register from the others.
          if (k < kSums) {
            wide[t][h] = Read::kZero == Zero::none ? _mm256_setzero_si256() : _mm256_set1_epi32(x.zeros[t]);
          }
          if (kPlanes == 2) {
            const __m256i upper = _mm256_madd_epi16(narrow[t][h][kPlanes - 1], _mm256_set1_epi16(1));
            wide[t][h] = _mm256_add_epi32(wide[t][h], _mm256_slli_epi32(upper, 4));
          }
          add_widened(wide[t][h], narrow[t][h][0]);
        }
      }
    }
    const float* scales = from.scales + (block * Read::kRuns + run) * kPanelRows;
#pragma GCC unroll 2
    for (int h = 0; h < H; h++) {
      const __m256 scale = _mm256_load_ps(scales + 8 * (half + h));
#pragma GCC unroll 6
      for (int t = 0; t < T; t++) {
        float* sums = x.sums + t * x.sums_stride + 8 * (half + h);
        __m256 sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(wide[t][h]),
                                     _mm256_mul_ps(scale, _mm256_broadcast_ss(x.scales + t)), _mm256_loadu_ps(sums));
        if (Read::kMinimum) {
          sum = _mm256_fmadd_ps(_mm256_load_ps(from.minima + block * kPanelRows + 8 * (half + h)),
                                _mm256_broadcast_ss(x.scaled_sums + t), sum);
        }
        _mm256_storeu_ps(sums, sum);
      }
    }
  }

  template <int T, class Codes>
  static void multiply_stretches(const Avx2Slice& slice) {
    // Registers: T for each half of a panel and kind of sum, and what the products go through.
    constexpr int kKinds = (Read::kSums == kUnits ? 1 : 2) * Read::kPlanes;
    constexpr int kHalves = 2 * T * kKinds + 2 * Read::kPlanes + 2 <= 16 ? 2 : 1;
    Run x{slice.values,
          slice.scales,
          slice.scaled_sums,
          Read::kZero == Zero::thirty_two ? slice.zero_32
          : Read::kZero == Zero::eight    ? slice.zero_8
                                          : slice.zero_128,
          slice.sums,
          slice.sums_stride};
    const std::byte* at = slice.weights;
    for (int stretch = 0; stretch < slice.stretches; stretch++, at += Codes::kBytes) {
      const Codes from(at);
#pragma GCC unroll 1
      for (int block = 0; block < Read::kBlocks; block++) {
        from.prefetch_ahead(block);
#pragma GCC unroll 2
        for (int run = 0; run < Read::kRuns; run++) {
#pragma GCC unroll 2
          for (int half = 0; half < 2; half += kHalves) add_run<T, kHalves>(from, block, run, half, x);
          x.values += kUnits * T * 4;
          x.zeros += T;
        }
        x.scales += T;
        x.scaled_sums += T;
      }
    }
  }
};

}  // namespace
}  // namespace lancet
