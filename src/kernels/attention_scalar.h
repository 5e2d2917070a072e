// Attention over a tile of cached keys (attention.h) in plain loops: the definition. Included by scalar.cpp only.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/attention.h"
#include "kernels/kernels.h"

namespace lancet {
namespace {

template <class T>
T number_at(const std::byte* from, int64_t index) {
  T value;
  std::memcpy(&value, from + index * static_cast<int64_t>(sizeof(T)), sizeof value);
  return value;
}

/// One query's work with one tile.
template <class Kv>
class ScalarTileRun {
 public:
  ScalarTileRun(const AttentionTile& tile, int query) : tile_(tile), query_(query), width_(tile.width) {}

  void run() {
    for (int key = 0; key < tile_.keys; key++) weights_[key] = score(key);
    weigh();
    for (int block = 0; block < scale_blocks<Kv>(width_); block++) add_values(block);
  }

 private:
  using Code = typename Kv::Code;
  using QueryCode = typename Kv::QueryCode;
  using Sum = std::conditional_t<Kv::kScaleBlock == 0, float, int32_t>;

  const std::byte* keys_of(int key) const { return tile_.blocks[key / kBlockLanes]; }
  const std::byte* values_of(int key) const { return keys_of(key) + half_run_bytes<Kv>(width_); }

  /// The scale of a key, or of a value, by where the codes begin.
  float scale(const std::byte* codes, int block, int key) const {
    const int64_t index = block * kBlockLanes + key % kBlockLanes;
    const auto stored = number_at<typename Kv::Scale>(codes + code_bytes<Kv>(width_), index);
    if constexpr (sizeof stored == sizeof(float))
      return stored;
    else
      return f32_from_f16(stored);
  }

  float score(int key) const {
    float total = 0.0f;
    int col = 0;
    for (int block = 0; block < scale_blocks<Kv>(width_); block++) {
      Sum sum = 0;
      for (; col < scale_block_end<Kv>(block, width_); col++) {
        const auto query = number_at<QueryCode>(tile_.codes, query_at<Kv>(tile_.first_query + query_, col, width_));
        sum += static_cast<Sum>(query) *
               static_cast<Sum>(number_at<Code>(keys_of(key), key_at<Kv>(key % kBlockLanes, col)));
      }
      if constexpr (Kv::kScaleBlock == 0)
        return sum;
      else
        total += static_cast<float>(sum) * scale(keys_of(key), block, key);
    }
    return total * tile_.scales[query_];
  }

  /// Scores become exp(score - maximum); maxima, weights and old sums follow.
  void weigh() {
    float& maximum = tile_.maxima[query_];
    float top = maximum, total = 0.0f;
    for (int key = 0; key < tile_.keys; key++) top = weights_[key] > top ? weights_[key] : top;
    const float shrink = std::exp(maximum - top);
    maximum = top;
    for (int key = 0; key < tile_.keys; key++) {
      weights_[key] = std::exp(weights_[key] - maximum);
      total += weights_[key];
    }
    tile_.weights[query_] = tile_.weights[query_] * shrink + total;
    for (int col = 0; col < width_; col++) sums()[col] *= shrink;
  }

  /// Adds the columns of one block of scales.
  void add_values(int block) {
    Sum rounded[kTileKeys] = {};
    float factor = 1.0f;
    if constexpr (Kv::kScaleBlock == 0)
      std::copy_n(weights_, tile_.keys, rounded);
    else
      factor = round_weights(block, rounded);
    const int begin = Kv::kScaleBlock * block;
    for (int col = begin; col < scale_block_end<Kv>(block, width_); col++) {
      for (int first = 0; first < tile_.keys; first += kBlockLanes) {
        Sum sum = 0;
        for (int key = first; key < std::min(first + kBlockLanes, tile_.keys); key++) {
          sum += rounded[key] * static_cast<Sum>(number_at<Code>(values_of(key), value_at<Kv>(key % kBlockLanes, col)));
        }
        sums()[col] += static_cast<float>(sum) * factor;
      }
    }
  }

  /// Weights times the values' scales, as integers times the factor that is returned.
  float round_weights(int block, int32_t* rounded) const {
    float products[kTileKeys], top = 0.0f;
    for (int key = 0; key < tile_.keys; key++) {
      products[key] = weights_[key] * scale(values_of(key), block, key);
      top = products[key] > top ? products[key] : top;
    }
    const float inverse = top > 1e-30f ? static_cast<float>(kWeightMost) / top : 0.0f;
    for (int key = 0; key < tile_.keys; key++) {
      const float number = products[key] * inverse;  // at most kWeightMost up to one rounding, or NaN
      rounded[key] = number <= static_cast<float>(kWeightMost) + 0.4f ? static_cast<int32_t>(std::lrint(number)) : 0;
    }
    return top / static_cast<float>(kWeightMost);
  }

  float* sums() const { return tile_.sums + int64_t{query_} * width_; }

  const AttentionTile& tile_;
  const int query_, width_;
  float weights_[kTileKeys];
};

template <class Kv>
void attend(const AttentionTile& tile) {
  for (int query = 0; query < tile.queries; query++) ScalarTileRun<Kv>(tile, query).run();
}

float quantise_wide(const float* x, int count, int most, int16_t* codes) {
  std::fill_n(codes, padded_width(count), int16_t{0});
  float top = 0.0f;
  for (int i = 0; i < count; i++) {
    if (!std::isfinite(x[i])) return NAN;
    top = std::max(top, std::fabs(x[i]));
  }
  const float inverse = top > 1e-30f ? static_cast<float>(most) / top : 0.0f;
  for (int i = 0; i < count; i++) codes[i] = static_cast<int16_t>(std::lrint(x[i] * inverse));
  return top / static_cast<float>(most);
}

}  // namespace
}  // namespace lancet
