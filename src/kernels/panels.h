// Panels: weights as the fast products want them. 16 rows side by side, so that one lane of a vector is one output row
// and no sum ever crosses lanes; everything that a stretch of columns needs (codes, then scales) in one run of memory,
// so that a thread reads one stream. The layout is the same for every table, so a packed file serves any CPU.
//
// A unit is 64 bytes: for each of 16 rows, 4 consecutive bytes of that row. The stretches, in the order of columns:
//   f8_e4m3   4 columns    one unit; in each quarter of it, columns 0 and 1 of its 4 rows, then columns 2 and 3
//   bf16      4 columns    two units of 2 columns
//   f16       1 column     16 halves
//   q8_0      64 columns   16 units of codes + 128, 2 x 16 half scales (one vector of 16 for each 32 columns)
//   q4_0      64 columns   2 blocks of 4 units of nibbles, 2 x 16 half scales
//   q4_1      64 columns   2 blocks of 4 units of nibbles, 2 x 16 half scales, 2 x 16 half minima
//   q4_k      256 columns  8 blocks of 4 units of nibbles, 3 x 16 words of packed scales and minima, 16 half scales,
//                          16 half minima
//   q5_k      256 columns  8 blocks of 4 units of nibbles, 8 units of fifth bits, then as q4_k
//   q6_k      256 columns  8 blocks of 4 units of nibbles, 16 units of upper bits, 4 x 16 words of scales, 16 half
//   scales,
//                          32 bytes of zeros
// Nibbles: unit u of a block has columns 4 u .. 4 u + 3 of the block in its low nibbles and 16 + 4 u .. in its high
// ones. Fifth bits of q5_k: unit b belongs to block b: bit u of byte 4 r + i is the fifth bit of row r, column 4 u + i.
// Upper bits of q6_k: unit 2 b + h belongs to half h (16 columns) of block b: bits 2 u, 2 u + 1 of byte 4 r + i are for
// row r, column 16 h + 4 u + i.
// Packed scales of q4_k and q5_k: word w of row r are bytes 4 w .. 4 w + 3 of the format's 12. Scales of q6_k: word w
// of row r are signed bytes 4 w .. 4 w + 3 of its 16, one for each 16 columns. What is missing of the last stretch and
// of the last panel's rows is zero weights.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/format.h"

