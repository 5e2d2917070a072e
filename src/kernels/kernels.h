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
#include "kernels/attention.h"
#include "kernels/panels.h"

namespace lancet {

/// Activations of one exact product.
struct Activations {
  const float* values;  // [tokens, cols], row-major
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

using ProductFunction = void (*)(const RowsProduct&);

struct KernelTable {
  std::string_view name;  // "scalar", "avx2", "avx512", "avx512bf16"
  /// Products with exact activations, by Format. Never null: formats without a loop of their own decode rows.
  ProductFunction exact[kFormatCount];
  /// Products with panels, by Format; the scalar table has one for every format with a panel layout.
  PanelKernel panel[kFormatCount];
  int panel_tokens;  // the most tokens of a group of panel activations
  /// Fill a group of panel activations, by Arithmetic; null where no panel product of the table wants it.
  void (*prepare[3])(const PrepareGroup&);
  /// Quantises rows of activations to int8 blocks of 32 (scale = amax / 127, round to nearest even): what prepare does
  /// with each block, for tests to look at.
  void (*quantise)(const float* values, int tokens, int cols, int8_t* quants, float* scales, int32_t* sums);
  /// sum_i a[i] * b[i]
  float (*dot_f32)(const float* a, const float* b, int count);
  /// acc[i] += scale * b[i]
  void (*axpy_f32)(float scale, const float* b, float* acc, int count);
  /// out = x / sqrt(mean(x^2) + epsilon) * gain
  void (*rms_norm)(const float* x, const float* gain, float epsilon, float* out, int count);
  /// out[i] = gate[i] / (1 + exp(-gate[i])) * up[i]
  void (*silu_mul)(const float* gate, const float* up, float* out, int count);
  /// x[i] = exp(x[i] - maximum); returns the sum. Attention and silu_mul have this exp inside; tests measure it here.
  float (*exp_sum)(float* x, float maximum, int count);
  /// Attention of some queries to a tile of cached keys, by KvFormat.
  void (*attend[kKvFormatCount])(const AttentionTile&);
  /// codes[i] = round(x[i] / scale), 0 from count up to padded_width(count), with the scale (returned) that makes the
  /// largest |x| `most`. If a number is not finite all codes are 0 and the scale is NaN.
  float (*quantise_wide)(const float* x, int count, int most, int16_t* codes);
};

/// Floats of scratch that a product over `cols` columns needs.
int64_t product_scratch_floats(int cols);

/// All compiled tables that this CPU can run, best first; the last is the scalar one.
std::span<const KernelTable* const> kernel_tables();

/// The table of that name, or the best one for "". Throws Error{unsupported} that lists what this CPU has.
const KernelTable& select_kernels(std::string_view name);

}  // namespace lancet
