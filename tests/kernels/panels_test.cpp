// Panel products: packed alike by every table, right against double precision, and the same bits whatever shares the
// call.
#include "kernels/panels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/random.h"
#include "kernels/kernels.h"
#include "kernels/product_world.h"

namespace lancet {
namespace {

using test::kAllFormats;

constexpr double kEpsilon = 0x1p-24;  // f32's unit of rounding

template <typename T>
class Aligned {
 public:
  explicit Aligned(size_t count) : memory_(count + 64 / sizeof(T)) {}
  T* data() { return memory_.data() + (64 - reinterpret_cast<uintptr_t>(memory_.data()) % 64) % 64 / sizeof(T); }

 private:
  std::vector<T> memory_;
};

/// Activations of some tokens as one table prepares them.
class Prepared {
 public:
  Prepared(const KernelTable& table, Arithmetic arithmetic, const std::vector<float>& values, int tokens, int cols)
      : values_(size_of(arithmetic, tokens, cols) * 4),
        floats_(size_of(arithmetic, tokens, cols) / 8),
        integers_(size_of(arithmetic, tokens, cols) / 4) {
    const int padded = padded_cols(arithmetic, cols);
    const size_t blocks = size_of(arithmetic, tokens, cols) / kQuantBlock;
    x = {.arithmetic = arithmetic,
         .tokens = tokens,
         .cols = padded,
         .group = table.panel_tokens,
         .values = values_.data(),
         .scales = floats_.data(),
         .scaled_sums = floats_.data() + blocks,
         .zero_8 = integers_.data(),
         .zero_128 = integers_.data() + blocks,
         .zero_32 = integers_.data() + 2 * blocks};
    for (int g = 0; g < group_count(tokens, x.group); g++) {
      table.prepare[static_cast<int>(arithmetic)](
          {.values = values.data(), .cols = cols, .planes = 1, .group = token_group(tokens, x.group, g), .to = &x});
    }
  }
  PanelActivations x;

 private:
  static size_t size_of(Arithmetic arithmetic, int tokens, int cols) {
    return static_cast<size_t>(tokens) * static_cast<size_t>(padded_cols(arithmetic, cols) + 64);
  }
  Aligned<std::byte> values_;
  Aligned<float> floats_;
  Aligned<int32_t> integers_;
};

/// Random weights in rows and in panels, and activations.
struct World {
  Format format;
  int rows, tokens, cols;
  std::vector<std::byte> weights;
  std::vector<float> values;
  int64_t panels, bytes;

  World(Format format, int rows, int tokens, int cols)
      : format(format),
        rows(rows),
        tokens(tokens),
        cols(cols),
        panels((rows + kPanelRows - 1) / kPanelRows),
        bytes(panel_bytes(format, cols)) {
    Random random(static_cast<uint64_t>(rows * 1000 + cols));
    weights = test::random_weights(format, int64_t{rows} * cols, random);
    values.resize(static_cast<size_t>(tokens) * static_cast<size_t>(cols));
    for (float& value : values) value = static_cast<float>(random.normal() * (random.below(50) == 0 ? 20 : 1));
  }

  void pack(const KernelTable& table, std::byte* to) const {
    const int64_t stride = row_bytes(format, cols);
    for (int64_t p = 0; p < panels; p++) {
      table.panel[static_cast<int>(format)].pack(
          {.rows = weights.data() + p * kPanelRows * stride,
           .row_stride = stride,
           .row_count = std::min<int>(kPanelRows, rows - static_cast<int>(p) * kPanelRows),
           .cols = cols,
           .panel = to + p * bytes});
    }
  }

