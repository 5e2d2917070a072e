#include "engine/cost_model.h"

#include <algorithm>
#include <cmath>

namespace lancet {
namespace {

constexpr double kWeight = 0.05;  // of the newest step
// A step this many times longer or shorter than expected met a page fault or a sleeping laptop, which is no news about
// the model; but as many in a row are.
constexpr double kLargestJump = 4;
constexpr int kSurprises = 3;
constexpr int kUnmeasuredRows = 16;      // of a prompt, while it is unknown what they cost
constexpr double kSmallestVariance = 4;  // rows squared: below, noise decides the slope
constexpr double kSmallestShare = 0.01;  // of a step's mean time per row that a row costs at least

}  // namespace

/// The price of a row, such that the share that every step pays is not negative.
double CostModel::row_s() const {
  const double most = mean_rows_ > 0 ? mean_s_ / mean_rows_ : 0;
  return std::clamp(row_s_, kSmallestShare * most, most);
}

double CostModel::expected_s(int rows) const {
  return observations_ == 0 ? 0 : mean_s_ + row_s() * (rows - mean_rows_);
}

int CostModel::prompt_rows(int decoding, double stretch, int most) const {
  if (decoding == 0) return most;
  if (row_s_ == 0) return std::min(kUnmeasuredRows, most);
  const double rows = std::floor((stretch - 1) * expected_s(decoding) / row_s());
  return static_cast<int>(std::clamp(rows, 1.0, static_cast<double>(most)));
}

void CostModel::observe(int decoding, int prompt_rows, double seconds) {
  if (!(seconds > 0) || decoding + prompt_rows == 0) return;
  if (row_s_ > 0) {
    const double expected = expected_s(decoding + prompt_rows);
    const bool surprising = seconds > expected * kLargestJump || seconds < expected / kLargestJump;
    surprises_ = surprising ? surprises_ + 1 : 0;
    if (surprising && surprises_ < kSurprises) return;
  }
  const double rows = decoding + prompt_rows;
  if (prompt_rows > 0) {
    const double alone = row_s_ > 0 && decoding > 0 ? expected_s(decoding) : 0;
    prompt_rows_ = (1 - kWeight) * prompt_rows_ + prompt_rows;
    prompt_seconds_ = (1 - kWeight) * prompt_seconds_ + std::max(seconds - alone, row_s() * prompt_rows);
  }
  observations_++;
  const double weight = std::max(kWeight, 1.0 / observations_);
  const double more_rows = rows - mean_rows_, more_s = seconds - mean_s_;
  mean_rows_ += weight * more_rows;
  mean_s_ += weight * more_s;
  variance_rows_ = (1 - weight) * (variance_rows_ + weight * more_rows * more_rows);
  covariance_ = (1 - weight) * (covariance_ + weight * more_rows * more_s);
  if (variance_rows_ >= kSmallestVariance)
    row_s_ = std::max(covariance_ / variance_rows_, kSmallestShare * mean_s_ / mean_rows_);
}

}  // namespace lancet
