#include "cli/doctor_numbers.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "checkpoint/stored_rows.h"

namespace lancet {
namespace {

constexpr double kLargeWeight = 8;     // rms; trained and untrained matrices have 0.005 to 0.5
constexpr double kSmallWeight = 1e-5;  // rms
constexpr double kFullCode = 64;       // largest |code| of an FP8 tensor that uses its range (448), with room
constexpr double kInnerRatio = 4, kOuterRatio = 30;  // against the neighbours; the outermost layers differ by nature
constexpr int kOuterLayers = 2, kNeighbours = 3;
constexpr double kTransposed = 0.3;  // similarity; independent profiles of 576 numbers reach 0.12
constexpr double kKeySwap = 0.2;     // of similarities; in SmolLM2 k is ahead by 0.1 to 1.1 in 27 of 30 layers

constexpr const char* kLayerParts[] = {"attention_norm", "attention.q", "attention.k", "attention.v", "attention.o",
                                       "ffn_norm",       "ffn.gate",    "ffn.up",      "ffn.down"};

bool is_layer_matrix(const StoredTensor& tensor) {
  const auto within = [&](const char* part) { return tensor.name.find(part) != std::string::npos; };
  return tensor.rows > 1 && (within(".attention.") || within(".ffn."));
}

const TensorStats* find(std::span<const TensorStats> all, const std::string& name) {
  const auto at = std::lower_bound(all.begin(), all.end(), name, [](const TensorStats& stats, const std::string& n) {
    return stats.tensor->name < n;
  });
  return at != all.end() && at->tensor->name == name ? &*at : nullptr;
}

/// Every row was read.
bool is_whole(const TensorStats& stats) { return static_cast<int64_t>(stats.row_power.size()) == stats.tensor->rows; }

const TensorStats* find(std::span<const TensorStats> all, int layer, const char* part) {
  return find(all, fmt::format("text.{}.{}", layer, part));
}

/// False if time ran out before the tensor's end.
bool measure(TensorStats& stats, int64_t row_step, const std::function<bool()>& out_of_time) {
  const StoredTensor& tensor = *stats.tensor;
  std::vector<float> row(static_cast<size_t>(tensor.cols));
  double sum = 0;
  for (size_t seen = 0; seen < stats.row_power.size(); seen++) {
    if (out_of_time()) return false;
    const int64_t number = static_cast<int64_t>(seen) * row_step;
    decode_row(tensor, number, row);
    float power = 0, largest = 0;
    for (size_t i = 0; i < row.size(); i++) {
      const float square = row[i] * row[i];
      power += square;
      largest = std::max(largest, std::abs(row[i]));
      stats.col_power[i] += square;
    }
    if (!std::isfinite(power)) {  // rare: look again, number by number
      power = 0;
      for (size_t i = 0; i < row.size(); i++) {
        const float square = row[i] * row[i];
        if (std::isfinite(square)) {
          power += square;
          continue;
        }
        stats.col_power[i] = 0;
        stats.not_finite++;
        if (stats.first_not_finite < 0) stats.first_not_finite = number;
      }
    } else {
      stats.largest = std::max<double>(stats.largest, largest);
    }
    stats.zero_rows += power == 0;
    stats.row_power[seen] = power / static_cast<double>(row.size());
    sum += stats.row_power[seen];
  }
  const auto rows = static_cast<double>(stats.row_power.size());
  for (double& power : stats.col_power) power /= rows;
  stats.rms = std::sqrt(sum / rows);
  return true;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// How much the sizes of the rows differ: 1 for independent normal numbers, of which a row of n has a size that
/// spreads by 1 / sqrt(2 n).
double dispersion(const TensorStats& stats) {
  double sum = 0, squares = 0;
  for (const double power : stats.row_power) sum += std::sqrt(power), squares += power;
  const auto count = static_cast<double>(stats.row_power.size());
  const double mean = sum / count;
  if (mean == 0) return 0;
  return std::sqrt(std::max(0.0, squares / count - mean * mean)) / mean *
         std::sqrt(2.0 * static_cast<double>(stats.tensor->cols));
}

/// Adds a tensor to the suspicion of that cause; the first one's detail is kept.
void suspect(std::vector<Suspicion>& list, const char* cause, const TensorStats& stats, std::string detail) {
  for (Suspicion& suspicion : list) {
    if (suspicion.cause != cause) continue;
    suspicion.tensors.push_back(stats.tensor->name);
    return;
  }
  list.push_back({cause, {stats.tensor->name}, std::move(detail)});
}

/// A scale that is all ones or the inverse of what it should be; what it is then called, and why.
std::optional<std::pair<const char*, std::string>> wrong_scale(const TensorStats& stats) {
  const std::vector<float>& values = stats.tensor->scale.values;
  if (values.empty()) return std::nullopt;
  const double scale = values.front(), turned = stats.rms / scale / scale;  // with the scale's inverse
  const auto usual = [](double rms) { return rms > kSmallWeight && rms < kLargeWeight; };
  if (stats.largest >= kFullCode && std::all_of(values.begin(), values.end(), [](float value) { return value == 1; }))
    return {{"scale-one", fmt::format("its scale is 1, and its largest number {:.3g}", stats.largest)}};
  if (usual(stats.rms) || !usual(turned)) return std::nullopt;
  return {{"scale-inverted", fmt::format("with the scale {:.3g} its numbers are around {:.3g}, with the inverse {:.3g}",
                                         scale, stats.rms, turned)}};
}

/// Every layer's profile of both norms' gains over the channels.
std::vector<std::vector<double>> gain_profiles(std::span<const TensorStats> all, int layers) {
  std::vector<std::vector<double>> profiles;
  for (int layer = 0; layer < layers; layer++) {
    std::vector<double> profile;
    for (const char* part : {"attention_norm", "ffn_norm"}) {
      const TensorStats* stats = find(all, layer, part);
      if (!stats) return {};
      std::vector<double> logs;
      double mean = 0;
      for (const double power : stats->col_power) logs.push_back(std::log(power + 1e-18)), mean += logs.back();
      for (const double log : logs) profile.push_back(std::exp(log - mean / static_cast<double>(logs.size())));
    }
    profiles.push_back(std::move(profile));
  }
  return profiles;
}

/// Mean power by dimension of a head.
std::vector<double> head_profile(const TensorStats& stats, int head_width) {
  std::vector<double> profile(static_cast<size_t>(head_width));
  for (size_t row = 0; row < stats.row_power.size(); row++) profile[row % profile.size()] += stats.row_power[row];
  return profile;
}

}  // namespace

std::vector<TensorStats> measure_tensors(std::span<const StoredTensor> tensors, int64_t row_step, ThreadPool& pool,
                                         const std::function<bool()>& out_of_time) {
  std::vector<TensorStats> all;
  for (const StoredTensor& tensor : tensors) {
    TensorStats& stats = all.emplace_back();
    stats.tensor = &tensor;
    stats.row_power.resize(static_cast<size_t>((tensor.rows + row_step - 1) / row_step));
    stats.col_power.resize(static_cast<size_t>(tensor.cols));
  }
  pool.run(static_cast<int64_t>(all.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
      if (TensorStats& stats = all[static_cast<size_t>(i)]; !measure(stats, row_step, out_of_time))
        stats.tensor = nullptr;
  });
  std::erase_if(all, [](const TensorStats& stats) { return !stats.tensor; });
  return all;
}

std::vector<Suspicion> find_damage(std::span<const TensorStats> all) {
  std::vector<Suspicion> found;
  for (const TensorStats& stats : all) {
    if (stats.not_finite > 0) {
      suspect(found, "not-finite", stats,
              fmt::format("{} of its numbers are NaN or infinite, from row {} on", stats.not_finite,
                          stats.first_not_finite));
    } else if (stats.rms == 0) {
      suspect(found, "all-zero", stats, "all of its numbers are 0");
    } else if (is_layer_matrix(*stats.tensor) && stats.zero_rows * 4 > static_cast<int64_t>(stats.row_power.size())) {
      suspect(found, "zero-rows", stats,
              fmt::format("{} of its {} rows are all 0", stats.zero_rows, stats.row_power.size()));
    }
  }
  return found;
}

std::vector<Suspicion> find_wrong_scales(std::span<const TensorStats> all) {
  std::vector<Suspicion> found;
  for (const TensorStats& stats : all) {
    if (!is_layer_matrix(*stats.tensor) || stats.not_finite > 0 || stats.rms == 0) continue;
    if (const auto wrong = wrong_scale(stats)) {
      suspect(found, wrong->first, stats, wrong->second);
    } else if (stats.rms > kLargeWeight) {
      suspect(found, "scale-lost", stats,
              fmt::format("its numbers are around {:.3g}, usual is 0.005 to 0.5", stats.rms));
    }
  }
  return found;
}

std::vector<Suspicion> find_outliers(std::span<const TensorStats> all, int layers) {
  std::vector<Suspicion> found;
  for (const char* part : kLayerParts) {
    for (int layer = 0; layer < layers; layer++) {
      std::vector<double> around;
      for (int other = layer - kNeighbours; other <= layer + kNeighbours; other++) {
        const TensorStats* stats = other == layer ? nullptr : find(all, other, part);
        if (stats && stats->rms > 0) around.push_back(stats->rms);
      }
      const TensorStats* stats = find(all, layer, part);
      if (!stats || stats->rms == 0 || around.size() < 2) continue;
      const double usual = median(around), ratio = std::max(stats->rms / usual, usual / stats->rms);
      const bool outer = layer < kOuterLayers || layer >= layers - kOuterLayers;
      if (ratio > (outer ? kOuterRatio : kInnerRatio))
        suspect(found, "size-outlier", *stats,
                fmt::format("its numbers are around {:.3g}, those of the layers beside it around {:.3g}", stats->rms,
                            usual));
    }
  }
  return found;
}

double row_dispersion(std::span<const TensorStats> all) {
  std::vector<double> values;
  for (const TensorStats& stats : all) {
    if (!is_layer_matrix(*stats.tensor) || stats.row_power.size() < 16 || stats.rms == 0) continue;
    if (stats.tensor->name.starts_with("text.")) values.push_back(dispersion(stats));
  }
  return median(values);
}

double profile_similarity(std::span<const double> a, std::span<const double> b) {
  const size_t count = std::min(a.size(), b.size());
  if (count == 0) return 0;
  const auto log_of = [](double x) { return std::log(x + 1e-18); };
  double mean_a = 0, mean_b = 0;
  for (size_t i = 0; i < count; i++) mean_a += log_of(a[i]), mean_b += log_of(b[i]);
  mean_a /= static_cast<double>(count), mean_b /= static_cast<double>(count);
  double product = 0, square_a = 0, square_b = 0;
  for (size_t i = 0; i < count; i++) {
    const double x = log_of(a[i]) - mean_a, y = log_of(b[i]) - mean_b;
    product += x * y, square_a += x * x, square_b += y * y;
  }
  return square_a < 1e-12 || square_b < 1e-12 ? 0 : product / std::sqrt(square_a * square_b);
}

LayerSwap best_layer_swap(std::span<const TensorStats> all, int layers) {
  const auto profiles = gain_profiles(all, layers);
  const auto count = static_cast<int>(profiles.size());
  if (count < 4) return {};
  std::vector<std::vector<double>> alike(profiles.size(), std::vector<double>(profiles.size()));
  for (size_t i = 0; i < profiles.size(); i++)
    for (size_t j = 0; j < profiles.size(); j++) alike[i][j] = profile_similarity(profiles[i], profiles[j]);
  std::vector<int> order(profiles.size());
  for (int i = 0; i < count; i++) order[static_cast<size_t>(i)] = i;
  const auto chain = [&] {
    double sum = 0;
    for (size_t i = 0; i + 1 < order.size(); i++)
      sum += alike[static_cast<size_t>(order[i])][static_cast<size_t>(order[i + 1])];
    return sum;
  };
  const double now = chain();
  LayerSwap best;
  for (size_t i = 0; i < order.size(); i++) {
    for (size_t j = i + 1; j < order.size(); j++) {
      std::swap(order[i], order[j]);
      if (const double gain = chain() - now; gain > best.gain) best = {static_cast<int>(i), static_cast<int>(j), gain};
      std::swap(order[i], order[j]);
    }
  }
  return best;
}

std::optional<Suspicion> find_transposed(std::span<const TensorStats> all, int layers) {
  std::vector<Suspicion> found;
  for (int layer = 0; layer < layers; layer++) {
    const TensorStats *q = find(all, layer, "attention.q"), *k = find(all, layer, "attention.k"),
                      *o = find(all, layer, "attention.o"), *down = find(all, layer, "ffn.down");
    if (!q || !k || !o || !down || !is_whole(*q)) continue;
    // q and k read the same channels; o and down write the same channels.
    const auto judge = [&](const TensorStats& square, std::span<const double> right, std::span<const double> other,
                           std::span<const double> channels) {
      if (square.tensor->rows != square.tensor->cols || right.size() != other.size()) return;
      const double as_it_is = std::abs(profile_similarity(right, channels));
      const double turned = std::abs(profile_similarity(other, channels));
      if (turned > kTransposed && turned > 2 * as_it_is)
        suspect(found, "transposed", square,
                fmt::format("its rows look like its columns should: {:.2f} alike against {:.2f}", turned, as_it_is));
    };
    judge(*q, q->col_power, q->row_power, k->col_power);
    judge(*o, o->row_power, o->col_power, down->row_power);
  }
  if (found.empty()) return std::nullopt;
  return found.front();
}

std::optional<Suspicion> find_swapped_keys(std::span<const TensorStats> all, const TextConfig& config) {
  std::vector<Suspicion> found;
  for (int layer = 0; layer < config.layers; layer++) {
    const TensorStats *q = find(all, layer, "attention.q"), *k = find(all, layer, "attention.k"),
                      *v = find(all, layer, "attention.v");
    if (!q || !k || !v || !is_whole(*q)) continue;
    const auto query = head_profile(*q, config.head_width);
    const double key = profile_similarity(query, head_profile(*k, config.head_width));
    const double value = profile_similarity(query, head_profile(*v, config.head_width));
    if (value - key > kKeySwap && dispersion(*v) > dispersion(*k))
      suspect(found, "keys-and-values-swapped", *k,
              fmt::format("q is sized over a head's dimensions like v ({:.2f}), not like k ({:.2f})", value, key));
  }
  if (found.empty()) return std::nullopt;
  return found.front();
}

}  // namespace lancet
