// Products with int8 activations for q4_0, q4_1, q8_0, q4_k and q5_k on AVX-512 VNNI. Included by avx512.cpp only.
//
// A weight is scale * (code - zero) + minimum with an unsigned code. The dot product of a block of 32 is an integer and
// exact however it is computed, so only the sum over blocks needs an order, and that is the order of the blocks:
//   total = fma(scale * dot + minimum * sum, x_scale, total), lanes being 16 rows.
// Two loops follow it. For a few tokens, rows are streamed from memory; the dots of 16 blocks are gathered in a vector.
// For many, 16 rows are unpacked into a panel [cols / 4][16 rows][4 codes], one `vpdpbusd` operand a line, and
// multiplied with up to 12 tokens whose codes are broadcast from memory.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "kernels/kernels.h"

namespace lancet {
namespace {

constexpr int kPanelRows = 16;
constexpr int kGroupBlocks = 16;  // blocks whose results fill a vector
constexpr int kGroupCols = 512;
constexpr int kInt8StreamTokens = 3;
constexpr int kPanelTokens = 12;
constexpr int kPrefetchBytes = 2048;  // how far ahead of the streamed weights; past the end it does nothing

struct GroupScales {
  __m512 scale, minimum;
};

inline __m512 halves_to_floats(__m256i halves) { return _mm512_cvtph_ps(halves); }

// How a format's group of 16 consecutive blocks is read. codes(): the 64 codes of blocks 2 * pair and 2 * pair + 1.
// Nothing outside the group is read.

/// For nibble blocks: bytes 0-15 and 16-31 of each half are copies of the same 16 bytes; shift the second.
inline __m512i nibbles_of_pair(const std::byte* at, int second_block) {
  alignas(64) static constexpr struct Order {
    uint8_t gap18[64]{}, gap20[64]{};
    constexpr Order() {
      for (int i = 0; i < 64; i++) {
        gap18[i] = static_cast<uint8_t>(i / 32 * 18 + i % 16);
        gap20[i] = static_cast<uint8_t>(i / 32 * 20 + i % 16);
      }
    }
  } order;
  const __m512i index = _mm512_loadu_si512(second_block == 18 ? order.gap18 : order.gap20);
  const __mmask64 both = (1ull << (second_block + 16)) - 1;
  const __m512i copies = _mm512_permutexvar_epi8(index, _mm512_maskz_loadu_epi8(both, at));
  const __m512i shifts = _mm512_set_epi32(4, 4, 4, 4, 0, 0, 0, 0, 4, 4, 4, 4, 0, 0, 0, 0);
  return _mm512_and_si512(_mm512_srlv_epi32(copies, shifts), _mm512_set1_epi8(15));
}

struct ReadQ4_0 {
  static constexpr int kBlockBytes = 18, kZeroShift = 3;  // zero is 1 << kZeroShift
  static constexpr bool kHasZero = true, kHasMinimum = false;
  static __m512i codes(const std::byte* group, int pair) { return nibbles_of_pair(group + 36 * pair + 2, 18); }
  static GroupScales scales(const std::byte* group) {
    // Eight blocks are 72 words; their scales are words 0, 9, ... 63.
    const __m512i index = _mm512_castsi128_si512(_mm_setr_epi16(0, 9, 18, 27, 36, 45, 54, 63));
    const __m512i low = _mm512_permutex2var_epi16(_mm512_loadu_si512(group), index, _mm512_loadu_si512(group + 64));
    const __m512i high =
        _mm512_permutex2var_epi16(_mm512_loadu_si512(group + 144), index, _mm512_loadu_si512(group + 208));
    const __m256i all = _mm256_inserti128_si256(_mm512_castsi512_si256(low), _mm512_castsi512_si128(high), 1);
    return {halves_to_floats(all), _mm512_setzero_ps()};
  }
};

struct ReadQ4_1 {
  static constexpr int kBlockBytes = 20, kZeroShift = 0;
  static constexpr bool kHasZero = false, kHasMinimum = true;
  static __m512i codes(const std::byte* group, int pair) { return nibbles_of_pair(group + 40 * pair + 4, 20); }
  static GroupScales scales(const std::byte* group) {
    // Scale and minimum are double word 5 i of 80; each of the five lines holds three or four of them.
    const __m512i index = _mm512_setr_epi32(0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75);
    const auto line = [group](int number) { return _mm512_loadu_si512(group + 64 * number); };
    __m512i both = _mm512_maskz_permutexvar_epi32(0x000f, index, line(0));
    both = _mm512_mask_permutexvar_epi32(both, 0x0070, index, line(1));
    both = _mm512_mask_permutexvar_epi32(both, 0x0380, index, line(2));
    both = _mm512_mask_permutexvar_epi32(both, 0x1c00, index, line(3));
    both = _mm512_mask_permutexvar_epi32(both, 0xe000, index, line(4));
    return {halves_to_floats(_mm512_cvtepi32_epi16(both)),
            halves_to_floats(_mm512_cvtepi32_epi16(_mm512_srli_epi32(both, 16)))};
  }
};

struct ReadQ8_0 {
  static constexpr int kBlockBytes = 34, kZeroShift = 7;
  static constexpr bool kHasZero = true, kHasMinimum = false;
  static __m512i codes(const std::byte* group, int pair) {
    const std::byte* at = group + 68 * pair + 2;
    const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + 34));
    return _mm512_xor_si512(_mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1),
                            _mm512_set1_epi8(static_cast<char>(0x80)));
  }
  static GroupScales scales(const std::byte* group) {
    // Four blocks are 68 words; their scales are words 0, 17, 34, 51.
    const __m512i index = _mm512_castsi128_si512(_mm_setr_epi16(0, 17, 34, 51, 0, 17, 34, 51));
    const auto four = [&](int number) {
      const std::byte* at = group + 136 * number;
      return _mm512_castsi512_si128(
          _mm512_permutex2var_epi16(_mm512_loadu_si512(at), index, _mm512_loadu_si512(at + 64)));
    };
    const __m128i low = _mm_unpacklo_epi64(four(0), four(1)), high = _mm_unpacklo_epi64(four(2), four(3));
    return {halves_to_floats(_mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1)), _mm512_setzero_ps()};
  }
};

