// One product takes three steps: prepare the activations as the weights' arithmetic wants them, run the kernel over
// pieces of output rows, multiply by the FP8 scale. A scale that is one number per row or coarser is applied to the
// finished sum, where it costs one multiplication an output. A scale that changes along the row cannot be; such rows
// are decoded with their scales and multiplied in f32.
//
// Weights with a slot for panels are multiplied as panels. Until they are packed, the thread that needs a panel packs
// it into its scratch memory first: the same bytes, so the same results, at some cost.
#include "backend/cpu/product.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "backend/cpu/panel_slot.h"
#include "base/check.h"
#include "checkpoint/stored_rows.h"

namespace lancet {
namespace {

constexpr int64_t kPieceRows = 64;  // output rows a thread takes at once: whole panels

struct Piece {
  const Product* product;
  int64_t begin, end;  // output rows
};

/// What one call's products read.
struct Inputs {
  Activations rows;                              // as given
  std::optional<PanelActivations> panels[3][2];  // by Arithmetic and planes - 1, where a product wants them
};

bool scale_varies_in_row(const Weight& weight) { return weight.scale && weight.scale->col_block < weight.cols; }

const PanelKernel& panel_kernel(const CpuCore& core, const Weight& weight) {
  return core.kernels.panel[static_cast<int>(weight.panels->format)];
}

PanelActivations prepare(CpuCore& core, Arithmetic arithmetic, int planes, Matrix x) {
  const int tokens = x.rows * planes, cols = padded_cols(arithmetic, x.cols);
  const auto count = static_cast<size_t>(tokens) * static_cast<size_t>(cols);
  PanelActivations to{.arithmetic = arithmetic, .tokens = tokens, .cols = cols, .group = core.kernels.panel_tokens};
  to.values = core.arena.bytes(static_cast<size_t>(tokens) * static_cast<size_t>(to.row_bytes()));
  if (arithmetic == Arithmetic::int8) {
    const size_t blocks = count / kQuantBlock;
    to.scales = core.arena.array<float>(blocks);
    to.scaled_sums = core.arena.array<float>(blocks);
    to.zero_8 = core.arena.array<int32_t>(blocks);
    to.zero_128 = core.arena.array<int32_t>(blocks);
    to.zero_32 = core.arena.array<int32_t>(2 * blocks);
  }
  for_each_row(core.pool, group_count(tokens, to.group), int64_t{x.cols} * to.group, [&](int64_t number) {
    core.kernels.prepare[static_cast<int>(arithmetic)](
        {.values = x.data,
         .cols = x.cols,
         .planes = planes,
         .group = token_group(tokens, to.group, static_cast<int>(number)),
         .to = &to});
  });
  return to;
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

/// Multiplies the panels of a piece, packed or not; `pack_memory` is for one panel and what packing it needs.
void multiply_packed(const CpuCore& core, const Piece& piece, PanelProduct job, std::byte* pack_memory) {
  const Weight& weight = piece.product->weight;
  const PanelSlot& slot = *weight.panels;
  const PanelKernel& kernel = panel_kernel(core, weight);
  const int64_t first = piece.begin / kPanelRows;
  const int64_t count = job.panel_end;
  if (const std::byte* packed = slot.data.load(std::memory_order_acquire)) {
    job.panels = packed + first * slot.bytes;
    kernel.multiply(job);
    return;
  }
  job.panels = pack_memory;
  for (int64_t panel = 0; panel < count; panel++) {
    pack_panel(core.kernels, weight, slot, first + panel, pack_memory + slot.bytes, pack_memory);
    job.panel_begin = panel;
    job.panel_end = panel + 1;
    kernel.multiply(job);
  }
}

void multiply_panels(const CpuCore& core, const Inputs& inputs, const Piece& piece, float* scratch) {
  const Weight& weight = piece.product->weight;
  const Matrix& out = piece.product->out;
  const int64_t rows = piece.end - piece.begin;
  PanelProduct job{.panels = nullptr,
                   .x = &*inputs.panels[static_cast<int>(panel_kernel(core, weight).arithmetic)][weight.planes - 1],
                   .out = out.data + piece.begin,
                   .panel_begin = 0,
                   .panel_end = (rows + kPanelRows - 1) / kPanelRows,
                   .rows = rows,
                   .out_stride = out.cols};
  if (weight.planes == 1) return multiply_packed(core, piece, job, reinterpret_cast<std::byte*>(scratch));
  // Both planes of every token, to be added.
  job.out = scratch;
  job.out_stride = kPieceRows;
  const int64_t results = 2 * int64_t{out.rows} * kPieceRows;
  multiply_packed(core, piece, job, reinterpret_cast<std::byte*>(scratch + results));
  for (int64_t token = 0; token < out.rows; token++) {
    const float* rounded = scratch + 2 * token * kPieceRows;
    float* to = out.data + token * out.cols + piece.begin;
    for (int64_t row = 0; row < rows; row++) to[row] = rounded[row] + rounded[kPieceRows + row];
  }
}

/// Whether the finished sums want the weight's scale; panels of another format have it in them.
bool scale_is_left(const Weight& weight) {
  return weight.scale && (!weight.panels || weight.panels->format == weight.format);
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

void run_piece(const CpuCore& core, const Inputs& inputs, const Piece& piece, float* scratch) {
  const Weight& weight = piece.product->weight;
  if (weight.panels) {
    multiply_panels(core, inputs, piece, scratch);
  } else if (scale_varies_in_row(weight)) {
    multiply_decoded_rows(core, inputs.rows, piece, scratch);
    return;
  } else {
    core.kernels.exact[static_cast<int>(weight.format)]({.weights = weight.data,
                                                         .x = &inputs.rows,
                                                         .out = piece.product->out.data,
                                                         .row_begin = piece.begin,
                                                         .row_end = piece.end,
                                                         .out_stride = piece.product->out.cols,
                                                         .scratch = scratch});
  }
  if (scale_is_left(weight)) apply_row_scales(piece, inputs.rows.tokens);
}

/// Floats of a thread's scratch: what the kernel of a weight needs for `tokens` tokens.
int64_t scratch_floats(const Weight& weight, int64_t tokens) {
  // A decoded row fits as well: a kernel needs at least that for the formats without a loop of their own.
  if (!weight.panels) return std::max<int64_t>(product_scratch_floats(weight.cols), weight.cols);
  const int64_t results = weight.planes == 2 ? 2 * tokens * kPieceRows : 0;
  if (weight.panels->data.load(std::memory_order_relaxed)) return results;
  return results + (weight.panels->bytes + pack_scratch_bytes(weight, *weight.panels) + 3) / 4;
}

void cut_all(const Product& product, std::vector<Piece>& pieces) {
  for (int64_t begin = 0; begin < product.weight.rows; begin += kPieceRows)
    pieces.push_back({&product, begin, std::min<int64_t>(begin + kPieceRows, product.weight.rows)});
}

/// The panels that the wanted rows are in; neighbours together.
void cut_only(const Product& product, std::vector<Piece>& pieces) {
  const size_t first = pieces.size();
  for (const int64_t row : product.only) {
    CHECK(row >= 0 && row < product.weight.rows);
    const int64_t begin = row / kPanelRows * kPanelRows;
    const int64_t end = std::min<int64_t>(begin + kPanelRows, product.weight.rows);
    const bool more = pieces.size() > first;
    if (more && begin < pieces.back().end) continue;
    if (more && begin == pieces.back().end && begin - pieces.back().begin < kPieceRows) {
      pieces.back().end = end;
    } else {
      pieces.push_back({&product, begin, end});
    }
  }
}

}  // namespace

void multiply(CpuCore& core, Matrix x, std::span<const Product> products) {
  if (x.rows == 0) return;
  const Arena::Scope scope(core.arena);
  Inputs inputs;
  inputs.rows = {.values = x.data, .tokens = x.rows, .cols = x.cols};
  int64_t row_count = 0, floats = 0;
  for (const Product& product : products) {
    const Weight& weight = product.weight;
    CHECK(weight.cols == x.cols && weight.rows == product.out.cols && product.out.rows == x.rows);
    row_count += weight.rows;
    floats = std::max(floats, scratch_floats(weight, x.rows));
    if (!weight.panels) continue;
    const Arithmetic arithmetic = panel_kernel(core, weight).arithmetic;
    const int planes = weight.planes;
    auto& panels = inputs.panels[static_cast<int>(arithmetic)][planes - 1];
    if (!panels) panels = prepare(core, arithmetic, planes, x);
  }

  std::vector<Piece> pieces;
  pieces.reserve(static_cast<size_t>(row_count / kPieceRows) + products.size());
  for (const Product& product : products) product.only.empty() ? cut_all(product, pieces) : cut_only(product, pieces);
  const int64_t scratch_stride = (floats + 15) / 16 * 16;
  float* scratch = core.arena.array<float>(static_cast<size_t>(scratch_stride * core.pool.threads()));
  for_each_neighbour(core.pool, static_cast<int64_t>(pieces.size()), [&](int64_t worker, int64_t item) {
    run_piece(core, inputs, pieces[static_cast<size_t>(item)], scratch + worker * scratch_stride);
  });
}

void decode_row(const Weight& weight, int64_t row, float* out) {
  const FormatInfo& format = format_info(weight.format);
  format.decode(weight.data + row * row_bytes(weight.format, weight.cols), out, weight.cols / format.block_values);
  if (weight.scale) scale_row(*weight.scale, row, {out, static_cast<size_t>(weight.cols)});
}

}  // namespace lancet
