// A tile of attention: every table against double arithmetic on the stored numbers, and the same bits for a query
// whatever shares its call.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "kernels/kernels.h"

namespace lancet::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Four runs with random codes, and queries. Scores are a few units apart, as real ones are.
template <class Kv>
struct World {
  using Code = typename Kv::Code;
  using Scale = typename Kv::Scale;
  using QueryCode = typename Kv::QueryCode;

  World(int width, int queries) : width(width), queries(queries) {
    Random random(static_cast<uint64_t>(width));
    const auto number = [&random] { return static_cast<float>(random.normal()); };
    runs.resize(static_cast<size_t>(kTileBlocks * 2 * half_run_bytes<Kv>(width)));
    for (int key = 0; key < kTileKeys; key++) {
      for (int half = 0; half < 2; half++) {
        for (int col = 0; col < width; col++) code(half, key, col) = static_cast<Code>(number() * kSpread);
        if constexpr (Kv::kScaleBlock == 0) continue;
        for (int block = 0; block < scale_blocks<Kv>(width); block++)
          set_scale(key, half, block, (1.0f + std::fabs(number())) / kSpread);
      }
    }
    codes.resize(static_cast<size_t>((queries + kQueryLanes) * width));
    for (QueryCode& query : codes) query = static_cast<QueryCode>(number() * (Kv::kScaleBlock == 0 ? 0.2f : 1000.0f));
    for (int i = 0; i < queries; i++)
      scales.push_back(1.0f / (1000.0f + static_cast<float>(i)) / std::sqrt(static_cast<float>(width)));
  }

  std::byte* run(int key) { return runs.data() + key / kBlockLanes * 2 * half_run_bytes<Kv>(width); }
  Code& code(int half, int key, int col) {
    const int token = key % kBlockLanes;
    const int64_t at = half == 0 ? key_at<Kv>(token, col) : value_at<Kv>(token, col);
    return reinterpret_cast<Code*>(run(key) + half * half_run_bytes<Kv>(width))[at];
  }
  Scale& stored_scale(int half, int key, int block) {
    std::byte* codes_at = run(key) + half * half_run_bytes<Kv>(width);
    return reinterpret_cast<Scale*>(codes_at + code_bytes<Kv>(width))[block * kBlockLanes + key % kBlockLanes];
  }
  void set_scale(int key, int half, int block, float value) {
    if constexpr (sizeof(Scale) == sizeof(float))
      stored_scale(half, key, block) = value;
    else
      stored_scale(half, key, block) = f16_from_f32(value);
  }
  double number(int half, int key, int col) {
    if constexpr (Kv::kScaleBlock == 0) {
      return code(half, key, col);
    } else {
      const Scale scale = stored_scale(half, key, col / Kv::kScaleBlock);
      double factor = 0;
      if constexpr (sizeof(Scale) == sizeof(float))
        factor = scale;
      else
        factor = f32_from_f16(scale);
      return factor * code(half, key, col);
    }
  }
  double query(int query, int col) {
    const double value = codes[static_cast<size_t>(query_at<Kv>(query, col, width))];
    return Kv::kScaleBlock == 0 ? value : value * scales[static_cast<size_t>(query)];
  }

  struct State {
    std::vector<float> sums, weights, maxima;
    bool operator==(const State& other) const {
      const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
        return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
      };
      return same(sums, other.sums) && same(weights, other.weights) && same(maxima, other.maxima);
    }
  };
  State fresh() const {
    const auto count = static_cast<size_t>(queries);
    return {std::vector<float>(count * static_cast<size_t>(width)), std::vector<float>(count),
            std::vector<float>(count, -std::numeric_limits<float>::infinity())};
  }
  /// Queries [first, first + count) take the tile's first `keys` keys.
  void attend(const KernelTable& table, State& state, int keys, int first, int count) {
    AttentionTile tile{.keys = keys, .width = width, .first_query = first, .queries = count};
    for (int i = 0; i < kTileBlocks; i++) tile.blocks[i] = tile.ahead[i] = run(i * kBlockLanes);
    tile.codes = reinterpret_cast<const std::byte*>(codes.data());
    tile.scales = scales.data() + first;
    tile.sums = state.sums.data() + first * width;
    tile.weights = state.weights.data() + first;
    tile.maxima = state.maxima.data() + first;
    table.attend[kFormat](tile);
  }

  static constexpr int kFormat = std::is_same_v<Kv, KvF32> ? 0 : std::is_same_v<Kv, KvF16> ? 1 : 2;
  static constexpr float kSpread = Kv::kScaleBlock == 0 ? 1.0f : sizeof(Code) == 1 ? 30.0f : 1000.0f;
  int width, queries;
  std::vector<std::byte> runs;
  std::vector<QueryCode> codes;
  std::vector<float> scales;
};

template <class Kv>
class AttentionTiles : public testing::Test {};
using Formats = testing::Types<KvF32, KvF16, KvQ8>;
TYPED_TEST_SUITE(AttentionTiles, Formats);

