#include "engine/cost_model.h"

#include <algorithm>
#include <cmath>

namespace lancet {
namespace {

constexpr double kWeight = 0.2;          // of the newest price
constexpr double kForget = 0.95;         // of the speed's sums, each step
constexpr double kLargestJump = 4;       // of a price: a page fault or a sleeping laptop is no news about the model
constexpr double kSmallestShare = 0.01;  // of a step's time per row that a row costs at least
constexpr int kMixedSteps = 16;          // between two that show what a step takes without prompt rows
constexpr int kUnmeasuredRows = 16;      // of a prompt, while it is unknown what they cost

}  // namespace

/// The median of the latest, so that one that was interrupted counts for nothing. Some must have been observed.
double CostModel::alone_s() const {
  if (alone_count_ < 3) return *std::min_element(alone_.begin(), alone_.begin() + alone_count_);
  return std::max(std::min(alone_[0], alone_[1]), std::min(std::max(alone_[0], alone_[1]), alone_[2]));
}

int CostModel::prompt_rows(int decoding, double stretch, int most) const {
  if (decoding == 0) return most;
  if (alone_count_ == 0 || mixed_ >= kMixedSteps) return 0;
  if (row_s_ == 0) return std::min(kUnmeasuredRows, most);
  return static_cast<int>(std::clamp(std::floor((stretch - 1) * alone_s() / row_s_), 1.0, static_cast<double>(most)));
}

void CostModel::observe(int decoding, int prompt_rows, double seconds) {
  if (!(seconds > 0) || decoding + prompt_rows == 0) return;
  if (prompt_rows == 0) {
    alone_[static_cast<size_t>(alone_count_++ % 3)] = seconds;
    if (alone_count_ > 1'000'000) alone_count_ -= 900'000;  // a multiple of three
    mixed_ = 0;
    return;
  }
  const double each = seconds / prompt_rows;
  double price = each;  // an upper bound, where it is unknown what the step would have taken anyway
  if (decoding > 0 && alone_count_ > 0) {
    mixed_++;
    price = std::max((seconds - alone_s()) / prompt_rows, kSmallestShare * each);
    if (row_s_ > 0) price = std::clamp(price, row_s_ / kLargestJump, row_s_ * kLargestJump);
    row_s_ = row_s_ > 0 ? row_s_ + kWeight * (price - row_s_) : price;
  } else if (row_s_ == 0) {
    row_s_ = price;
  }
  prompt_rows_ = kForget * prompt_rows_ + prompt_rows;
  prompt_seconds_ = kForget * prompt_seconds_ + price * prompt_rows;
}

}  // namespace lancet
