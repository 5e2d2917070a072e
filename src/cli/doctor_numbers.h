// What the numbers in a model's tensors say about it. Training leaves traces that random or misplaced numbers do not
// have: rows of different size, gains that change slowly from layer to layer, tensors of one layer that agree about the
// channels of the residual stream. Pure functions over sizes; docs/doctor.md has the thresholds and what they were
// measured on.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/thread_pool.h"
#include "checkpoint/checkpoint.h"

namespace lancet {

struct TensorStats {
  const StoredTensor* tensor = nullptr;
  int64_t not_finite = 0, first_not_finite = -1;  // numbers, and the row of the first one
  int64_t zero_rows = 0;
  double rms = 0, largest = 0;               // of the finite numbers
  std::vector<double> row_power, col_power;  // mean squares, of the rows seen and of all columns
};

/// Decoded with their scales; every `row_step`-th row is read. `out_of_time` is asked before each row, by any thread of
/// the pool: once it says yes, the tensors that are not measured to their end are left out of the result.
std::vector<TensorStats> measure_tensors(
    std::span<const StoredTensor> tensors, int64_t row_step, ThreadPool&,
    const std::function<bool()>& out_of_time = [] { return false; });

/// Tensors with one and the same fault.
struct Suspicion {
  std::string cause;                 // as in Finding
  std::vector<std::string> tensors;  // canonical names
  std::string detail;                // of the first
};

/// Numbers that are not finite, tensors without any number but 0.
std::vector<Suspicion> find_damage(std::span<const TensorStats>);
/// FP8 scales that are inverted or all 1, and weights so large that only a lost scale explains it.
std::vector<Suspicion> find_wrong_scales(std::span<const TensorStats>);
/// Tensors several times as large or small as the same tensors of the layers around them.
std::vector<Suspicion> find_outliers(std::span<const TensorStats>, int layers);

/// How much the rows' sizes differ, as a multiple of what independent random numbers would show: about 1 for an
/// untrained model, well above for a trained one.
double row_dispersion(std::span<const TensorStats>);
inline constexpr double kTrainedDispersion = 2;

// The following mean something for trained models only.

/// Two layers whose exchange would make the norms' gains change much more evenly from layer to layer.
struct LayerSwap {
  int first = 0, second = 0;
  double gain = 0;  // of the sum of neighbours' similarities
};
LayerSwap best_layer_swap(std::span<const TensorStats>, int layers);
inline constexpr double kLayerSwapGain = 1;

/// Square matrices whose rows look like what their columns should.
std::optional<Suspicion> find_transposed(std::span<const TensorStats>, int layers);
/// Layers in which v is what k should be: sized like q over the dimensions of a head, and with rows that differ more.
std::optional<Suspicion> find_swapped_keys(std::span<const TensorStats>, const TextConfig&);

/// Cosine of the logarithms of two profiles around their means; 0 if one of them does not vary.
double profile_similarity(std::span<const double> a, std::span<const double> b);

}  // namespace lancet