namespace lancet {

inline constexpr int kPanelRows = 16;
inline constexpr int kQuantBlock = 32;  // columns that share a scale of int8 activations

/// Raised whenever the layout above changes: packed files of another version are not used.
inline constexpr int kPanelLayoutVersion = 1;

/// What the activations of a product are rounded to.
enum class Arithmetic : uint8_t { f32, bf16, int8 };

/// Columns and bytes of a stretch; {0, 0} for formats without panels.
struct PanelStretch {
  int cols, bytes;
};
constexpr PanelStretch panel_stretch(Format format) {
  constexpr int kUnit = 64, kHalves = 32;  // bytes; halves: one for each row
  switch (format) {
    case Format::f8_e4m3: return {4, kUnit};
    case Format::bf16: return {4, 2 * kUnit};
    case Format::f16: return {1, kHalves};
    case Format::q8_0: return {64, 16 * kUnit + 2 * kHalves};
    case Format::q4_0: return {64, 8 * kUnit + 2 * kHalves};
    case Format::q4_1: return {64, 8 * kUnit + 4 * kHalves};
    case Format::q4_k: return {256, 32 * kUnit + 3 * kUnit + 2 * kHalves};
    case Format::q5_k: return {256, 32 * kUnit + 8 * kUnit + 3 * kUnit + 2 * kHalves};
    case Format::q6_k: return {256, 32 * kUnit + 16 * kUnit + 4 * kUnit + 2 * kHalves};
    default: return {0, 0};
  }
}

/// Bytes of one panel of `cols` columns. The format has panels.
constexpr int64_t panel_bytes(Format format, int64_t cols) {
  const PanelStretch stretch = panel_stretch(format);
  return (cols + stretch.cols - 1) / stretch.cols * stretch.bytes;
}

/// Tokens [begin, begin + tokens) of a product are computed together.
struct TokenGroup {
  int begin, tokens;
};

/// `tokens` tokens are cut into groups of nearly equal size, at most `most` each: 13 are 7 and 6, not 12 and 1.
inline int group_count(int tokens, int most) { return (tokens + most - 1) / most; }
inline TokenGroup token_group(int tokens, int most, int number) {
  const int count = group_count(tokens, most), base = tokens / count, larger = tokens % count;
  return {number * base + (number < larger ? number : larger), base + (number < larger ? 1 : 0)};
}

/// Activations as panel products want them: a group of T tokens holds, for each 4 bytes of columns, T words side by
/// side, one a token. So a group that begins at token b begins at values + b * row_bytes().
///   f32   [cols][T] numbers; bf16 [cols / 2][T] pairs (cols padded to a multiple of 4 with 0); int8 [cols / 4][T]
///   fours.
/// int8 has scales besides, [cols / 32][T] from scales + b * (cols / 32) on, and the like for the other two. Its
/// columns are padded to a multiple of 64 with zeros.
struct PanelActivations {
  Arithmetic arithmetic;
  int tokens, cols;    // cols padded as above
  int group;           // the most tokens of a group: the table's panel_tokens
  std::byte* values;   // 64-byte aligned, as all of these
  float* scales;       // int8 only, as the rest: [cols / 32][T]
  float* scaled_sums;  // scale * (sum of the block's quants)
  // What unsigned codes begin their dot products with: minus their zero times the sum of the quants.
  int32_t *zero_8, *zero_128;  // [cols / 32][T]
  int32_t* zero_32;            // [cols / 16][T], one for each half of a block

  int64_t row_bytes() const {
    return arithmetic == Arithmetic::f32    ? int64_t{cols} * 4
           : arithmetic == Arithmetic::bf16 ? int64_t{cols} * 2
                                            : cols;
  }
};

/// The padded columns of activations.
inline int padded_cols(Arithmetic arithmetic, int cols) {
  const int unit = arithmetic == Arithmetic::f32 ? 1 : arithmetic == Arithmetic::bf16 ? 4 : 2 * kQuantBlock;
  return (cols + unit - 1) / unit * unit;
}

/// Fills one group of activations from row-major f32. With two planes, token 2 i is row i rounded and token 2 i + 1
/// what that leaves out, rounded: the sum of their products has twice the digits.
struct PrepareGroup {
  const float* values;  // [tokens of x / planes, cols], row-major
  int cols;             // unpadded
  int planes;           // 1 or 2
  TokenGroup group;
  const PanelActivations* to;
};

/// Panels [panel_begin, panel_end) times all tokens: out[t * out_stride + r] = sum_c w[r, c] * x[t, c] for the rows of
/// those panels that are below `rows`. No FP8 scale is applied. Sums go in the order of columns, by the format and the
/// table alone.
struct PanelProduct {
  const std::byte* panels;  // panel_begin, 64-byte aligned
  const PanelActivations* x;
  float* out;  // row 0, token 0
  int64_t panel_begin, panel_end;
  int64_t rows;
  int64_t out_stride;
};

/// Writes one panel: rows [0, row_count) at `rows`, row_stride bytes apart; row_count <= 16.
struct PackPanel {
  const std::byte* rows;
  int64_t row_stride;
  int row_count, cols;
  std::byte* panel;
};

struct PanelKernel {
  Arithmetic arithmetic = Arithmetic::f32;
  void (*multiply)(const PanelProduct&) = nullptr;  // null: this table has no panel product for the format
  void (*pack)(const PackPanel&) = nullptr;         // the same bytes as every other table's
};

}  // namespace lancet
