// The entries of a table besides products, for every table that this CPU can run.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/random.h"
#include "kernels/kernels.h"

namespace lancet {
namespace {

constexpr double kEpsilon = 0x1p-24;
constexpr int kCounts[] = {0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 100, 128, 576, 1000};
constexpr float kInfinity = std::numeric_limits<float>::infinity();
const float kNan = std::nanf("");

std::vector<float> random_values(int count, uint64_t seed, double spread = 1.0) {
  Random random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(spread * random.normal());
  return values;
}

class VectorOps : public testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& table_ = *GetParam();
  const KernelTable& definition_ = *kernel_tables().back();
};

TEST_P(VectorOps, DotAgreesWithDoublePrecision) {
  for (const int count : kCounts) {
    const auto a = random_values(count, 1), b = random_values(count, 2);
    double sum = 0, magnitude = 0;
    for (size_t i = 0; i < a.size(); i++) {
      sum += double{a[i]} * double{b[i]};
      magnitude += std::fabs(double{a[i]} * double{b[i]});
    }
    EXPECT_NEAR(double{table_.dot_f32(a.data(), b.data(), count)}, sum, (count / 8 + 8) * kEpsilon * magnitude);
  }
}

TEST_P(VectorOps, AxpyTouchesOnlyItsElements) {
  for (const int count : kCounts) {
    const auto b = random_values(count, 3);
    auto acc = random_values(count + 1, 4);
    const auto before = acc;
    table_.axpy_f32(0.7f, b.data(), acc.data(), count);
    for (size_t i = 0; i < b.size(); i++) EXPECT_NEAR(acc[i], before[i] + 0.7f * b[i], 1e-6);
    EXPECT_EQ(acc.back(), before.back());
  }
}

TEST_P(VectorOps, QuantiseIsTheDefinitionBitForBit) {
  auto values = random_values(32 * 200, 6);
  for (size_t block = 0; block < 200; block++) {  // all magnitudes, from below the normal range to near the largest
    for (size_t i = 0; i < 32; i++)
      values[block * 32 + i] *= std::ldexp(1.0f, static_cast<int>(block) - 140 + (block > 100 ? 40 : 0));
  }
  for (size_t i = 0; i < 32; i++) values[i] = 0.0f;
  for (size_t i = 0; i < 32; i++) values[32 + i] = static_cast<float>(i) - 15.5f;  // ties
  values[70] = kNan;
  values[100] = kInfinity;
  values[140] = -kInfinity;
  values[150] = kNan;
  const auto quantised = [&values](const KernelTable& table) {
    struct {
      std::vector<int8_t> quants = std::vector<int8_t>(6400);
      std::vector<float> scales = std::vector<float>(200);
      std::vector<int32_t> sums = std::vector<int32_t>(200);
    } out;
    table.quantise(values.data(), 2, 3200, out.quants.data(), out.scales.data(), out.sums.data());
    return out;
  };
  const auto found = quantised(table_), wanted = quantised(definition_);
  EXPECT_EQ(found.quants, wanted.quants);
  EXPECT_EQ(found.sums, wanted.sums);
  for (size_t i = 0; i < 200; i++) {
    EXPECT_TRUE(found.scales[i] == wanted.scales[i] || (std::isnan(found.scales[i]) && std::isnan(wanted.scales[i])));
  }
}

TEST_P(VectorOps, QuantisedValuesAreWithinHalfAStep) {
  const auto values = random_values(320, 7);
  std::vector<int8_t> quants(320);
  std::vector<float> scales(10);
  std::vector<int32_t> sums(10);
  table_.quantise(values.data(), 1, 320, quants.data(), scales.data(), sums.data());
  for (size_t block = 0; block < 10; block++) {
    int sum = 0;
    for (size_t i = block * 32; i < block * 32 + 32; i++) {
      EXPECT_NEAR(quants[i] * scales[block], values[i], 0.5001f * scales[block]);
      sum += quants[i];
    }
    EXPECT_EQ(sums[block], sum);
  }
}

TEST_P(VectorOps, RmsNormAgreesWithDoublePrecision) {
  for (const int count : kCounts) {
    if (count == 0) continue;
    const auto x = random_values(count, 8), gain = random_values(count, 9);
    std::vector<float> out(x.size() + 1, 5.0f);
    table_.rms_norm(x.data(), gain.data(), 1e-5f, out.data(), count);
    double squares = 0;
    for (const float value : x) squares += double{value} * double{value};
    const double scale = 1.0 / std::sqrt(squares / count + double{1e-5f});
    for (size_t i = 0; i < x.size(); i++) {
      const double wanted = double{x[i]} * scale * double{gain[i]};
      EXPECT_NEAR(double{out[i]}, wanted, (count / 16 + 12) * kEpsilon * std::fabs(wanted));
    }
    EXPECT_EQ(out.back(), 5.0f);
  }
}

TEST_P(VectorOps, SiluMulAgreesWithDoublePrecision) {
  auto gate = random_values(1000, 10, 10.0);
  for (const float special : {-200.0f, -104.0f, -88.0f, 0.0f, -0.0f, 88.0f, 89.0f, 200.0f, 1e30f})
    gate.push_back(special);
  const auto up = random_values(static_cast<int>(gate.size()), 11);
  for (int count = 1; count <= static_cast<int>(gate.size()); count += 31) {
    std::vector<float> out(static_cast<size_t>(count) + 1, 5.0f);
    table_.silu_mul(gate.data(), up.data(), out.data(), count);
    for (size_t i = 0; i < static_cast<size_t>(count); i++) {
      const double wanted = double{gate[i]} / (1.0 + std::exp(-double{gate[i]})) * double{up[i]};
      ASSERT_NEAR(double{out[i]}, wanted, 8 * kEpsilon * std::fabs(wanted) + 1e-37) << gate[i];
    }
    EXPECT_EQ(out.back(), 5.0f);
  }
}

TEST_P(VectorOps, ExpIsWithinOneUlpOverItsWholeRange) {
  std::vector<float> x;
  for (double value = -104.5; value < 89.5; value += 1.0 / 4096) x.push_back(static_cast<float>(value));
  for (uint32_t bits = 0x20000000; bits < 0x42d00000; bits += 4099) x.push_back(-__builtin_bit_cast(float, bits));
  std::vector<float> out = x;
  table_.exp_sum(out.data(), 0.0f, static_cast<int>(out.size()));
  double worst = 0;
  for (size_t i = 0; i < x.size(); i++) {
    const double wanted = std::exp(double{x[i]});
    if (wanted > double{std::numeric_limits<float>::max()}) {
      ASSERT_GE(out[i], 0x1.fffffcp127f) << x[i];
      continue;
    }
    const double ulp = std::max(std::ldexp(1.0, std::ilogb(wanted) - 23), 0x1p-149);
    worst = std::max(worst, std::fabs(double{out[i]} - wanted) / ulp);
  }
  EXPECT_LE(worst, 1.0);
}

TEST_P(VectorOps, ExpSumReturnsTheSumOfWhatItStores) {
  for (const int count : kCounts) {
    auto x = random_values(count, 12, 5.0);
    x.push_back(7.0f);
    const auto before = x;
    const float sum = table_.exp_sum(x.data(), 3.0f, count);
    double wanted = 0;
    for (int i = 0; i < count; i++) {
      const auto at = static_cast<size_t>(i);
      EXPECT_NEAR(x[at], std::exp(before[at] - 3.0f), 4 * kEpsilon * std::exp(double{before[at]} - 3.0));
      wanted += double{x[at]};
    }
    EXPECT_NEAR(double{sum}, wanted, (count / 8 + 8) * kEpsilon * wanted);
    EXPECT_EQ(x.back(), 7.0f);
  }
}

TEST_P(VectorOps, ExpOfSpecialNumbers) {
  std::vector<float> x = {-kInfinity, kInfinity, kNan, 0.0f, -1e30f, 1e30f, -104.0f};
  x.resize(16, 0.0f);
  table_.exp_sum(x.data(), 0.0f, 16);
  EXPECT_EQ(x[0], 0.0f);
  EXPECT_EQ(x[1], kInfinity);
  EXPECT_TRUE(std::isnan(x[2]));
  EXPECT_EQ(x[3], 1.0f);
  EXPECT_EQ(x[4], 0.0f);
  EXPECT_EQ(x[5], kInfinity);
}

INSTANTIATE_TEST_SUITE_P(AllTables, VectorOps, testing::ValuesIn(kernel_tables().begin(), kernel_tables().end()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace lancet