/// Scales and minima of two blocks of 256, `bytes` apart: each begins with a half scale, a half minimum and 12 bytes
/// that hold eight pairs of 6 bits (format_blocks.cpp has the layout).
inline GroupScales superblock_scales(const std::byte* group, int bytes) {
  uint32_t scales[4], minima[4];
  float factors[2][2];
  for (int i = 0; i < 2; i++) {
    uint16_t halves[2];
    uint32_t packed[3];
    std::memcpy(halves, group + i * bytes, sizeof halves);
    std::memcpy(packed, group + i * bytes + 4, sizeof packed);
    for (int k = 0; k < 2; k++) factors[k][i] = _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(halves[k])));
    scales[2 * i] = packed[0] & 0x3f3f3f3fu;
    minima[2 * i] = packed[1] & 0x3f3f3f3fu;
    scales[2 * i + 1] = (packed[2] & 0x0f0f0f0fu) | (packed[0] >> 2 & 0x30303030u);
    minima[2 * i + 1] = (packed[2] >> 4 & 0x0f0f0f0fu) | (packed[1] >> 2 & 0x30303030u);
  }
  const auto widen = [](const uint32_t(&codes)[4], const float(&factor)[2]) {
    const __m128i bytes_of_codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
    const __m512 both = _mm512_insertf32x8(_mm512_set1_ps(factor[0]), _mm256_set1_ps(factor[1]), 1);
    return _mm512_mul_ps(both, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes_of_codes)));
  };
  return {widen(scales, factors[0]), _mm512_sub_ps(_mm512_setzero_ps(), widen(minima, factors[1]))};
}

/// 32 bytes of nibbles: the low ones are a block, the high ones the next.
inline __m512i nibbles_of_blocks(const std::byte* at) {
  const __m512i copies = _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
  const __m512i shifts = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi32(4), 1);
  return _mm512_and_si512(_mm512_srlv_epi32(copies, shifts), _mm512_set1_epi8(15));
}

struct ReadQ4_K {
  static constexpr int kBlockBytes = 144 / 8, kZeroShift = 0;
  static constexpr bool kHasZero = false, kHasMinimum = true;
  static __m512i codes(const std::byte* group, int pair) {
    return nibbles_of_blocks(group + pair / 4 * 144 + 16 + pair % 4 * 32);
  }
  static GroupScales scales(const std::byte* group) { return superblock_scales(group, 144); }
};

