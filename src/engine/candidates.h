// The likely few of a vocabulary's logits. A token is chosen among a handful of 131,072, so one pass finds the highest
// of each block of 64, and what follows looks only into the blocks that matter.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "backend/batch.h"

namespace lancet {

/// exp(x) for -700 <= x <= 0 within 1e-15 of itself. Without branches or calls, so that a loop over it becomes vector
/// code, and the same on every machine, which the C library's is not.
inline double exp_of_negative(double x) {
  constexpr double kRound = 0x1.8p52;                       // added, it leaves the nearest integer in the low bits
  const double rounded = x * 0x1.71547652b82fep0 + kRound;  // 1 / ln 2
  const double n = rounded - kRound;
  const double r = (x - n * 0x1.62e42fee00000p-1) - n * 0x1.a39ef35793c76p-33;  // ln 2 in two parts; |r| <= ln 2 / 2
  // Taylor's series to r^12 in Estrin's form: short chains, and written out because no loop would be unrolled.
  const double r2 = r * r, r4 = r2 * r2;
  const double low = (1 + r) + (0.5 + r * (1.0 / 6)) * r2;
  const double middle = (1.0 / 24 + r * (1.0 / 120)) + (1.0 / 720 + r * (1.0 / 5040)) * r2;
  const double high = (1.0 / 40320 + r * (1.0 / 362880)) + (1.0 / 3628800 + r * (1.0 / 39916800)) * r2;
  const double sum = low + r4 * (middle + r4 * (high + r4 * (1.0 / 479001600)));
  const uint64_t power = (std::bit_cast<uint64_t>(rounded) + 1023) << 52;  // 2^n
  return sum * std::bit_cast<double>(power);
}

/// Logits -> unnormalised probabilities at a temperature; the highest logit weighs 1.
struct Tempering {
  static constexpr double kLowest = -700;  // exponents below it weigh nothing

  double maximum = 0;  // the highest logit
  double inverse = 1;  // 1 / temperature

  /// temperature > 0; below 1e-100 only the highest weighs anything, as at 1e-100.
  Tempering(float highest, double temperature)
      : maximum(highest), inverse(1 / (temperature < 1e-100 ? 1e-100 : temperature)) {}
  double exponent(float logit) const { return (static_cast<double>(logit) - maximum) * inverse; }
  double weight(float logit) const {
    const double x = exponent(logit);
    return x < kLowest ? 0 : exp_of_negative(x);
  }
  /// Logits below it weigh less than e^-50 each, all of a vocabulary less than the last of a draw's 53 bits.
  double floor() const { return maximum - 50 / inverse; }
};

struct Candidate {
  TokenId id = 0;
  float logit = 0;
  double weight = 0;
};

/// The order of candidates: highest first, lower ids first among equals.
inline bool likelier(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

/// Logits with the highest of each block. -infinity is a token that cannot be chosen. Views the logits.
class Peaks {
 public:
  /// logits: not empty. With NaN or +infinity only finite() means anything.
  explicit Peaks(std::span<const float> logits);

  bool finite() const { return finite_; }
  /// The id of the highest logit, the lowest among equals.
  TokenId best() const { return best_; }
  float maximum() const { return logits_[static_cast<size_t>(best_)]; }

  /// The `count` likeliest, likeliest first, fewer if fewer can be chosen.
  std::vector<Candidate> highest(size_t count, const Tempering&) const;
  /// All of at least `floor`, by id.
  std::vector<Candidate> at_least(double floor, const Tempering&) const;
  /// The sum of the weights of all of at least `floor`.
  double total(double floor, const Tempering&) const;
  /// The standard deviation of the logits, which must be finite.
  double deviation() const;
  /// The token at which the weights, added by id, pass the share `uniform` (in [0, 1)) of their sum.
  TokenId draw(double uniform, const Tempering&) const;

 private:
  std::span<const float> block(size_t index) const;
  double block_total(size_t index, double floor, const Tempering&) const;
  std::vector<Candidate> collect(double floor) const;  // as at_least, without weights

  std::span<const float> logits_;
  std::vector<float> blocks_;  // the highest of each
  TokenId best_ = 0;
  bool finite_ = true;
};

}  // namespace lancet
