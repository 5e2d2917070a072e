#include "engine/candidates.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

namespace lancet {
namespace {

constexpr size_t kBlock = 64, kLanes = 16;  // logits; lanes are independent so that g++ -O2 makes vector code of them
constexpr float kNone = -std::numeric_limits<float>::infinity();

using Lanes = std::array<double, kLanes>;

double sum_of(const Lanes& lanes) {
  double sum = 0;
  for (const double part : lanes) sum += part;
  return sum;
}

/// The weights of a whole block's logits of at least `floor`, added up. One loop for each step: g++ 12 makes no vector
/// code of a loop that both chooses and computes.
double whole_block_total(const float* logits, double floor, const Tempering& tempering) {
  Lanes sums{};
  for (size_t i = 0; i < kBlock; i += kLanes) {
    Lanes exponents, bounded, kept;
    for (size_t lane = 0; lane < kLanes; lane++) exponents[lane] = tempering.exponent(logits[i + lane]);
    for (size_t lane = 0; lane < kLanes; lane++)
      bounded[lane] = exponents[lane] < Tempering::kLowest ? Tempering::kLowest : exponents[lane];
    for (size_t lane = 0; lane < kLanes; lane++)
      kept[lane] = static_cast<double>(logits[i + lane]) >= floor ? 1.0 : 0.0;
    for (size_t lane = 0; lane < kLanes; lane++) sums[lane] += exp_of_negative(bounded[lane]) * kept[lane];
  }
  return sum_of(sums);
}

}  // namespace

Peaks::Peaks(std::span<const float> logits) : logits_(logits), blocks_((logits.size() + kBlock - 1) / kBlock) {
  std::array<float, kLanes> zeros{};  // 0 times a finite number is 0, times anything else NaN
  size_t best = 0;
  for (size_t b = 0; b < blocks_.size(); b++) {
    std::array<float, kLanes> highest;
    highest.fill(kNone);
    const std::span<const float> part = block(b);
    if (part.size() == kBlock) {
      for (size_t i = 0; i < kBlock; i += kLanes)
        for (size_t lane = 0; lane < kLanes; lane++) {
          const float x = part[i + lane];
          highest[lane] = x > highest[lane] ? x : highest[lane];
          zeros[lane] += x * 0;
        }
    } else {
      for (const float x : part) {
        highest[0] = std::max(highest[0], x);
        zeros[0] += x * 0;
      }
    }
    blocks_[b] = *std::max_element(highest.begin(), highest.end());
    if (blocks_[b] > blocks_[best]) best = b;
  }
  finite_ = std::all_of(zeros.begin(), zeros.end(), [](float zero) { return zero == 0; });
  const std::span<const float> part = block(best);
  const auto at = std::find(part.begin(), part.end(), blocks_[best]) - part.begin();
  best_ = static_cast<TokenId>(std::min(best * kBlock + static_cast<size_t>(at), logits.size() - 1));
}

std::span<const float> Peaks::block(size_t index) const {
  const size_t begin = index * kBlock;
  return logits_.subspan(begin, std::min(kBlock, logits_.size() - begin));
}

std::vector<Candidate> Peaks::collect(double floor) const {
  std::vector<Candidate> candidates;
  const auto reaches = [&](float highest) { return highest >= floor; };
  candidates.reserve(kBlock * static_cast<size_t>(std::count_if(blocks_.begin(), blocks_.end(), reaches)));
  for (size_t b = 0; b < blocks_.size(); b++) {
    if (!reaches(blocks_[b])) continue;
    const std::span<const float> part = block(b);
    for (size_t i = 0; i < part.size(); i++)
      if (part[i] >= floor && part[i] != kNone) candidates.push_back({static_cast<TokenId>(b * kBlock + i), part[i]});
  }
  return candidates;
}

std::vector<Candidate> Peaks::highest(size_t count, const Tempering& tempering) const {
  // At least `count` logits reach the count-th highest of the blocks' maxima, because each of those blocks has one.
  double floor = kNone;
  if (count > 0 && count < blocks_.size()) {
    std::vector<float> maxima = blocks_;
    const auto at = maxima.begin() + static_cast<ptrdiff_t>(count - 1);
    std::nth_element(maxima.begin(), at, maxima.end(), std::greater<>());
    floor = *at;
  }
  std::vector<Candidate> candidates = collect(floor);
  count = std::min(count, candidates.size());
  const auto end = candidates.begin() + static_cast<ptrdiff_t>(count);
  if (count < candidates.size()) std::nth_element(candidates.begin(), end, candidates.end(), likelier);
  candidates.resize(count);
  std::sort(candidates.begin(), candidates.end(), likelier);
  for (Candidate& candidate : candidates) candidate.weight = tempering.weight(candidate.logit);
  return candidates;
}

std::vector<Candidate> Peaks::at_least(double floor, const Tempering& tempering) const {
  std::vector<Candidate> candidates = collect(floor);
  for (Candidate& candidate : candidates) candidate.weight = tempering.weight(candidate.logit);
  return candidates;
}

double Peaks::block_total(size_t index, double floor, const Tempering& tempering) const {
  const std::span<const float> part = block(index);
  if (blocks_[index] < floor) return 0;
  if (part.size() == kBlock) return whole_block_total(part.data(), floor, tempering);
  double sum = 0;
  for (const float logit : part) sum += logit >= floor ? tempering.weight(logit) : 0;
  return sum;
}

double Peaks::total(double floor, const Tempering& tempering) const {
  double sum = 0;
  for (size_t b = 0; b < blocks_.size(); b++) sum += block_total(b, floor, tempering);
  return sum;
}

double Peaks::deviation() const {
  // About the highest logit, so that the difference of the sums loses little: logits are within a few deviations of it.
  const double center = maximum();
  double sum = 0, squares = 0;
  for (const float logit : logits_) {
    const double off = logit - center;
    sum += off;
    squares += off * off;
  }
  const auto count = static_cast<double>(logits_.size());
  const double mean = sum / count;
  return std::sqrt(std::max(squares / count - mean * mean, 0.0));
}

TokenId Peaks::draw(double uniform, const Tempering& tempering) const {
  const double floor = tempering.floor();
  std::vector<double> sums(blocks_.size());
  double sum = 0;
  for (size_t b = 0; b < blocks_.size(); b++) {
    sums[b] = block_total(b, floor, tempering);
    sum += sums[b];
  }
  double left = uniform * sum;
  TokenId last = best_;  // where rounding ate the rest: the last that was passed
  for (size_t b = 0; b < blocks_.size(); b++) {
    if (sums[b] == 0) continue;
    if (left >= sums[b]) {
      left -= sums[b];
      continue;
    }
    const std::span<const float> part = block(b);
    for (size_t i = 0; i < part.size(); i++) {
      if (!(static_cast<double>(part[i]) >= floor)) continue;
      last = static_cast<TokenId>(b * kBlock + i);
      left -= tempering.weight(part[i]);
      if (left < 0) return last;
    }
    left = 0;
  }
  return last;
}

}  // namespace lancet
