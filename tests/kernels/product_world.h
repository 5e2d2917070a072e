// Random weights and activations for product tests, and the slow, obvious product in double precision.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/format.h"
#include "base/random.h"
#include "kernels/kernels.h"

namespace lancet::test {

inline constexpr Format kAllFormats[] = {Format::f32,  Format::f16,  Format::bf16,   Format::f8_e4m3,
                                         Format::q4_0, Format::q4_1, Format::q5_0,   Format::q5_1,
                                         Format::q8_0, Format::q2_k, Format::q3_k,   Format::q4_k,
                                         Format::q5_k, Format::q6_k, Format::iq4_nl, Format::iq4_xs};

/// Replaces the f16 fields of a block by small finite numbers: random bytes would often be huge or NaN there.
inline void set_half(std::byte* at, Random& random) {
  const uint16_t bits = f16_from_f32(static_cast<float>(0.02 * random.normal()));
  std::memcpy(at, &bits, sizeof bits);
}

/// Where a block's f16 fields lie.
inline std::vector<int> half_fields(Format format) {
  switch (format) {
    case Format::q4_0:
    case Format::q5_0:
    case Format::q8_0:
    case Format::iq4_nl:
    case Format::iq4_xs: return {0};
    case Format::q4_1:
    case Format::q5_1:
    case Format::q4_k:
    case Format::q5_k: return {0, 2};
    case Format::q2_k: return {80, 82};
    case Format::q3_k: return {108};
    case Format::q6_k: return {208};
    default: return {};
  }
}

inline std::vector<std::byte> random_weights(Format format, int64_t count, Random& random) {
  const FormatInfo& info = format_info(format);
  std::vector<std::byte> bytes(static_cast<size_t>(row_bytes(format, count)));
  if (!info.floating) {
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.below(256));
    for (size_t block = 0; block < bytes.size(); block += static_cast<size_t>(info.block_bytes)) {
      for (const int field : half_fields(format)) set_half(bytes.data() + block + field, random);
    }
    return bytes;
  }
  for (int64_t i = 0; i < count; i++) {
    const auto value = static_cast<float>(random.normal() * (i % 37 == 0 ? 1e-3 : 1.0));
    const uint8_t code = e4m3_from_f32(value);
    const uint16_t half = format == Format::f16 ? f16_from_f32(value) : bf16_from_f32(value);
    const void* from = format == Format::f32       ? static_cast<const void*>(&value)
                       : format == Format::f8_e4m3 ? static_cast<const void*>(&code)
                                                   : static_cast<const void*>(&half);
    std::memcpy(bytes.data() + i * info.block_bytes, from, static_cast<size_t>(info.block_bytes));
  }
  return bytes;
}

/// rows x cols weights and tokens x cols activations with everything a product needs.
struct ProductWorld {
  Format format;
  int rows, tokens, cols;
  std::vector<std::byte> weights;
  std::vector<float> values;

  ProductWorld(Format format, int rows, int tokens, int cols, uint64_t seed)
      : format(format), rows(rows), tokens(tokens), cols(cols) {
    Random random(seed);
    weights = random_weights(format, int64_t{rows} * cols, random);
    values.resize(static_cast<size_t>(tokens) * static_cast<size_t>(cols));
    for (float& value : values) value = static_cast<float>(random.normal());
  }

  /// out: [tokens, rows], of which tokens [first, first + count) and rows [begin, end) are written.
  void run(ProductFunction product, int first, int count, int begin, int end, std::vector<float>& out) const {
    const Activations x{values.data() + int64_t{first} * cols, count, cols};
    // As much as was promised, at a multiple of 64 bytes: a sanitizer sees a kernel that takes more.
    std::vector<float> memory(static_cast<size_t>(product_scratch_floats(cols)) + 16);
    float* scratch = memory.data() + (16 - reinterpret_cast<uintptr_t>(memory.data()) / sizeof(float) % 16) % 16;
    product({.weights = weights.data(),
             .x = &x,
             .out = out.data() + int64_t{first} * rows,
             .row_begin = begin,
             .row_end = end,
             .out_stride = rows,
             .scratch = scratch});
  }

  std::vector<float> run_all(ProductFunction product) const {
    std::vector<float> out(static_cast<size_t>(tokens) * static_cast<size_t>(rows), std::nanf(""));
    run(product, 0, tokens, 0, rows, out);
    return out;
  }

  std::vector<float> decoded_row(int row) const {
    const FormatInfo& info = format_info(format);
    std::vector<float> decoded(static_cast<size_t>(cols));
    info.decode(weights.data() + row * row_bytes(format, cols), decoded.data(), cols / info.block_values);
    return decoded;
  }
};

}  // namespace lancet::test
