// Products with f32 activations, for any instruction set (`Isa`: vec_avx2.h, vec_avx512.h).
//
// The sum of one (row, token): columns are cut into segments of 768. Within one, vectors go alternately to two chains
// of fused multiply-adds; chain 1 is added to chain 0, the lanes are added in a fixed tree, and the segments' sums are
// added in order. Two loops follow that rule and therefore agree bit for bit: for a few tokens, rows are streamed from
// memory and decoded in registers, as fast as memory delivers; for many, a segment of four rows is decoded once into
// the level-1 cache and multiplied with three tokens at a time.
#pragma once

#include <cstring>

#include "kernels/kernels.h"

namespace lancet {
namespace {

constexpr int kSegment = 768;  // a multiple of every block size and of 4 vectors; 4 rows of it are 12 KiB of f32
constexpr int kTileRows = 4;
constexpr int kTileTokens = 3;    // 4 rows x 3 tokens x 2 chains are 24 accumulators
constexpr int kStreamTokens = 3;  // up to so many tokens the weights are streamed
constexpr int kTokenBlock = 128;  // tokens that reuse a decoded segment; 128 x 768 activations stay in level 2

/// One segment of a product.
struct Segment {
  int64_t begin;
  int cols;
  bool first() const { return begin == 0; }
};

constexpr bool is_plain(Format format) {
  return format == Format::f32 || format == Format::f16 || format == Format::bf16 || format == Format::f8_e4m3;
}
constexpr int plain_bytes(Format format) { return format == Format::f32 ? 4 : format == Format::f8_e4m3 ? 1 : 2; }

/// Puts result r * T + t into out[r * row_step + t * token_step]: written in the first segment, added afterwards.
template <class Isa, int R, int T>
void put_sums(typename Isa::Four sums, float* out, int64_t row_step, int64_t token_step, bool first) {
  float values[4];
  Isa::store_four(values, sums);
  for (int r = 0; r < R; r++) {
    for (int t = 0; t < T; t++) {
      float& to = out[r * row_step + t * token_step];
      to = first ? values[r * T + t] : to + values[r * T + t];
    }
  }
}

/// The same for the first `count` of four rows of one token.
template <class Isa>
void put_some_sums(typename Isa::Four sums, float* out, int count, bool first) {
  float values[4];
  Isa::store_four(values, sums);
  for (int r = 0; r < count; r++) out[r] = first ? values[r] : out[r] + values[r];
}

/// R rows times T tokens over one segment, R * T <= 4, weights in any plain format. Result r * T + t.
template <class Isa, Format format, int R, int T>
typename Isa::Four stream_segment(const std::byte* const (&rows)[R], const float* x, int64_t x_stride, int cols) {
  using Vec = typename Isa::Vec;
  constexpr int kQuad = 4 * Isa::kWidth;
  constexpr int kBytes = plain_bytes(format);
  static_assert(R * T <= 4);
  Vec chains[4][2];
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) chains[i][0] = chains[i][1] = Isa::zero();
  const auto add_quad = [&](int r, const std::byte* weights, const float* activations, int64_t stride) {
    const typename Isa::Quad quad = Isa::template load_quad<format>(weights);
#pragma GCC unroll 4
    for (int t = 0; t < T; t++) {
#pragma GCC unroll 4
      for (int v = 0; v < 4; v++) {
        Vec& chain = chains[r * T + t][v % 2];
        chain = Isa::fma(quad.v[v], Isa::load(activations + t * stride + v * Isa::kWidth), chain);
      }
    }
  };
  int col = 0;
  for (; col + kQuad <= cols; col += kQuad) {
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) add_quad(r, rows[r] + int64_t{col} * kBytes, x + col, x_stride);
  }
  if (col < cols) {
    const auto rest = static_cast<size_t>(cols - col);
    alignas(64) float activations[T * kQuad] = {};
    for (int t = 0; t < T; t++) std::memcpy(activations + t * kQuad, x + t * x_stride + col, rest * sizeof(float));
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      alignas(64) std::byte weights[4 * kQuad] = {};
      std::memcpy(weights, rows[r] + int64_t{col} * kBytes, rest * kBytes);
      add_quad(r, weights, activations, kQuad);
    }
  }
  return Isa::reduce4(Isa::add(chains[0][0], chains[0][1]), Isa::add(chains[1][0], chains[1][1]),
                      Isa::add(chains[2][0], chains[2][1]), Isa::add(chains[3][0], chains[3][1]));
}

