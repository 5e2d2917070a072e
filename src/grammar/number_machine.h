// Machines that read numerals, their product, and its smallest equivalent.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/budget.h"
#include "grammar/term.h"

namespace lancet {

inline constexpr int kMinus = 10, kPoint = 11, kNumberSymbols = 12;  // digits are themselves
inline constexpr int64_t kDead = -1;
inline constexpr int64_t kMostNumberStates = 200000;  // while building
inline constexpr size_t kMostMinimalStates = 20000;   // of a term

/// Deterministic; states are numbers that only it understands.
class NumberMachine {
 public:
  virtual ~NumberMachine() = default;
  virtual int64_t start() const { return 0; }
  virtual int64_t next(int64_t state, int symbol) const = 0;  // kDead: nothing can follow
  virtual bool accepts(int64_t state) const = 0;
};

/// A machine written out: state 0 is the start.
class NumberTable : public NumberMachine {
 public:
  /// The smallest machine for what all accept, its states in breadth-first order. Throws Error{unsupported} when it, or
  /// the product before it is minimised, is too large.
  static NumberTable product(const std::vector<const NumberMachine*>& machines, Budget&);

  int64_t next(int64_t state, int symbol) const override {
    return rows_[static_cast<size_t>(state)][static_cast<size_t>(symbol)];
  }
  bool accepts(int64_t state) const override { return accepts_[static_cast<size_t>(state)]; }
  std::vector<TermPool::AutomatonState> states() const;

 private:
  using Row = std::array<int32_t, kNumberSymbols>;
  NumberTable minimal(Budget&) const;
  std::vector<int32_t> classes(Budget&) const;
  std::vector<Row> rows_;
  std::vector<bool> accepts_;
};

}  // namespace lancet