struct ReadQ5_K {
  static constexpr int kBlockBytes = 176 / 8, kZeroShift = 0;
  static constexpr bool kHasZero = false, kHasMinimum = true;
  static __m512i codes(const std::byte* group, int pair) {
    const std::byte* superblock = group + pair / 4 * 176;
    const __m512i fifth = _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(superblock + 16)));
    const auto bit = [pair](int block) { return _mm256_set1_epi8(static_cast<char>(1 << (pair % 4 * 2 + block))); };
    const __mmask64 set = _mm512_test_epi8_mask(fifth, _mm512_inserti64x4(_mm512_castsi256_si512(bit(0)), bit(1), 1));
    return _mm512_or_si512(nibbles_of_blocks(superblock + 48 + pair % 4 * 32),
                           _mm512_maskz_mov_epi8(set, _mm512_set1_epi8(16)));
  }
  static GroupScales scales(const std::byte* group) { return superblock_scales(group, 176); }
};

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

/// pairs[p] has the products of blocks 2 p (lanes 0-7) and 2 p + 1 (lanes 8-15); returns each block's sum, in order.
inline __m512i sum_blocks(const __m512i (&pairs)[8]) {
  __m512i quads[2];
#pragma GCC unroll 2
  for (int q = 0; q < 2; q++) {
    const __m512i* p = pairs + 4 * q;
    const __m512i first = _mm512_add_epi32(_mm512_unpacklo_epi32(p[0], p[1]), _mm512_unpackhi_epi32(p[0], p[1]));
    const __m512i second = _mm512_add_epi32(_mm512_unpacklo_epi32(p[2], p[3]), _mm512_unpackhi_epi32(p[2], p[3]));
    quads[q] = _mm512_add_epi32(_mm512_unpacklo_epi64(first, second), _mm512_unpackhi_epi64(first, second));
  }
  // Lanes of 128 bits: even blocks of pairs 0-3, odd ones, even blocks of pairs 4-7, odd ones.
  const __m512i sums =
      _mm512_add_epi32(_mm512_shuffle_i32x4(quads[0], quads[1], 0x88), _mm512_shuffle_i32x4(quads[0], quads[1], 0xdd));
  const __m512i order = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
  return _mm512_permutexvar_epi32(order, sums);
}

inline __m512i multiply_codes(__m512i sum, __m512i codes, __m512i quants) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes), "v"(quants));
  return sum;
}
inline __m512i multiply_codes_by_4(__m512i sum, __m512i codes, const int8_t* quants) {
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(codes), "m"(*reinterpret_cast<const int32_t(*)>(quants)));
  return sum;
}

/// scale * dot + minimum * sum of one block (or of 16), all but x's scale.
template <class Read>
__m512 block_value(__m512i dot, __m512i sum, const GroupScales& scales) {
  if constexpr (Read::kHasZero) dot = _mm512_sub_epi32(dot, _mm512_slli_epi32(sum, Read::kZeroShift));
  const __m512 value = _mm512_cvtepi32_ps(dot);
  if constexpr (!Read::kHasMinimum) return _mm512_mul_ps(value, scales.scale);
  return _mm512_fmadd_ps(value, scales.scale, _mm512_mul_ps(scales.minimum, _mm512_cvtepi32_ps(sum)));
}

/// The columns of a call and its rows in memory.
struct Int8Shape {
  int cols, blocks, groups;
  int64_t row_bytes;

  template <class Read>
  static Int8Shape of(const RowsProduct& product) {
    const int blocks = product.x->cols / 32;
    return {product.x->cols, blocks, (blocks + kGroupBlocks - 1) / kGroupBlocks, int64_t{blocks} * Read::kBlockBytes};
  }
};

/// The bytes of a group at `at`: in place, or, if fewer than a group are `left` in the call's rows, a copy with zeros
/// after them.
template <class Read>
const std::byte* group_bytes(const std::byte* at, int64_t left, std::byte (&copy)[kGroupBlocks * Read::kBlockBytes]) {
  if (left >= static_cast<int64_t>(sizeof copy)) return at;
  std::memset(copy, 0, sizeof copy);
  std::memcpy(copy, at, static_cast<size_t>(left));
  return copy;
}

