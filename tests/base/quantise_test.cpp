// Numbers to blocks and back: how much is lost, against what llama.cpp loses on the same rows, and what broken numbers
// do.
#include "base/quantise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/random.h"

namespace lancet {
namespace {

constexpr Format kFormats[] = {Format::q4_0, Format::q4_1, Format::q5_0, Format::q5_1, Format::q8_0,
                               Format::q2_k, Format::q3_k, Format::q4_k, Format::q5_k, Format::q6_k};
constexpr int64_t kCols = 256;

std::vector<std::byte> encoded(Format format, const std::vector<float>& values) {
  std::vector<std::byte> out(static_cast<size_t>(row_bytes(format, static_cast<int64_t>(values.size()))));
  quantise_row(format, values.data(), static_cast<int64_t>(values.size()), out.data());
  return out;
}

std::vector<float> round_trip(Format format, const std::vector<float>& values) {
  const std::vector<std::byte> bytes = encoded(format, values);
  std::vector<float> out(values.size());
  const FormatInfo& info = format_info(format);
  info.decode(bytes.data(), out.data(), static_cast<int64_t>(values.size()) / info.block_values);
  return out;
}

std::vector<float> random_row(int64_t count, uint64_t seed, double size = 0.02) {
  Random random(seed);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& x : out) x = static_cast<float>(size * random.normal());
  return out;
}

/// Root of the mean squared error, as a share of the numbers' own.
double loss(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0, size = 0;
  for (size_t i = 0; i < a.size(); i++) {
    error += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    size += double{a[i]} * a[i];
  }
  return std::sqrt(error / size);
}

TEST(Quantise, LosesNoMoreThanLlamaCpp) {
  // What ggml_quantize_chunk of libggml-base 0.25.3, without importance matrix, loses on random_row(2^20, 7); here the
  // first eighth of it, which moves the figures by less than the 0.3 % allowed.
  struct Recorded {
    Format format;
    double loss;
  };
  constexpr Recorded kLlama[] = {{Format::q4_0, 0.085840}, {Format::q4_1, 0.078216}, {Format::q5_0, 0.042630},
                                 {Format::q5_1, 0.037793}, {Format::q8_0, 0.005353}, {Format::q2_k, 0.296851},
                                 {Format::q3_k, 0.150863}, {Format::q4_k, 0.071393}, {Format::q5_k, 0.036127},
                                 {Format::q6_k, 0.017771}};
  const std::vector<float> row = random_row(kCols * 512, 7);
  for (const auto& [format, theirs] : kLlama)
    EXPECT_LT(loss(row, round_trip(format, row)), theirs * 1.003) << format_name(format);
}

TEST(Quantise, WeightsOfOneChangeNothing) {
  const std::vector<float> row = random_row(kCols * 16, 13), ones(row.size(), 1.0f);
  for (const Format format : kFormats) {
    std::vector<std::byte> weighted(encoded(format, row).size());
    quantise_row(format, row.data(), static_cast<int64_t>(row.size()), weighted.data(), ones.data());
    EXPECT_EQ(weighted, encoded(format, row)) << format_name(format);
  }
}

TEST(Quantise, ColumnsThatCountMoreLoseLess) {
  const std::vector<float> row = random_row(kCols * 64, 17);
  std::vector<float> weights(row.size());
  for (size_t i = 0; i < weights.size(); i++) weights[i] = i % 8 == 0 ? 100.0f : 1.0f;
  const auto weighted_error = [&](const std::vector<float>& back) {
    double sum = 0;
    for (size_t i = 0; i < row.size(); i++)
      sum += double{weights[i]} * (double{back[i]} - row[i]) * (double{back[i]} - row[i]);
    return sum;
  };
  for (const Format format : kFormats) {
    if (format == Format::q8_0) continue;  // its scale is the greatest magnitude's, whatever counts
    std::vector<std::byte> bytes(encoded(format, row).size());
    quantise_row(format, row.data(), static_cast<int64_t>(row.size()), bytes.data(), weights.data());
    std::vector<float> back(row.size());
    format_info(format).decode(bytes.data(), back.data(),
                               static_cast<int64_t>(row.size()) / format_info(format).block_values);
    EXPECT_LT(weighted_error(back), 0.85 * weighted_error(round_trip(format, row))) << format_name(format);
  }
}

TEST(Quantise, WeightsOfNothingAreHarmless) {
  const std::vector<float> row = random_row(kCols, 19), nothing(row.size(), 0.0f);
  for (const Format format : kFormats) {
    std::vector<std::byte> bytes(encoded(format, row).size());
    quantise_row(format, row.data(), kCols, bytes.data(), nothing.data());
    std::vector<float> back(row.size());
    format_info(format).decode(bytes.data(), back.data(), kCols / format_info(format).block_values);
    EXPECT_LT(loss(row, back), 0.7) << format_name(format);
  }
}

TEST(Quantise, AnyScaleLosesTheSameShare) {
  for (const Format format : kFormats) {
    const double usual = loss(random_row(kCols * 16, 3), round_trip(format, random_row(kCols * 16, 3)));
    for (const double size : {1.0, 100.0}) {
      const std::vector<float> row = random_row(kCols * 16, 3, size);
      EXPECT_LT(loss(row, round_trip(format, row)), usual * 1.05) << format_name(format) << size;
    }
  }
}

TEST(Quantise, ZerosAndConstantsStay) {
  for (const Format format : kFormats) {
    for (const float x : round_trip(format, std::vector<float>(kCols, 0.0f))) EXPECT_EQ(x, 0.0f) << format_name(format);
    for (const float constant : {0.5f, -0.5f})
      for (const float x : round_trip(format, std::vector<float>(kCols, constant)))
        EXPECT_NEAR(x, constant, 0.01f) << format_name(format);
  }
}

TEST(Quantise, OneLargeNumberAmongZerosStays) {
  for (const Format format : kFormats) {
    for (const float large : {3.0f, -3.0f}) {
      std::vector<float> row(kCols, 0.0f);
      row[77] = large;
      const std::vector<float> back = round_trip(format, row);
      for (size_t i = 0; i < row.size(); i++) EXPECT_NEAR(back[i], row[i], 0.02f) << format_name(format) << i;
    }
  }
}

TEST(Quantise, WhatIsNotFiniteBecomesZeroAndHarmsNobody) {
  for (const Format format : kFormats) {
    std::vector<float> row = random_row(kCols, 5), clean = row;
    const float broken[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()};
    for (size_t i = 0; i < 3; i++) row[50 * i] = broken[i], clean[50 * i] = 0.0f;
    EXPECT_EQ(encoded(format, row), encoded(format, clean)) << format_name(format);
  }
}

TEST(Quantise, ExtremeNumbersGiveFiniteOnes) {
  for (const Format format : kFormats) {
    for (const float size : {3e38f, 1e30f, 1e-30f, 1e-45f, 7e4f}) {
      std::vector<float> row(kCols);
      for (size_t i = 0; i < row.size(); i++) row[i] = i % 3 == 0 ? -size : i % 3 == 1 ? size : 0.0f;
      for (const float x : round_trip(format, row)) EXPECT_TRUE(std::isfinite(x)) << format_name(format) << size;
    }
  }
}

TEST(Quantise, RowsDoNotDependOnTheirNeighbours) {
  for (const Format format : kFormats) {
    const std::vector<float> row = random_row(2 * kCols, 11);
    const std::vector<std::byte> both = encoded(format, row);
    const std::vector<std::byte> second = encoded(format, {row.begin() + kCols, row.end()});
    EXPECT_TRUE(std::equal(second.begin(), second.end(), both.begin() + static_cast<int64_t>(second.size())));
  }
}

}  // namespace
}  // namespace lancet