/// Whole blocks of q8_0: a half scale and 32 signed bytes each. One multiplication a number, as the definition has it.
template <class Isa>
void load_q8(const std::byte* blocks, float* out, int64_t block_count) {
  for (int64_t block = 0; block < block_count; block++, blocks += 34, out += 32) {
    const auto scale = Isa::load_half(blocks);
#pragma GCC unroll 4
    for (int i = 0; i < 32; i += Isa::kWidth) Isa::store(out + i, Isa::mul(Isa::load_int8(blocks + 2 + i), scale));
  }
}

/// Decodes a segment of a row to f32, zeros after its end up to a whole quad.
template <class Isa, Format format>
void decode_segment(const std::byte* row, Segment segment, float* to) {
  constexpr int kQuad = 4 * Isa::kWidth;
  const int padded = (segment.cols + kQuad - 1) / kQuad * kQuad;
  if constexpr (is_plain(format) && format != Format::f32) {
    constexpr int kBytes = plain_bytes(format);
    const std::byte* from = row + segment.begin * kBytes;
    alignas(64) std::byte rest[2 * kQuad] = {};
    const int whole = segment.cols / kQuad * kQuad;
    if (whole < segment.cols) {
      std::memcpy(rest, from + int64_t{whole} * kBytes, static_cast<size_t>(segment.cols - whole) * kBytes);
    }
    for (int col = 0; col < padded; col += kQuad) {
      const auto quad = Isa::template load_quad<format>(col < whole ? from + int64_t{col} * kBytes : rest);
#pragma GCC unroll 4
      for (int v = 0; v < 4; v++) Isa::store(to + col + v * Isa::kWidth, quad.v[v]);
    }
  } else {
    const FormatInfo& info = format_info(format);
    const std::byte* from = row + int64_t{segment.begin / info.block_values} * info.block_bytes;
    if constexpr (format == Format::q8_0) {
      load_q8<Isa>(from, to, segment.cols / info.block_values);
    } else {
      info.decode(from, to, segment.cols / info.block_values);
    }
    std::memset(to + segment.cols, 0, static_cast<size_t>(padded - segment.cols) * sizeof(float));
  }
}

/// Four decoded rows (kSegment floats apart) times T tokens over one segment. sums[t] has the four rows.
template <class Isa, int T>
void tile_segment(const float* rows, const float* x, int64_t x_stride, int cols,
                  typename Isa::Four (&sums)[kTileTokens]) {
  using Vec = typename Isa::Vec;
  constexpr int kQuad = 4 * Isa::kWidth;
  Vec chains[2][kTileRows][T];
#pragma GCC unroll 4
  for (int r = 0; r < kTileRows; r++) {
#pragma GCC unroll 4
    for (int t = 0; t < T; t++) chains[0][r][t] = chains[1][r][t] = Isa::zero();
  }
  const auto add_pair = [&](const float* weights, const float* activations, int64_t stride) {
#pragma GCC unroll 2
    for (int chain = 0; chain < 2; chain++) {
      Vec tokens[T];
#pragma GCC unroll 4
      for (int t = 0; t < T; t++) tokens[t] = Isa::load(activations + t * stride + chain * Isa::kWidth);
#pragma GCC unroll 4
      for (int r = 0; r < kTileRows; r++) {
        const Vec weight = Isa::load(weights + r * kSegment + chain * Isa::kWidth);
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) chains[chain][r][t] = Isa::fma(weight, tokens[t], chains[chain][r][t]);
      }
    }
  };
  int col = 0;
  for (; col + kQuad <= cols; col += kQuad) {
    add_pair(rows + col, x + col, x_stride);
    add_pair(rows + col + 2 * Isa::kWidth, x + col + 2 * Isa::kWidth, x_stride);
  }
  if (col < cols) {
    alignas(64) float rest[T * kQuad] = {};
    for (int t = 0; t < T; t++) {
      std::memcpy(rest + t * kQuad, x + t * x_stride + col, static_cast<size_t>(cols - col) * sizeof(float));
    }
    add_pair(rows + col, rest, kQuad);
    add_pair(rows + col + 2 * Isa::kWidth, rest + 2 * Isa::kWidth, kQuad);
  }
#pragma GCC unroll 4
  for (int t = 0; t < T; t++) {
    sums[t] = Isa::reduce4(Isa::add(chains[0][0][t], chains[1][0][t]), Isa::add(chains[0][1][t], chains[1][1][t]),
                           Isa::add(chains[0][2][t], chains[1][2][t]), Isa::add(chains[0][3][t], chains[1][3][t]));
  }
}

inline int64_t bytes_of_row(Format format, int64_t cols) {
  const FormatInfo& info = format_info(format);
  return cols / info.block_values * info.block_bytes;
}