/// What the streaming loop reads and writes, in the call's scratch. Weights are taken as one row of blocks after
/// another, 16 at a time wherever rows begin, so x is continued by its own beginning for 16 more blocks.
struct StreamMemory {
  float* values;   // [T][16 rows][blocks], and 16 more that a load may touch
  int8_t* quants;  // [T][cols + 512]
  int32_t* sums;   // [T][blocks + 16]
  int64_t values_step, quants_step, sums_step;

  StreamMemory(float* scratch, const Int8Shape& shape, int tokens)
      : values(scratch),
        values_step(int64_t{shape.blocks} * kPanelRows),
        quants_step(shape.cols + kGroupCols),
        sums_step(shape.blocks + kGroupBlocks) {
    sums = reinterpret_cast<int32_t*>(values + values_step * tokens + kGroupBlocks);
    quants = reinterpret_cast<int8_t*>(sums + sums_step * tokens);
  }

  void copy_activations(const Activations& x, const Int8Shape& shape) const {
    for (int t = 0; t < x.tokens; t++) {
      for (int block = 0; block < shape.blocks + kGroupBlocks; block++) {
        const int64_t from = int64_t{t} * shape.blocks + block % shape.blocks;
        sums[t * sums_step + block] = x.sums[from];
        std::memcpy(quants + t * quants_step + block * 32, x.quants + from * 32, 32);
      }
    }
  }
};

/// Values of all blocks of up to 16 rows for T tokens.
template <class Read, int T>
void stream_rows(const std::byte* weights, int64_t bytes, const Int8Shape& shape, int rows,
                 const StreamMemory& memory) {
  int x_block = 0;
  for (int block = 0; block < rows * shape.blocks; block += kGroupBlocks) {
    std::byte copy[kGroupBlocks * Read::kBlockBytes];
    const int64_t offset = int64_t{block} * Read::kBlockBytes;
    const std::byte* group = group_bytes<Read>(weights + offset, bytes - offset, copy);
    __m512i codes[8];
#pragma GCC unroll 8
    for (int p = 0; p < 8; p++) codes[p] = Read::codes(group, p);
    const GroupScales scales = Read::scales(group);
    for (int line = 0; line < kGroupBlocks * Read::kBlockBytes; line += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(weights + offset + kPrefetchBytes + line), _MM_HINT_T0);
    }
#pragma GCC unroll 4
    for (int t = 0; t < T; t++) {
      const int8_t* quants = memory.quants + t * memory.quants_step + x_block * 32;
      __m512i pairs[8];
#pragma GCC unroll 8
      for (int p = 0; p < 8; p++) {
        pairs[p] = multiply_codes(_mm512_setzero_si512(), codes[p], _mm512_loadu_si512(quants + 64 * p));
      }
      const __m512i sums = _mm512_loadu_si512(memory.sums + t * memory.sums_step + x_block);
      _mm512_storeu_ps(memory.values + t * memory.values_step + block,
                       block_value<Read>(sum_blocks(pairs), sums, scales));
    }
    x_block += kGroupBlocks;
    while (x_block >= shape.blocks) x_block -= shape.blocks;
  }
}

/// Adds the block values of 16 rows in the order of the blocks. That is a chain of dependent additions in which memory
/// would stand still, so weights from `ahead` on are called for meanwhile.
inline __m512 add_blocks(const float* values, const float* x_scales, int blocks, const std::byte* ahead) {
  __m512 total = _mm512_setzero_ps();
  for (int first = 0; first < blocks; first += 16) {
    for (int line = 0; line < 6; line++, ahead += 64) _mm_prefetch(reinterpret_cast<const char*>(ahead), _MM_HINT_T0);
    __m512i columns[16];
#pragma GCC unroll 16
    for (int r = 0; r < 16; r++) columns[r] = _mm512_loadu_si512(values + r * blocks + first);
    transpose(columns);
#pragma GCC unroll 16
    for (int b = 0; b < 16; b++) {
      if (first + b == blocks) break;
      total = _mm512_fmadd_ps(_mm512_castsi512_ps(columns[b]), _mm512_set1_ps(x_scales[first + b]), total);
    }
  }
  return total;
}

