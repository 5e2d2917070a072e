// What the cache's layout and attention's kernels agree on. A cache block holds 16 tokens; of each key head it has one
// run of bytes, made so that a vector lane is a token when keys are scored and a column when values are summed: no sums
// across lanes, and each byte is read once for all query heads that share it.
//   keys     [width / pack][16 tokens][pack]
//   scales   [width / scale_block][16 tokens]
//   values   [width / 16][16 tokens / pack][16 columns][pack]
//   scales   [width / scale_block][16 tokens]
// `width` is the head's, rounded up to a multiple of 16. Numbers are f32, or integers with a scale for each token and
// block of columns. Integer sums are exact in any order, so a decoding row, a prompt's chunk and a whole prompt agree.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lancet {

/// Precision of cached keys and values. f16: 13-bit integers in 16 bits, one f32 scale for each head (of up to 128
/// columns): at most 1/8190 of the head's largest number off, as half precision is for the largest. q8: 8-bit integers,
/// one f16 scale for each 32 columns.
enum class KvFormat { f32, f16, q8 };
inline constexpr int kKvFormatCount = 3;

inline constexpr int kBlockLanes = 16;  // tokens of a block; columns of a panel of values
inline constexpr int kQueryLanes = 4;   // queries that stand side by side
inline constexpr int kTileBlocks = 4;
inline constexpr int kTileKeys = kTileBlocks * kBlockLanes;

/// Constants of a format: `kMost` is the greatest code; products of a query's codes and a key's over kScaleBlock
/// columns, and of weights and values over kExactBlocks blocks, stay below 2^31.
struct KvF32 {
  using Code = float;
  using QueryCode = float;
  using Scale = float;
  static constexpr int kPack = 1, kScaleBlock = 0;
};
struct KvF16 {
  using Code = int16_t;
  using QueryCode = int16_t;
  using Scale = float;
  static constexpr int kPack = 2, kScaleBlock = 128, kMost = 4095, kQueryMost = 4095, kExactBlocks = 1;
};
struct KvQ8 {
  using Code = int8_t;
  using QueryCode = int16_t;
  using Scale = uint16_t;  // f16
  static constexpr int kPack = 2, kScaleBlock = 32, kMost = 127, kQueryMost = 32767, kExactBlocks = kTileBlocks;
};
inline constexpr int kWeightMost = 32767;
static_assert(int64_t{KvF16::kMost} * KvF16::kQueryMost * KvF16::kScaleBlock < INT64_C(1) << 31);
static_assert(int64_t{KvF16::kMost} * kWeightMost * KvF16::kExactBlocks * kBlockLanes < INT64_C(1) << 31);
static_assert(int64_t{KvQ8::kMost} * KvQ8::kQueryMost * KvQ8::kScaleBlock < INT64_C(1) << 31);
static_assert(int64_t{KvQ8::kMost} * kWeightMost * KvQ8::kExactBlocks * kBlockLanes < INT64_C(1) << 31);

// Each file has these functions to itself: those that fill a table are compiled for other processors.
namespace {

constexpr int padded_width(int head_width) { return (head_width + kBlockLanes - 1) / kBlockLanes * kBlockLanes; }

/// Columns [begin, end) share scale number `block`.
template <class Kv>
constexpr int scale_blocks(int width) {
  if constexpr (Kv::kScaleBlock == 0)
    return 1;
  else
    return (width + Kv::kScaleBlock - 1) / Kv::kScaleBlock;
}
template <class Kv>
constexpr int scale_block_end(int block, int width) {
  if constexpr (Kv::kScaleBlock == 0)
    return width;
  else
    return (block + 1) * Kv::kScaleBlock < width ? (block + 1) * Kv::kScaleBlock : width;
}

/// Bytes of keys or values with their scales: half of a run.
template <class Kv>
constexpr int64_t code_bytes(int width) {
  return int64_t{kBlockLanes} * width * static_cast<int64_t>(sizeof(typename Kv::Code));
}
template <class Kv>
constexpr int64_t half_run_bytes(int width) {
  if constexpr (Kv::kScaleBlock == 0)
    return code_bytes<Kv>(width);
  else
    return code_bytes<Kv>(width) +
           int64_t{kBlockLanes} * scale_blocks<Kv>(width) * static_cast<int64_t>(sizeof(typename Kv::Scale));
}

/// Where column `col` of token `token` stands among the codes.
template <class Kv>
constexpr int64_t key_at(int token, int col) {
  return int64_t{col / Kv::kPack} * kBlockLanes * Kv::kPack + token * Kv::kPack + col % Kv::kPack;
}
template <class Kv>
constexpr int64_t value_at(int token, int col) {
  return int64_t{col / kBlockLanes} * kBlockLanes * kBlockLanes + int64_t{token / Kv::kPack} * kBlockLanes * Kv::kPack +
         col % kBlockLanes * Kv::kPack + token % Kv::kPack;
}

/// Where column `col` of a query's codes stands: [queries / kQueryLanes][width / pack][kQueryLanes][pack].
template <class Kv>
constexpr int64_t query_at(int query, int col, int width) {
  return int64_t{query / kQueryLanes} * kQueryLanes * width + int64_t{col / Kv::kPack} * kQueryLanes * Kv::kPack +
         query % kQueryLanes * Kv::kPack + col % Kv::kPack;
}

}  // namespace

/// Up to kTileKeys keys of one head, all of them seen by some queries, to be added to the queries' sums (online
/// softmax: Milakov and Gimelshein, 2018). For each query, with s = query . key over the keys:
///   m = max(maxima, max s); shrink = exp(maxima - m); maxima = m
///   weights = weights * shrink + sum exp(s - m);  sums = sums * shrink + sum exp(s - m) * value
/// In the integer formats exp(s - m) times the value's scale is rounded to a multiple of its greatest in the tile over
/// kWeightMost. What a query gets depends on nothing but the query, its sums and the keys.
struct AttentionTile {
  const std::byte* blocks[kTileBlocks];  // runs; those past the last key: any readable run
  const std::byte* ahead[kTileBlocks];   // runs that are read next, prefetched; any address
  int keys;                              // 1..kTileKeys
  int width;                             // padded
  int first_query, queries;
  const std::byte* codes;  // QueryCode, from query number 0 on (query_at); columns past the head's are 0
  // Those of query number first_query and the ones behind it:
  const float* scales;  // [queries] query = scale * code; unused for f32
  float* sums;          // [queries, width]
  float* weights;       // [queries]
  float* maxima;        // [queries]
};

}  // namespace lancet
