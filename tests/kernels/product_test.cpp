// Matrix products of every table that this CPU can run: right against double precision, and the same bits whatever
// shares the call.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernels/kernels.h"
#include "kernels/product_world.h"

namespace lancet {
namespace {

using test::kAllFormats;
using test::ProductWorld;

constexpr double kEpsilon = 0x1p-24;  // f32's unit of rounding

struct Sum {
  double value, magnitude;  // sum of products, sum of their absolute values
};

Sum exact_sum(const ProductWorld& world, int row, int token) {
  Sum sum{0, 0};
  const std::vector<float> weights = world.decoded_row(row);
  for (int c = 0; c < world.cols; c++) {
    const double term =
        double{weights[static_cast<size_t>(c)]} *
        double{world.values[static_cast<size_t>(token) * static_cast<size_t>(world.cols) + static_cast<size_t>(c)]};
    sum.value += term;
    sum.magnitude += std::fabs(term);
  }
  return sum;
}

std::vector<int> columns_for(Format format) {
  switch (format_info(format).block_values) {
    case 1: return {1, 7, 16, 33, 64, 65, 128, 768, 769, 1000, 1600};
    case 32: return {32, 64, 96, 544, 576, 1536};
    default: return {256, 768, 1024, 1792};
  }
}

class Products : public testing::TestWithParam<Format> {};

// Bound: f32 sums of n terms in at least 8 partial sums have an error below (n / 8 + 10) units of rounding of the
// terms' magnitudes; decoded weights are exact.
TEST_P(Products, ExactAgreesWithDoublePrecision) {
  const Format format = GetParam();
  for (const KernelTable* table : kernel_tables()) {
    for (const int cols : columns_for(format)) {
      for (const int tokens : {1, 2, 3, 5, 7}) {
        const ProductWorld world(format, 5, tokens, cols, static_cast<uint64_t>(cols * 8 + tokens));
        const auto out = world.run_all(table->exact[static_cast<int>(format)]);
        for (int row = 0; row < world.rows; row++) {
          for (int token = 0; token < tokens; token++) {
            const Sum sum = exact_sum(world, row, token);
            ASSERT_NEAR(double{out[static_cast<size_t>(token * world.rows + row)]}, sum.value,
                        (cols / 8 + 10) * kEpsilon * sum.magnitude)
                << table->name << " " << format_name(format) << " cols " << cols << " tokens " << tokens;
          }
        }
      }
    }
  }
}

/// Computes all results in random pieces of tokens and rows, token counts 1..64, and compares bits.
void expect_same_in_any_company(const KernelTable& table, ProductFunction product, Format format, int cols) {
  constexpr int kRows = 37, kTokens = 64;
  const ProductWorld world(format, kRows, kTokens, cols, static_cast<uint64_t>(cols));
  std::vector<float> alone(kRows * kTokens);
  for (int token = 0; token < kTokens; token++) {
    for (int row = 0; row < kRows; row++) world.run(product, token, 1, row, row + 1, alone);
  }
  Random random(static_cast<uint64_t>(cols) + 1);
  for (int tokens = 1; tokens <= kTokens; tokens++) {
    std::vector<float> out(alone.size());
    const int first = static_cast<int>(random.below(static_cast<uint64_t>(kTokens - tokens + 1)));
    for (int row = 0; row < kRows;) {
      const int end = std::min<int>(kRows, row + 1 + static_cast<int>(random.below(kRows)));
      world.run(product, first, tokens, row, end, out);
      row = end;
    }
    for (size_t i = static_cast<size_t>(first * kRows); i < static_cast<size_t>((first + tokens) * kRows); i++) {
      ASSERT_EQ(__builtin_bit_cast(uint32_t, out[i]), __builtin_bit_cast(uint32_t, alone[i]))
          << table.name << " " << format_name(format) << " cols " << cols << " tokens " << tokens;
    }
  }
}

TEST_P(Products, AResultIsTheSameInAnyCompany) {
  const Format format = GetParam();
  for (const KernelTable* table : kernel_tables()) {
    const std::vector<int> columns = columns_for(format);
    for (const int cols : {columns[1], columns[columns.size() / 2], columns.back()}) {
      expect_same_in_any_company(*table, table->exact[static_cast<int>(format)], format, cols);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllFormats, Products, testing::ValuesIn(kAllFormats),
                         [](const auto& info) { return std::string(format_name(info.param)); });

TEST(ProductsOfManyTokens, AreTheSameAsAlone) {
  for (const KernelTable* table : kernel_tables()) {
    for (const Format format : {Format::f8_e4m3, Format::q4_1}) {
      const ProductWorld world(format, 20, 301, 1600, 5);
      const ProductFunction product = table->exact[static_cast<int>(format)];
      const auto together = world.run_all(product);
      for (const int token : {0, 127, 128, 255, 256, 300}) {
        std::vector<float> alone(together.size());
        world.run(product, token, 1, 0, world.rows, alone);
        for (int row = 0; row < world.rows; row++) {
          const auto at = static_cast<size_t>(token * world.rows + row);
          ASSERT_EQ(together[at], alone[at]) << table->name << " " << format_name(format) << " token " << token;
        }
      }
    }
  }
}

TEST(ProductsOfSpecialNumbers, KeepNanAndInfinity) {
  for (const KernelTable* table : kernel_tables()) {
    for (const int tokens : {1, 5}) {
      ProductWorld world(Format::f8_e4m3, 4, tokens, 100, 1);
      world.weights[99] = std::byte{0x7f};  // the last weight of row 0 is NaN
      world.values[0] = std::numeric_limits<float>::infinity();
      const auto out = world.run_all(table->exact[static_cast<int>(Format::f8_e4m3)]);
      EXPECT_TRUE(std::isnan(out[0])) << table->name;
      EXPECT_FALSE(std::isfinite(out[1])) << table->name;
      if (tokens > 1) {
        EXPECT_TRUE(std::isnan(out[4])) << table->name;
        EXPECT_TRUE(std::isfinite(out[5])) << table->name;
      }
    }
  }
}

TEST(ProductsOfSpecialNumbers, DecodeEveryE4m3CodeExactly) {
  for (const KernelTable* table : kernel_tables()) {
    for (const int tokens : {1, 4}) {
      ProductWorld world(Format::f8_e4m3, 256, tokens, 70, 1);
      std::fill(world.weights.begin(), world.weights.end(), std::byte{0});
      std::fill(world.values.begin(), world.values.end(), 0.0f);
      for (int code = 0; code < 256; code++)
        world.weights[static_cast<size_t>(code * 70 + code % 70)] = static_cast<std::byte>(code);
      std::fill(world.values.begin(), world.values.end(), 1.0f);
      const auto out = world.run_all(table->exact[static_cast<int>(Format::f8_e4m3)]);
      for (int code = 0; code < 256; code++) {
        const float wanted = f32_from_e4m3(static_cast<uint8_t>(code));
        const float found = out[static_cast<size_t>(code)];
        EXPECT_TRUE(found == wanted || (std::isnan(found) && std::isnan(wanted))) << table->name << " code " << code;
      }
    }
  }
}

TEST(KernelTables, AreCompleteAndEndWithTheDefinition) {
  EXPECT_EQ(kernel_tables().back()->name, "scalar");
  for (const KernelTable* table : kernel_tables()) {
    for (const ProductFunction product : table->exact) EXPECT_NE(product, nullptr) << table->name;
    EXPECT_EQ(&select_kernels(table->name), table);
  }
  EXPECT_EQ(&select_kernels(""), kernel_tables().front());
  EXPECT_THROW(select_kernels("mmx"), Error);
}

TEST(KernelTables, OfOtherInstructionSetsAreReportedAsSkipped) {
  std::string skipped;
  for (const std::string name : {"avx512bf16", "avx512", "avx2"}) {
    try {
      select_kernels(name);
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::unsupported);
      skipped += " " + name;
    }
  }
  if (!skipped.empty()) GTEST_SKIP() << "DID NOT RUN: this CPU has no" << skipped;
}

}  // namespace
}  // namespace lancet