template <class Read, int T>
void stream_int8(const RowsProduct& product) {
  const auto shape = Int8Shape::of<Read>(product);
  const StreamMemory memory(product.scratch, shape, T);
  memory.copy_activations(*product.x, shape);
  for (int64_t first = product.row_begin; first < product.row_end; first += kPanelRows) {
    const int64_t left = product.row_end - first;
    const int rows = left < kPanelRows ? static_cast<int>(left) : kPanelRows;
    stream_rows<Read, T>(product.weights + first * shape.row_bytes, left * shape.row_bytes, shape, rows, memory);
    for (int t = 0; t < T; t++) {
      const float* x_scales = product.x->scales + int64_t{t} * shape.blocks;
      const std::byte* ahead = product.weights + (first + rows) * shape.row_bytes + kPrefetchBytes;
      const __m512 totals = add_blocks(memory.values + t * memory.values_step, x_scales, shape.blocks, ahead);
      const auto mask = static_cast<__mmask16>((1u << rows) - 1u);
      _mm512_mask_storeu_ps(product.out + t * product.out_stride + first, mask, totals);
    }
  }
}

/// 16 rows unpacked. codes: [cols / 4, padded][16][4]; scales, minima: [blocks, padded][16].
struct Panel {
  uint8_t* codes;
  float* scales;
  float* minima;

  Panel(float* scratch, const Int8Shape& shape)
      : codes(reinterpret_cast<uint8_t*>(scratch)),
        scales(scratch + int64_t{shape.groups} * kGroupCols * kPanelRows / 4),
        minima(scales + int64_t{shape.groups} * kGroupBlocks * kPanelRows) {}
};

inline void store_transposed(__m512i (&lines)[16], void* to) {
  transpose(lines);
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) _mm512_storeu_si512(static_cast<std::byte*>(to) + 64 * i, lines[i]);
}

template <class Read>
void unpack_panel(const RowsProduct& product, const Int8Shape& shape, int64_t first, const Panel& panel) {
  std::byte copies[kPanelRows][kGroupBlocks * Read::kBlockBytes];
  const std::byte* bytes[kPanelRows];
  __m512i lines[16], minima[16];
  for (int group = 0; group < shape.groups; group++) {
    // Rows past the end repeat the last one; their results are not stored.
    for (int r = 0; r < kPanelRows; r++) {
      const int64_t row = first + r < product.row_end ? first + r : product.row_end - 1;
      const int64_t offset = row * shape.row_bytes + int64_t{group} * kGroupBlocks * Read::kBlockBytes;
      bytes[r] = group_bytes<Read>(product.weights + offset, product.row_end * shape.row_bytes - offset, copies[r]);
    }
    const int left = shape.blocks - group * kGroupBlocks;  // 576 columns are a group and two blocks
    const int pairs = left < kGroupBlocks ? (left + 1) / 2 : kGroupBlocks / 2;
    for (int p = 0; p < pairs; p++) {
      for (int r = 0; r < kPanelRows; r++) lines[r] = Read::codes(bytes[r], p);
      store_transposed(lines, panel.codes + (int64_t{group} * kGroupCols + 64 * p) * kPanelRows);
    }
    for (int r = 0; r < kPanelRows; r++) {
      const GroupScales scales = Read::scales(bytes[r]);
      lines[r] = _mm512_castps_si512(scales.scale);
      minima[r] = _mm512_castps_si512(scales.minimum);
    }
    store_transposed(lines, panel.scales + int64_t{group} * kGroupBlocks * kPanelRows);
    if constexpr (Read::kHasMinimum) {
      store_transposed(minima, panel.minima + int64_t{group} * kGroupBlocks * kPanelRows);
    }
  }
}