  std::vector<float> multiply(const KernelTable& table, const std::byte* packed, int first, int count) const {
    const std::vector<float> some(values.begin() + int64_t{first} * cols,
                                  values.begin() + int64_t{first + count} * cols);
    const PanelKernel& kernel = table.panel[static_cast<int>(format)];
    Prepared prepared(table, kernel.arithmetic, some, count, cols);
    std::vector<float> out(static_cast<size_t>(count) * static_cast<size_t>(rows), NAN);
    // Two calls, as if two threads took the panels.
    const int64_t middle = panels / 2;
    for (const auto& [begin, end] : {std::pair{int64_t{0}, middle}, std::pair{middle, panels}}) {
      kernel.multiply({.panels = packed + begin * bytes,
                       .x = &prepared.x,
                       .out = out.data(),
                       .panel_begin = begin,
                       .panel_end = end,
                       .rows = rows,
                       .out_stride = rows});
    }
    return out;
  }
};

std::vector<int> columns_for(Format format) {
  switch (format_info(format).block_values) {
    case 1: return {1, 7, 64, 100, 768, 1600};
    case 32: return {32, 96, 128, 576, 1536};
    default: return {256, 768, 1792};
  }
}

bool has_panels(Format format) { return panel_stretch(format).cols > 0; }

class Panels : public testing::TestWithParam<Format> {};

TEST_P(Panels, AreTheSameBytesForEveryTable) {
  const KernelTable& definition = *kernel_tables().back();
  for (const int cols : columns_for(GetParam())) {
    for (const int rows : {16, 37}) {
      const World world(GetParam(), rows, 1, cols);
      const auto size = static_cast<size_t>(world.panels * world.bytes);
      std::vector<std::byte> wanted(size, std::byte{1});
      world.pack(definition, wanted.data());
      for (const KernelTable* table : kernel_tables()) {
        if (!table->panel[static_cast<int>(GetParam())].pack) continue;
        std::vector<std::byte> packed(size, std::byte{2});
        world.pack(*table, packed.data());
        EXPECT_EQ(packed, wanted) << table->name << " cols " << cols << " rows " << rows;
      }
    }
  }
}

/// The activations that a product sees, in double precision: as given, or rounded as the arithmetic rounds.
std::vector<double> rounded(const World& world, Arithmetic arithmetic) {
  std::vector<double> seen(world.values.begin(), world.values.end());
  if (arithmetic == Arithmetic::bf16) {
    for (size_t i = 0; i < seen.size(); i++) seen[i] = double{f32_from_bf16(bf16_from_f32(world.values[i]))};
  }
  if (arithmetic != Arithmetic::int8) return seen;
  for (size_t block = 0; block < seen.size(); block += kQuantBlock) {
    int8_t quants[kQuantBlock];
    float scale;
    int32_t sum;
    kernel_tables().back()->quantise(world.values.data() + block, 1, kQuantBlock, quants, &scale, &sum);
    for (size_t i = 0; i < kQuantBlock; i++) seen[block + i] = double{scale} * double{static_cast<float>(quants[i])};
  }
  return seen;
}

// Bound: f32 sums of n terms in one chain have an error below n units of rounding of the terms' magnitudes; the blocks
// of int8 products are exact, but their codes and minima are rounded apart, up to 127 times their scale.
TEST_P(Panels, ProductsAgreeWithDoublePrecision) {
  const Format format = GetParam();
  for (const KernelTable* table : kernel_tables()) {
    const PanelKernel& kernel = table->panel[static_cast<int>(format)];
    if (!kernel.multiply) continue;
    for (const int cols : columns_for(format)) {
      const World world(format, 37, 29, cols);
      Aligned<std::byte> packed(static_cast<size_t>(world.panels * world.bytes));
      world.pack(*table, packed.data());
      const std::vector<float> out = world.multiply(*table, packed.data(), 0, world.tokens);
      const std::vector<double> seen = rounded(world, kernel.arithmetic);
      std::vector<float> weights(static_cast<size_t>(cols));
      for (int row = 0; row < world.rows; row++) {
        format_info(format).decode(world.weights.data() + row * row_bytes(format, cols), weights.data(),
                                   cols / format_info(format).block_values);
        for (int token = 0; token < world.tokens; token++) {
          double sum = 0, magnitude = 0;
          for (int c = 0; c < cols; c++) {
            const double x = seen[static_cast<size_t>(token * cols + c)],
                         weight = double{weights[static_cast<size_t>(c)]};
            sum += weight * x;
            magnitude += std::fabs(weight * x) + std::fabs(x) * 0.02;
          }
          const double found = double{out[static_cast<size_t>(token * world.rows + row)]};
          ASSERT_NEAR(found, sum, (cols + 16) * kEpsilon * magnitude)
              << table->name << " cols " << cols << " row " << row << " token " << token;
        }
      }
    }
  }
}

TEST_P(Panels, AResultIsTheSameInAnyCompany) {
  const Format format = GetParam();
  for (const KernelTable* table : kernel_tables()) {
    if (!table->panel[static_cast<int>(format)].multiply) continue;
    const std::vector<int> columns = columns_for(format);
    for (const int cols : {columns[0], columns.back()}) {
      const World world(format, 50, 64, cols);
      Aligned<std::byte> packed(static_cast<size_t>(world.panels * world.bytes));
      world.pack(*table, packed.data());
      std::vector<float> alone;
      for (int token = 0; token < world.tokens; token++) {
        const auto one = world.multiply(*table, packed.data(), token, 1);
        alone.insert(alone.end(), one.begin(), one.end());
      }
      for (int tokens = 1; tokens <= world.tokens; tokens++) {
        const int first = world.tokens - tokens;
        const auto out = world.multiply(*table, packed.data(), first, tokens);
        for (size_t i = 0; i < out.size(); i++) {
          ASSERT_EQ(__builtin_bit_cast(uint32_t, out[i]),
                    __builtin_bit_cast(uint32_t, alone[static_cast<size_t>(first * world.rows) + i]))
              << table->name << " cols " << cols << " tokens " << tokens;
        }
      }
    }
  }
}

std::vector<Format> formats_with_panels() {
  std::vector<Format> formats;
  for (const Format format : kAllFormats)
    if (has_panels(format)) formats.push_back(format);
  return formats;
}
INSTANTIATE_TEST_SUITE_P(Formats, Panels, testing::ValuesIn(formats_with_panels()),
                         [](const auto& info) { return std::string(format_name(info.param)); });

TEST(PanelTables, HaveEveryFormatInTheDefinition) {
  for (const Format format : kAllFormats) {
    const PanelKernel& kernel = kernel_tables().back()->panel[static_cast<int>(format)];
    EXPECT_EQ(kernel.multiply != nullptr, has_panels(format)) << format_name(format);
    EXPECT_EQ(kernel.pack != nullptr, has_panels(format)) << format_name(format);
  }
}

}  // namespace
}  // namespace lancet
