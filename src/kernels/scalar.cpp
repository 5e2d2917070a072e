// The scalar table: the definition of every entry, in plain loops. Sums of many terms are kept in 16 interleaved
// partial sums that are added pairwise at the end: close to what vector code does, and more accurate than one running
// sum.
#include <cmath>
#include <cstring>

#include "kernels/tables.h"

namespace lancet {
namespace {

constexpr int kLanes = 16;
constexpr int kQuantBlock = 32;

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

float dot_f16(const float* a, const uint16_t* b, int count) {
  float lanes[kLanes] = {};
  for (int i = 0; i < count; i++) lanes[i % kLanes] += a[i] * f32_from_f16(b[i]);
  return add_lanes(lanes);
}

void axpy_f32(float scale, const float* b, float* acc, int count) {
  for (int i = 0; i < count; i++) acc[i] += scale * b[i];
}

void store_f16(const float* values, uint16_t* out, int count) {
  for (int i = 0; i < count; i++) out[i] = f16_from_f32(values[i]);
}

void load_f16(const uint16_t* values, float* out, int count) {
  for (int i = 0; i < count; i++) out[i] = f32_from_f16(values[i]);
}

void load_q8(const std::byte* blocks, float* out, int64_t block_count) {
  format_info(Format::q8_0).decode(blocks, out, block_count);
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

float maximum(const float* x, int count) {
  float best = -INFINITY;
  for (int i = 0; i < count; i++) best = x[i] > best ? x[i] : best;
  return best;
}

void weighted_sum(const WeightedRows& call) {
  for (int query = 0; query < call.queries; query++) {
    float* sums = call.sums + int64_t{query} * call.width;
    for (int row = 0; row < call.row_count; row++) {
      axpy_f32(call.weights[query * call.weight_stride + row], call.rows + int64_t{row} * call.width, sums, call.width);
    }
  }
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

/// A block of 32 weights as int8 products see it: weight = scale * code + minimum.
struct AffineBlock {
  int8_t codes[kQuantBlock];
  float scale, minimum;
};

float half_at(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return f32_from_f16(bits);
}

/// Codes of nibble formats: the low nibbles are the first half of the block.
void nibble_codes(const std::byte* quants, int zero, AffineBlock& to) {
  for (int i = 0; i < kQuantBlock / 2; i++) {
    const int both = std::to_integer<int>(quants[i]);
    to.codes[i] = static_cast<int8_t>((both & 15) - zero);
    to.codes[i + kQuantBlock / 2] = static_cast<int8_t>((both >> 4) - zero);
  }
}

void read_q4_0(const std::byte* row, int64_t b, AffineBlock& to) {
  const std::byte* block = row + b * 18;
  nibble_codes(block + 2, 8, to);
  to.scale = half_at(block);
  to.minimum = 0.0f;
}

void read_q4_1(const std::byte* row, int64_t b, AffineBlock& to) {
  const std::byte* block = row + b * 20;
  nibble_codes(block + 4, 0, to);
  to.scale = half_at(block);
  to.minimum = half_at(block + 2);
}

void read_q8_0(const std::byte* row, int64_t b, AffineBlock& to) {
  const std::byte* block = row + b * 34;
  std::memcpy(to.codes, block + 2, kQuantBlock);
  to.scale = half_at(block);
  to.minimum = 0.0f;
}

/// Scale and minimum of block b of 32 in a superblock of 256, and where that superblock begins (format_blocks.cpp has
/// the layout).
const std::byte* superblock(const std::byte* row, int64_t b, int64_t bytes, AffineBlock& to) {
  const std::byte* block = row + b / 8 * bytes;
  const auto packed = [block](int64_t i) { return std::to_integer<int>(block[4 + i]); };
  const int64_t j = b % 8;
  const int scale = j < 4 ? packed(j) & 63 : (packed(j + 4) & 15) | packed(j - 4) >> 6 << 4;
  const int minimum = j < 4 ? packed(j + 4) & 63 : packed(j + 4) >> 4 | packed(j) >> 6 << 4;
  to.scale = half_at(block) * static_cast<float>(scale);
  to.minimum = -half_at(block + 2) * static_cast<float>(minimum);
  return block;
}

void read_q4_k(const std::byte* row, int64_t b, AffineBlock& to) {
  const std::byte* quants = superblock(row, b, 144, to) + 16 + b % 8 / 2 * 32;
  for (int i = 0; i < kQuantBlock; i++) {
    to.codes[i] = static_cast<int8_t>(std::to_integer<int>(quants[i]) >> (b % 2 * 4) & 15);
  }
}

void read_q5_k(const std::byte* row, int64_t b, AffineBlock& to) {
  const std::byte* fifths = superblock(row, b, 176, to) + 16;
  const std::byte* quants = fifths + 32 + b % 8 / 2 * 32;
  for (int i = 0; i < kQuantBlock; i++) {
    const int fifth = std::to_integer<int>(fifths[i]) >> (b % 8) & 1;
    to.codes[i] = static_cast<int8_t>((std::to_integer<int>(quants[i]) >> (b % 2 * 4) & 15) | fifth << 4);
  }
}

/// sum over blocks, in order, of x_scale * (scale * (codes . quants) + minimum * sum(quants)); the parts in brackets
/// are integers and exact.
template <Format format, void (*read)(const std::byte*, int64_t, AffineBlock&)>
void int8_product(const RowsProduct& product) {
  const Activations& x = *product.x;
  const int blocks = x.cols / kQuantBlock;
  const int64_t stride = row_bytes(format, x.cols);
  for (int64_t row = product.row_begin; row < product.row_end; row++) {
    for (int64_t token = 0; token < x.tokens; token++) {
      float total = 0.0f;
      for (int64_t b = 0; b < blocks; b++) {
        AffineBlock weight;
        read(product.weights + row * stride, b, weight);
        const int8_t* quants = x.quants + token * x.cols + b * kQuantBlock;
        int32_t dot = 0;
        for (int i = 0; i < kQuantBlock; i++) dot += weight.codes[i] * quants[i];
        const int64_t at = token * blocks + b;
        total +=
            x.scales[at] * (weight.scale * static_cast<float>(dot) + weight.minimum * static_cast<float>(x.sums[at]));
      }
      product.out[token * product.out_stride + row] = total;
    }
  }
}

}  // namespace

const KernelTable kScalarTable = {
    .name = "scalar",
    .exact = {exact_product<Format::f32>, exact_product<Format::f16>, exact_product<Format::bf16>,
              exact_product<Format::f8_e4m3>, exact_product<Format::q4_0>, exact_product<Format::q4_1>,
              exact_product<Format::q5_0>, exact_product<Format::q5_1>, exact_product<Format::q8_0>,
              exact_product<Format::q2_k>, exact_product<Format::q3_k>, exact_product<Format::q4_k>,
              exact_product<Format::q5_k>, exact_product<Format::q6_k>, exact_product<Format::iq4_nl>,
              exact_product<Format::iq4_xs>},
    .int8 = {nullptr, nullptr, nullptr, nullptr, int8_product<Format::q4_0, read_q4_0>,
             int8_product<Format::q4_1, read_q4_1>, nullptr, nullptr, int8_product<Format::q8_0, read_q8_0>, nullptr,
             nullptr, int8_product<Format::q4_k, read_q4_k>, int8_product<Format::q5_k, read_q5_k>},
    .quantise = quantise,
    .dot_f32 = dot_f32,
    .dot_f16 = dot_f16,
    .axpy_f32 = axpy_f32,
    .store_f16 = store_f16,
    .load_f16 = load_f16,
    .load_q8 = load_q8,
    .rms_norm = rms_norm,
    .silu_mul = silu_mul,
    .exp_sum = exp_sum,
    .maximum = maximum,
    .weighted_sum = weighted_sum,
};

}  // namespace lancet
