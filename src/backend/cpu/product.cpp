// One product takes three steps: quantise the activations (unless the arithmetic is exact), run the kernel over pieces
// of output rows, multiply by the FP8 scale. A scale that is one number per row or coarser is applied to the finished
// sum, where it costs one multiplication an output. A scale that changes along the row cannot be; such rows are decoded
// with their scales and multiplied in f32.
#include "backend/cpu/product.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/sizes.h"

namespace lancet {
namespace {

constexpr int kQuantBlock = 32;     // Activations: values that share a scale
constexpr int64_t kPieceRows = 64;  // output rows a thread takes at once; a multiple of every kernel's row group

struct Piece {
  const Product* product;
  int64_t begin, end;  // output rows
};

bool scale_varies_in_row(const Weight& weight) { return weight.scale && weight.scale->col_block < weight.cols; }

ProductFunction int8_loop(const CpuCore& core, const Weight& weight) {
  if (core.exact || weight.cols % kQuantBlock != 0 || scale_varies_in_row(weight)) return nullptr;
  return core.kernels.int8[static_cast<int>(weight.format)];
}

void quantise(CpuCore& core, Activations& x) {
  const auto tokens = static_cast<size_t>(x.tokens), cols = static_cast<size_t>(x.cols);
  const size_t blocks = cols / kQuantBlock;
  auto* quants = core.arena.array<int8_t>(tokens * cols);
  auto* scales = core.arena.array<float>(tokens * blocks);
  auto* sums = core.arena.array<int32_t>(tokens * blocks);
  for_each_row(core.pool, x.tokens, x.cols, [&](int64_t row) {
    const auto at = static_cast<size_t>(row);
    core.kernels.quantise(x.values + at * cols, 1, x.cols, quants + at * cols, scales + at * blocks,
                          sums + at * blocks);
  });
  x.quants = quants;
  x.scales = scales;
  x.sums = sums;
}

void multiply_decoded_rows(const CpuCore& core, const Activations& x, const Piece& piece, float* row_values) {
  const Matrix& out = piece.product->out;
  for (int64_t row = piece.begin; row < piece.end; row++) {
    decode_row(piece.product->weight, row, row_values);
    for (int64_t token = 0; token < x.tokens; token++) {
      out.data[token * out.cols + row] = core.kernels.dot_f32(row_values, x.values + token * x.cols, x.cols);
    }
  }
}

void apply_row_scales(const Piece& piece, int64_t tokens) {
  const Matrix& out = piece.product->out;
  const ScaleGrid& scale = *piece.product->weight.scale;
  for (int64_t token = 0; token < tokens; token++) {
    float* values = out.data + token * out.cols;
    for (int64_t row = piece.begin; row < piece.end; row++) {
      values[row] *= scale.values[static_cast<size_t>(row / scale.row_block)];
    }
  }
}

void run_piece(const CpuCore& core, const Activations& x, const Piece& piece, float* scratch) {
  const Weight& weight = piece.product->weight;
  if (scale_varies_in_row(weight)) {
    multiply_decoded_rows(core, x, piece, scratch);
    return;
  }
  const ProductFunction int8 = int8_loop(core, weight);
  const ProductFunction loop = int8 ? int8 : core.kernels.exact[static_cast<int>(weight.format)];
  loop({.weights = weight.data,
        .x = &x,
        .out = piece.product->out.data,
        .row_begin = piece.begin,
        .row_end = piece.end,
        .out_stride = piece.product->out.cols,
        .scratch = scratch});
  if (weight.scale) apply_row_scales(piece, x.tokens);
}

}  // namespace

void multiply(CpuCore& core, Matrix x, std::span<const Product> products) {
  if (x.rows == 0) return;
  const Arena::Scope scope(core.arena);
  Activations activations{
      .values = x.data, .quants = nullptr, .scales = nullptr, .sums = nullptr, .tokens = x.rows, .cols = x.cols};
  int64_t row_count = 0;
  bool any_int8 = false;
  for (const Product& product : products) {
    CHECK(product.weight.cols == x.cols && product.weight.rows == product.out.cols && product.out.rows == x.rows);
    row_count += product.weight.rows;
    any_int8 = any_int8 || int8_loop(core, product.weight);
  }
  if (any_int8) quantise(core, activations);

  std::vector<Piece> pieces;
  pieces.reserve(static_cast<size_t>(row_count / kPieceRows) + products.size());
  for (const Product& product : products) {
    for (int64_t begin = 0; begin < product.weight.rows; begin += kPieceRows) {
      pieces.push_back({&product, begin, std::min<int64_t>(begin + kPieceRows, product.weight.rows)});
    }
  }
  // A decoded row fits as well: a kernel needs at least that for the formats without a loop of their own.
  const int64_t scratch_floats = std::max<int64_t>(product_scratch_floats(x.cols), x.cols);
  const int64_t scratch_stride = (scratch_floats + 15) / 16 * 16;
  float* scratch = core.arena.array<float>(static_cast<size_t>(scratch_stride * core.pool.threads()));
  for_each_item(core.pool, static_cast<int64_t>(pieces.size()), [&](int64_t worker, int64_t item) {
    run_piece(core, activations, pieces[static_cast<size_t>(item)], scratch + worker * scratch_stride);
  });
}

void decode_row(const Weight& weight, int64_t row, float* out) {
  const FormatInfo& format = format_info(weight.format);
  format.decode(weight.data + row * row_bytes(weight.format, weight.cols), out, weight.cols / format.block_values);
  if (!weight.scale) return;
  const ScaleGrid& scale = *weight.scale;
  const auto col_blocks =
      static_cast<int64_t>(divide_up(static_cast<uint64_t>(weight.cols), static_cast<uint64_t>(scale.col_block)));
  const float* scales = scale.values.data() + row / scale.row_block * col_blocks;
  for (int64_t block = 0; block < col_blocks; block++) {
    const int64_t begin = block * scale.col_block;
    const int64_t end = begin + std::min(scale.col_block, weight.cols - begin);
    for (int64_t col = begin; col < end; col++) out[col] *= scales[block];
  }
}

}  // namespace lancet