/// Tokens [token, token + T) times a panel. Memory would stand still meanwhile, so the first pass calls for the next
/// panel's weights.
template <class Read, int T>
void multiply_panel(const RowsProduct& product, const Int8Shape& shape, const Panel& panel, int64_t first, int token) {
  const Activations& x = *product.x;
  const int8_t* quants[T];
  const float* x_scales[T];
  const int32_t* sums[T];
  __m512 totals[T];
#pragma GCC unroll 16
  for (int t = 0; t < T; t++) {
    quants[t] = x.quants + int64_t{token + t} * shape.cols;
    x_scales[t] = x.scales + int64_t{token + t} * shape.blocks;
    sums[t] = x.sums + int64_t{token + t} * shape.blocks;
    totals[t] = _mm512_setzero_ps();
  }
  const uint8_t* codes = panel.codes;
  const auto* ahead = reinterpret_cast<const char*>(product.weights + (first + kPanelRows) * shape.row_bytes);
  for (int64_t block = 0; block < shape.blocks; block++) {
    if (token == 0) {
      for (int line = 0; line < kPanelRows * Read::kBlockBytes; line += 64) _mm_prefetch(ahead + line, _MM_HINT_T1);
      ahead += kPanelRows * Read::kBlockBytes;
    }
    __m512i dots[T];
#pragma GCC unroll 16
    for (int t = 0; t < T; t++) dots[t] = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int k = 0; k < 8; k++) {
      const __m512i weights = _mm512_loadu_si512(codes + 64 * k);
#pragma GCC unroll 16
      for (int t = 0; t < T; t++) dots[t] = multiply_codes_by_4(dots[t], weights, quants[t] + block * 32 + 4 * k);
    }
    codes += 512;
    const GroupScales scales{_mm512_loadu_ps(panel.scales + block * 16),
                             Read::kHasMinimum ? _mm512_loadu_ps(panel.minima + block * 16) : _mm512_setzero_ps()};
#pragma GCC unroll 16
    for (int t = 0; t < T; t++) {
      const __m512 value = block_value<Read>(dots[t], _mm512_set1_epi32(sums[t][block]), scales);
      totals[t] = _mm512_fmadd_ps(value, _mm512_set1_ps(x_scales[t][block]), totals[t]);
    }
  }
  const int64_t rows = product.row_end - first;
  const auto mask = static_cast<__mmask16>(rows < kPanelRows ? (1u << rows) - 1u : 0xffffu);
#pragma GCC unroll 16
  for (int t = 0; t < T; t++) {
    _mm512_mask_storeu_ps(product.out + int64_t{token + t} * product.out_stride + first, mask, totals[t]);
  }
}

template <class Read>
using PanelFunction = void (*)(const RowsProduct&, const Int8Shape&, const Panel&, int64_t, int);

template <class Read>
constexpr PanelFunction<Read> kPanelFunctions[kPanelTokens + 1] = {nullptr,
                                                                   multiply_panel<Read, 1>,
                                                                   multiply_panel<Read, 2>,
                                                                   multiply_panel<Read, 3>,
                                                                   multiply_panel<Read, 4>,
                                                                   multiply_panel<Read, 5>,
                                                                   multiply_panel<Read, 6>,
                                                                   multiply_panel<Read, 7>,
                                                                   multiply_panel<Read, 8>,
                                                                   multiply_panel<Read, 9>,
                                                                   multiply_panel<Read, 10>,
                                                                   multiply_panel<Read, 11>,
                                                                   multiply_panel<Read, 12>};

template <class Read>
void panel_int8(const RowsProduct& product) {
  const auto shape = Int8Shape::of<Read>(product);
  const Panel panel(product.scratch, shape);
  const int tokens = product.x->tokens;
  const int passes = (tokens + kPanelTokens - 1) / kPanelTokens;
  for (int64_t first = product.row_begin; first < product.row_end; first += kPanelRows) {
    unpack_panel<Read>(product, shape, first, panel);
    // Passes of nearly equal size: 13 tokens are 7 and 6, not 12 and a pass for one alone.
    for (int pass = 0, token = 0; pass < passes; pass++) {
      const int count = (tokens - token + passes - pass - 1) / (passes - pass);
      kPanelFunctions<Read>[count](product, shape, panel, first, token);
      token += count;
    }
  }
}

template <class Read>
void int8_product(const RowsProduct& product) {
  switch (product.x->tokens) {
    case 0: return;
    case 1: return stream_int8<Read, 1>(product);
    case 2: return stream_int8<Read, 2>(product);
    case kInt8StreamTokens: return stream_int8<Read, kInt8StreamTokens>(product);
    default: return panel_int8<Read>(product);
  }
}

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