/// Rows first, first + step, ... (R of them) times T tokens.
template <class Isa, Format format, int R, int T>
void stream_some_rows(const RowsProduct& product, int64_t first, int64_t step) {
  const int64_t cols = product.x->cols;
  const int64_t stride = bytes_of_row(format, cols);
  for (int64_t begin = 0; begin < cols; begin += kSegment) {
    const Segment segment{begin, static_cast<int>(cols - begin < kSegment ? cols - begin : kSegment)};
    const float* x = product.x->values + begin;
    const std::byte* rows[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) rows[r] = product.weights + (first + r * step) * stride;
    typename Isa::Four sums;
    if constexpr (is_plain(format)) {
#pragma GCC unroll 4
      for (int r = 0; r < R; r++) rows[r] += begin * plain_bytes(format);
      sums = stream_segment<Isa, format, R, T>(rows, x, cols, segment.cols);
    } else {
      static_assert(R == 1);
      decode_segment<Isa, format>(rows[0], segment, product.scratch);
      rows[0] = reinterpret_cast<const std::byte*>(product.scratch);
      sums = stream_segment<Isa, Format::f32, R, T>(rows, x, cols, segment.cols);
    }
    put_sums<Isa, R, T>(sums, product.out + first, step, product.out_stride, segment.first());
  }
}

/// The rows are read as R streams, each of neighbouring rows: their activations are loaded once, and every stream is
/// long enough for the processor to read ahead. (Neighbouring rows at once are short streams, and slower.)
template <class Isa, Format format, int T>
void stream_rows(const RowsProduct& product) {
  constexpr int R = is_plain(format) ? 4 / T : 1;
  const int64_t step = (product.row_end - product.row_begin) / R;
  for (int64_t i = 0; i < step; i++) stream_some_rows<Isa, format, R, T>(product, product.row_begin + i, step);
  for (int64_t row = product.row_begin + step * R; row < product.row_end; row++) {
    stream_some_rows<Isa, format, 1, T>(product, row, 0);
  }
}

/// Tokens [first, first + count) of one segment, four decoded rows.
template <class Isa>
void tile_tokens(const RowsProduct& product, Segment segment, int64_t row, int first, int count) {
  const int64_t cols = product.x->cols;
  const auto rows = static_cast<int>(product.row_end - row < kTileRows ? product.row_end - row : kTileRows);
  for (int token = first; token < first + count; token += kTileTokens) {
    const float* x = product.x->values + token * cols + segment.begin;
    const int tokens = first + count - token < kTileTokens ? first + count - token : kTileTokens;
    typename Isa::Four sums[kTileTokens];
    if (tokens == 3) {
      tile_segment<Isa, 3>(product.scratch, x, cols, segment.cols, sums);
    } else if (tokens == 2) {
      tile_segment<Isa, 2>(product.scratch, x, cols, segment.cols, sums);
    } else {
      tile_segment<Isa, 1>(product.scratch, x, cols, segment.cols, sums);
    }
    for (int t = 0; t < tokens; t++) {
      float* out = product.out + (token + t) * product.out_stride + row;
      if (rows == kTileRows) {
        put_sums<Isa, kTileRows, 1>(sums[t], out, 1, 0, segment.first());
      } else {
        put_some_sums<Isa>(sums[t], out, rows, segment.first());
      }
    }
  }
}

template <class Isa, Format format>
void tile_rows(const RowsProduct& product) {
  const int64_t cols = product.x->cols;
  const int64_t stride = bytes_of_row(format, cols);
  for (int first = 0; first < product.x->tokens; first += kTokenBlock) {
    const int count = product.x->tokens - first < kTokenBlock ? product.x->tokens - first : kTokenBlock;
    for (int64_t begin = 0; begin < cols; begin += kSegment) {
      const Segment segment{begin, static_cast<int>(cols - begin < kSegment ? cols - begin : kSegment)};
      for (int64_t row = product.row_begin; row < product.row_end; row += kTileRows) {
        for (int r = 0; r < kTileRows; r++) {
          float* to = product.scratch + r * kSegment;
          if (row + r < product.row_end) {
            decode_segment<Isa, format>(product.weights + (row + r) * stride, segment, to);
          } else {
            std::memset(to, 0, kSegment * sizeof(float));
          }
        }
        tile_tokens<Isa>(product, segment, row, first, count);
      }
    }
  }
}

template <class Isa, Format format>
void exact_product(const RowsProduct& product) {
  switch (product.x->tokens) {
    case 0: return;
    case 1: return stream_rows<Isa, format, 1>(product);
    case 2: return stream_rows<Isa, format, 2>(product);
    case kStreamTokens: return stream_rows<Isa, format, kStreamTokens>(product);
    default: return tile_rows<Isa, format>(product);
  }
}

}  // namespace
}  // namespace lancet
