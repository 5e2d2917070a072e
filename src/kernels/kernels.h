// The hot loops, one table per instruction set. The scalar table is the definition of every entry; the others must
// agree with it within rounding, and each must give every (row, token) result in an order of sums that depends on the
// format and the instruction set only, never on how many rows or tokens share the call (design idea 5).
// Files that fill a table are compiled with their own flags: they hold everything in an unnamed namespace and include
// no header with inline code beyond kernels/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/format.h"

namespace lancet {

/// Activations of one product, prepared once and shared by all weights that read them.
/// exact: row-major f32 [tokens, cols] as given. int8: blocks of 32 with one f32 scale each (and the block's sum, which
/// formats with a minimum or an offset need).
struct Activations {
  const float* values;   // [tokens, cols]
  const int8_t* quants;  // [tokens, cols]; null in exact mode
  const float* scales;   // [tokens, cols / 32]; null in exact mode
  const int32_t* sums;   // [tokens, cols / 32]: sum of the block's quants; null in exact mode
  int tokens, cols;
};

/// Weight rows [row_begin, row_end) times all tokens: out[t * out_stride + r] = sum_c w[r, c] * x[t, c].
/// `weights` is the start of row 0; rows are row_bytes(format, cols) apart. No FP8 scale is applied here.
struct RowsProduct {
  const std::byte* weights;
  const Activations* x;
  float* out;
  int64_t row_begin, row_end;
  int64_t out_stride;
  float* scratch;  // product_scratch_floats(cols) floats of the calling thread's own, 64-byte aligned
};

/// sums[q, i] += sum_r weights[q * weight_stride + r] * rows[r, i], r ascending. sums: [queries, width],
/// rows: [row_count, width].
struct WeightedRows {
  const float* weights;
  int64_t weight_stride;
  const float* rows;
  float* sums;
  int queries, row_count, width;
};

using ProductFunction = void (*)(const RowsProduct&);

struct KernelTable {
  std::string_view name;  // "scalar", "avx2", "avx512"
  /// Products with exact activations, by Format. Never null: formats without a loop of their own decode rows.
  ProductFunction exact[kFormatCount];
  /// Products with int8 activations, by Format; null: this format has none, use exact.
  ProductFunction int8[kFormatCount];
  /// Quantises rows of activations to int8 blocks of 32 (scale = amax / 127, round to nearest even).
  void (*quantise)(const float* values, int tokens, int cols, int8_t* quants, float* scales, int32_t* sums);
  /// sum_i a[i] * b[i]; b is f32 or f16 by the name.
  float (*dot_f32)(const float* a, const float* b, int count);
  float (*dot_f16)(const float* a, const uint16_t* b, int count);
  /// acc[i] += scale * b[i]
  void (*axpy_f32)(float scale, const float* b, float* acc, int count);
  /// out[i] = round(values[i]) to f16
  void (*store_f16)(const float* values, uint16_t* out, int count);
  /// The other way, exact.
  void (*load_f16)(const uint16_t* values, float* out, int count);
  /// Decodes whole blocks of Format::q8_0, to the same bits as the format's own decoder. blocks: unaligned.
  void (*load_q8)(const std::byte* blocks, float* out, int64_t block_count);
  /// out = x / sqrt(mean(x^2) + epsilon) * gain
  void (*rms_norm)(const float* x, const float* gain, float epsilon, float* out, int count);
  /// out[i] = gate[i] / (1 + exp(-gate[i])) * up[i]
  void (*silu_mul)(const float* gate, const float* up, float* out, int count);
  /// x[i] = exp(x[i] - maximum); returns the sum.
  float (*exp_sum)(float* x, float maximum, int count);
  /// The greatest of x; NaN counts as nothing, and so does an empty x: -infinity.
  float (*maximum)(const float* x, int count);
  /// Adds weighted rows to the sums of several queries.
  void (*weighted_sum)(const WeightedRows&);
};

/// Floats of scratch that a product over `cols` columns needs.
int64_t product_scratch_floats(int cols);

/// All compiled tables that this CPU can run, best first; the last is the scalar one.
std::span<const KernelTable* const> kernel_tables();

/// The table of that name, or the best one for "". Throws Error{unsupported} that lists what this CPU has.
const KernelTable& select_kernels(std::string_view name);

}  // namespace lancet
