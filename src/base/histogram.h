// How often something took how long, in the form that Prometheus collects.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace lancet {

/// Counts durations by size, from a millisecond to ten minutes. Plain data: copied to be read elsewhere. Not
/// thread-safe.
class Histogram {
 public:
  /// Upper bounds of the buckets, seconds; one more bucket holds what is longer.
  static constexpr std::array<double, 18> kBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                                     1,     2.5,    5,     10,   25,    50,   100, 250,  600};

  void observe(double seconds) {
    const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), seconds) - kBounds.begin();
    counts_[static_cast<size_t>(bucket)]++;
    sum_ += seconds;
  }
  /// Observations of each bucket, not cumulative.
  const std::array<uint64_t, kBounds.size() + 1>& counts() const { return counts_; }
  /// Seconds, of all observations.
  double sum() const { return sum_; }

 private:
  std::array<uint64_t, kBounds.size() + 1> counts_ = {};
  double sum_ = 0;
};

}  // namespace lancet