TYPED_TEST(AttentionTiles, AreTheSoftmaxOfTheStoredNumbersInEveryTable) {
  for (const int width : {16, 48, 64, 128, 144, 272}) {
    World<TypeParam> world(width, 5);
    for (const int keys : {1, 2, 15, 16, 17, 40, 63, 64}) {
      for (const KernelTable* table : kernel_tables()) {
        auto state = world.fresh();
        world.attend(*table, state, keys, 0, 5);
        world.attend(*table, state, std::min(keys, 20), 0, 5);  // some keys twice: sums go on
        for (int query = 0; query < 5; query++) {
          double weights = 0;
          std::vector<double> values(static_cast<size_t>(width));
          for (int key = 0; key < keys; key++) {
            double score = 0;
            for (int col = 0; col < width; col++) score += world.query(query, col) * world.number(0, key, col);
            const double weight = std::exp(score) * (key < std::min(keys, 20) ? 2 : 1);
            weights += weight;
            for (int col = 0; col < width; col++)
              values[static_cast<size_t>(col)] += weight * world.number(1, key, col);
          }
          const auto q = static_cast<size_t>(query);
          const double scale = std::exp(double{state.maxima[q]});
          ASSERT_NEAR(state.weights[q] * scale / weights, 1.0, 3e-5) << table->name << " " << width << " " << keys;
          for (int col = 0; col < width; col++) {
            const double found = state.sums[q * static_cast<size_t>(width) + static_cast<size_t>(col)];
            // A weight is rounded to 1/65534 of the greatest; values are a few units.
            ASSERT_NEAR(found / state.weights[q], values[static_cast<size_t>(col)] / weights, 1.5e-3)
                << table->name << ", width " << width << ", keys " << keys << ", query " << query << ", column " << col;
          }
        }
      }
    }
  }
}

TYPED_TEST(AttentionTiles, GiveAQueryTheSameBitsInAnyCompany) {
  for (const KernelTable* table : kernel_tables()) {
    for (const int width : {16, 80, 128}) {
      World<TypeParam> world(width, 13);
      auto whole = world.fresh();
      for (const int keys : {64, 64, 37}) world.attend(*table, whole, keys, 0, 13);
      for (const int step : {1, 2, 3, 5}) {
        auto pieces = world.fresh();
        for (const int keys : {64, 64, 37}) {
          for (int first = 0; first < 13; first += step) {
            world.attend(*table, pieces, keys, first, std::min(step, 13 - first));
          }
        }
        EXPECT_TRUE(pieces == whole) << table->name << ", width " << width << ", step " << step;
      }
    }
  }
}

TYPED_TEST(AttentionTiles, IgnoreKeysOutOfSight) {
  for (const KernelTable* table : kernel_tables()) {
    World<TypeParam> world(64, 4);
    for (const int keys : {1, 7, 16, 33, 63}) {
      auto before = world.fresh(), after = world.fresh();
      world.attend(*table, before, keys, 0, 4);
      World<TypeParam> poisoned = world;
      for (int key = keys; key < kTileKeys; key++) {
        for (int half = 0; half < 2; half++) {
          for (int col = 0; col < 64; col++) {
            if constexpr (TypeParam::kScaleBlock == 0)
              poisoned.code(half, key, col) = kNan;
            else
              poisoned.set_scale(key, half, col / TypeParam::kScaleBlock, kNan);
          }
        }
      }
      poisoned.attend(*table, after, keys, 0, 4);
      EXPECT_TRUE(before == after) << table->name << ", keys " << keys;
    }
  }
}

TYPED_TEST(AttentionTiles, TurnANanScoreIntoANanWeight) {
  if constexpr (TypeParam::kScaleBlock != 0) {
    for (const KernelTable* table : kernel_tables()) {
      World<TypeParam> world(64, 4);
      world.set_scale(3, 0, 0, kNan);
      auto state = world.fresh();
      world.attend(*table, state, 64, 0, 4);
      for (const float weight : state.weights) EXPECT_TRUE(std::isnan(weight)) << table->name;
    }
  }
}

TEST(QuantiseWide, RoundsToTheGreatestCodeInEveryTable) {
  Random random(3);
  for (const int count : {1, 7, 16, 20, 128, 200}) {
    std::vector<float> x(static_cast<size_t>(count));
    for (float& value : x) value = static_cast<float>(random.normal());
    for (const KernelTable* table : kernel_tables()) {
      std::vector<int16_t> codes(static_cast<size_t>(padded_width(count)), 99);
      const float scale = table->quantise_wide(x.data(), count, 4095, codes.data());
      for (int i = 0; i < padded_width(count); i++) {
        const auto at = static_cast<size_t>(i);
        if (i >= count)
          EXPECT_EQ(codes[at], 0) << table->name;
        else
          EXPECT_NEAR(codes[at] * scale, x[at], scale * 0.501f) << table->name;
        EXPECT_LE(std::abs(codes[at]), 4095) << table->name;
      }
    }
  }
}

TEST(QuantiseWide, SaysNanForWhatIsNotFinite) {
  for (const KernelTable* table : kernel_tables()) {
    for (const float odd : {kNan, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
      for (const size_t at : {0u, 5u, 16u, 18u}) {
        std::vector<float> x(19, 1.0f);
        x[at] = odd;
        std::vector<int16_t> codes(32, 99);
        EXPECT_TRUE(std::isnan(table->quantise_wide(x.data(), 19, 127, codes.data()))) << table->name;
        EXPECT_EQ(codes, std::vector<int16_t>(32)) << table->name;
      }
    }
    std::vector<int16_t> codes(16, 99);
    const std::vector<float> zero(16);
    EXPECT_EQ(table->quantise_wide(zero.data(), 16, 127, codes.data()), 0.0f);
    EXPECT_EQ(codes, std::vector<int16_t>(16));
  }
}

}  // namespace
}  // namespace lancet::test
