// The scalar table: the definition of every entry, in plain loops. Sums of many terms are kept in 16 interleaved
// partial sums that are added pairwise at the end: close to what vector code does, and more accurate than one running
// sum.
#include <cmath>
#include <cstring>

#include "kernels/attention_scalar.h"
#include "kernels/panel_prepare.h"
#include "kernels/panel_scalar.h"
#include "kernels/tables.h"

namespace lancet {
namespace {

constexpr int kLanes = 16;

/// Adds the lanes pairwise: lane i takes lane i + half.
float add_lanes(float (&lanes)[kLanes]) {
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

float dot_f32(const float* a, const float* b, int count) {
  float lanes[kLanes] = {};
  for (int i = 0; i < count; i++) lanes[i % kLanes] += a[i] * b[i];
  return add_lanes(lanes);
}

void axpy_f32(float scale, const float* b, float* acc, int count) {
  for (int i = 0; i < count; i++) acc[i] += scale * b[i];
}

void rms_norm(const float* x, const float* gain, float epsilon, float* out, int count) {
  const float scale = 1.0f / std::sqrt(dot_f32(x, x, count) / static_cast<float>(count) + epsilon);
  for (int i = 0; i < count; i++) out[i] = x[i] * scale * gain[i];
}

void silu_mul(const float* gate, const float* up, float* out, int count) {
  for (int i = 0; i < count; i++) out[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

float exp_sum(float* x, float maximum, int count) {
  float lanes[kLanes] = {};
  for (int i = 0; i < count; i++) {
    x[i] = std::exp(x[i] - maximum);
    lanes[i % kLanes] += x[i];
  }
  return add_lanes(lanes);
}

/// Quantises one block of 32. A block with a NaN or an infinity gets a NaN scale: its results are NaN, never a crash.
void quantise_block(const float* values, int8_t* quants, float& scale, int32_t& sum) {
  float amax = 0.0f;
  for (int i = 0; i < kQuantBlock; i++) {
    const float magnitude = std::fabs(values[i]);
    if (!(magnitude <= amax)) amax = magnitude;
    if (magnitude != magnitude) break;
  }
  scale = amax / 127.0f;
  sum = 0;
  const float inverse = amax > 0.0f ? 127.0f / amax : 0.0f;
  for (int i = 0; i < kQuantBlock; i++) {
    // |value * inverse| is at most 127 up to one rounding, so the result fits; what is not finite becomes 0.
    const float scaled = values[i] * inverse;
    quants[i] = scaled >= -127.5f && scaled <= 127.5f ? static_cast<int8_t>(std::lrint(scaled)) : int8_t{0};
    sum += quants[i];
  }
}

void round_to_bf16(const float* values, uint16_t* out) {
  for (int i = 0; i < 32; i++) out[i] = bf16_from_f32(values[i]);
}

void quantise(const float* values, int tokens, int cols, int8_t* quants, float* scales, int32_t* sums) {
  const int64_t blocks = int64_t{tokens} * (cols / kQuantBlock);
  for (int64_t block = 0; block < blocks; block++) {
    quantise_block(values + block * kQuantBlock, quants + block * kQuantBlock, scales[block], sums[block]);
  }
}

template <Format format>
void exact_product(const RowsProduct& product) {
  const FormatInfo& info = format_info(format);
  const Activations& x = *product.x;
  for (int64_t row = product.row_begin; row < product.row_end; row++) {
    info.decode(product.weights + row * row_bytes(format, x.cols), product.scratch, x.cols / info.block_values);
    for (int64_t token = 0; token < x.tokens; token++) {
      product.out[token * product.out_stride + row] = dot_f32(product.scratch, x.values + token * x.cols, x.cols);
    }
  }
}

}  // namespace

constinit const KernelTable kScalarTable = {
    .name = "scalar",
    .exact = {exact_product<Format::f32>, exact_product<Format::f16>, exact_product<Format::bf16>,
              exact_product<Format::f8_e4m3>, exact_product<Format::q4_0>, exact_product<Format::q4_1>,
              exact_product<Format::q5_0>, exact_product<Format::q5_1>, exact_product<Format::q8_0>,
              exact_product<Format::q2_k>, exact_product<Format::q3_k>, exact_product<Format::q4_k>,
              exact_product<Format::q5_k>, exact_product<Format::q6_k>, exact_product<Format::iq4_nl>,
              exact_product<Format::iq4_xs>},
    .panel = {{},
              {Arithmetic::f32, panel_f16, pack_plain<Format::f16>},
              {Arithmetic::bf16, panel_bf16<Format::bf16>, pack_plain<Format::bf16>},
              {Arithmetic::bf16, panel_bf16<Format::f8_e4m3>, pack_f8},
              {Arithmetic::int8, panel_int8<Format::q4_0, take_legacy_nibbles<Format::q4_0>>,
               pack_blocks<Format::q4_0, pack_row_of_nibbles<Format::q4_0>>},
              {Arithmetic::int8, panel_int8<Format::q4_1, take_legacy_nibbles<Format::q4_1>>,
               pack_blocks<Format::q4_1, pack_row_of_nibbles<Format::q4_1>>},
              {},
              {},
              {Arithmetic::int8, panel_int8<Format::q8_0, take_q8_0>, pack_blocks<Format::q8_0, pack_row_of_q8_0>},
              {},
              {},
              {Arithmetic::int8, panel_int8<Format::q4_k, take_k<Format::q4_k>>,
               pack_blocks<Format::q4_k, pack_row_of_k<Format::q4_k>>},
              {Arithmetic::int8, panel_int8<Format::q5_k, take_k<Format::q5_k>>,
               pack_blocks<Format::q5_k, pack_row_of_k<Format::q5_k>>},
              {Arithmetic::int8, panel_int8<Format::q6_k, take_q6_k>, pack_blocks<Format::q6_k, pack_row_of_q6_k>}},
    .panel_tokens = 4,
    .prepare = {prepare_f32, prepare_bf16<round_to_bf16>, prepare_int8<quantise_block>},
    .quantise = quantise,
    .dot_f32 = dot_f32,
    .axpy_f32 = axpy_f32,
    .rms_norm = rms_norm,
    .silu_mul = silu_mul,
    .exp_sum = exp_sum,
    .attend = {attend<KvF32>, attend<KvF16>, attend<KvQ8>},
    .quantise_wide = quantise_wide,
};

}  // namespace lancet
