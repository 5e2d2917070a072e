// Sets of numbers as automata over their decimal digits. Each condition is a small machine that reads the numeral; the
// product of all machines is minimised, so equal sets have equal terms within a pool.
#include "grammar/numbers.h"

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "grammar/decimal.h"
#include "grammar/number_machine.h"

namespace lancet {

namespace {

/// -?(0|[1-9][0-9]*)(\.[0-9]+)?, or with `integer` no digit but 0 behind the point.
class Shape : public NumberMachine {
 public:
  explicit Shape(bool integer) : integer_(integer) {}
  int64_t next(int64_t state, int symbol) const override {
    switch (state) {
      case kStart:
        if (symbol == kMinus) return kSigned;
        [[fallthrough]];
      case kSigned: return symbol > 9 ? kDead : symbol == 0 ? kZero : kDigits;
      case kZero: return symbol == kPoint ? kPointed : kDead;
      case kDigits: return symbol == kPoint ? kPointed : symbol <= 9 ? kDigits : kDead;
      default: return symbol > 9 || (integer_ && symbol != 0) ? kDead : kFraction;
    }
  }
  bool accepts(int64_t state) const override { return state == kZero || state == kDigits || state == kFraction; }

 private:
  enum : int64_t { kStart, kSigned, kZero, kDigits, kPointed, kFraction };
  bool integer_;
};

/// Compares with a bound: digit by digit with its integer part, then with its fraction.
class Comparison : public NumberMachine {
 public:
  /// accept[negative][order]: whether a numeral of that sign is accepted whose magnitude is less than, equal to or
  /// greater than the bound's.
  using Accept = std::array<std::array<bool, 3>, 2>;
  Comparison(Decimal bound, Accept accept) : bound_(std::move(bound)), accept_(accept) {}

  int64_t next(int64_t state, int symbol) const override {
    if (symbol == kMinus) return state + 1;
    const bool negative = state % 2 == 1;
    const State from = unpack(state);
    const int64_t whole = static_cast<int64_t>(bound_.whole.size());
    const int64_t fraction = static_cast<int64_t>(bound_.fraction.size());
    if (symbol == kPoint) return pack({.behind = true, .digits = 0, .order = order_of_whole(from)}, negative);
    if (!from.behind) {
      int order = from.order;
      if (order == kEqual && from.digits < whole)
        order = compare(symbol, bound_.whole[static_cast<size_t>(from.digits)]);
      return pack({.behind = false, .digits = std::min(from.digits + 1, whole + 1), .order = order}, negative);
    }
    if (from.order != kEqual) return state;
    if (from.digits == fraction) return symbol == 0 ? state : pack({true, 0, kGreater}, negative);
    const int order = compare(symbol, bound_.fraction[static_cast<size_t>(from.digits)]);
    return pack({true, order == kEqual ? from.digits + 1 : 0, order}, negative);
  }
  bool accepts(int64_t state) const override {
    const State from = unpack(state);
    int order = from.behind ? from.order : order_of_whole(from);
    const int64_t matched = from.behind ? from.digits : 0;
    if (order == kEqual && matched < static_cast<int64_t>(bound_.fraction.size())) order = kLess;
    return accept_[static_cast<size_t>(state % 2)][static_cast<size_t>(order)];
  }

 private:
  enum : int { kEqual = 0, kLess = 1, kGreater = 2 };  // the start is kEqual without digits
  struct State {
    bool behind = false;  // the point
    int64_t digits = 0;   // read of this part, at most one more than the bound's
    int order = kEqual;   // of the digits read
  };
  static int compare(int digit, char with) {
    const int other = with - '0';
    return digit < other ? kLess : digit > other ? kGreater : kEqual;
  }
  static int64_t pack(State s, bool negative) {
    return ((s.digits * 3 + s.order) * 2 + (s.behind ? 1 : 0)) * 2 + (negative ? 1 : 0);
  }
  static State unpack(int64_t state) {
    return {.behind = state / 2 % 2 == 1, .digits = state / 12, .order = static_cast<int>(state / 4 % 3)};
  }
  /// Numerals have no leading zeros: more digits are a greater number.
  int order_of_whole(const State& s) const {
    const int64_t whole = static_cast<int64_t>(bound_.whole.size());
    return s.digits == whole ? s.order : s.digits < whole ? kLess : kGreater;
  }

  Decimal bound_;
  Accept accept_;
};

/// Multiples of factor * 10^(zeros - places): the remainder of the digits so far, not counting up to `zeros` trailing
/// zeros; behind `places` digits of a fraction only zeros. Zeros and places are not both there.
class Multiple : public NumberMachine {
 public:
  Multiple(int64_t factor, int64_t zeros, int64_t places) : factor_(factor), zeros_(zeros), places_(places) {}

  int64_t start() const override { return pack(0, zeros_, 0); }
  int64_t next(int64_t state, int symbol) const override {
    const int64_t rest = state % factor_, zeros = state / factor_ % (zeros_ + 1), part = state / factor_ / (zeros_ + 1);
    if (symbol == kMinus) return state;
    if (symbol == kPoint) return pack(1, zeros, rest);
    if (part == places_ + 1) return symbol == 0 ? state : kDead;
    const int64_t behind = part == 0 ? 0 : part + 1;
    if (symbol == 0 && zeros < zeros_) return pack(behind, zeros + 1, rest);
    if (symbol == 0) return pack(behind, zeros_, rest * 10 % factor_);
    return pack(behind, 0, (rest * power(zeros + 1) + symbol) % factor_);
  }
  bool accepts(int64_t state) const override {
    const int64_t rest = state % factor_, zeros = state / factor_ % (zeros_ + 1), part = state / factor_ / (zeros_ + 1);
    const int64_t open = places_ - std::max<int64_t>(part - 1, 0);
    return zeros == zeros_ && rest * power(open) % factor_ == 0;
  }

 private:
  /// part: 0 before the point, else one more than the digits read behind it.
  int64_t pack(int64_t part, int64_t zeros, int64_t rest) const {
    return (part * (zeros_ + 1) + zeros) * factor_ + rest;
  }
  int64_t power(int64_t exponent) const {
    int64_t value = 1 % factor_;
    for (int64_t i = 0; i < exponent; ++i) value = value * 10 % factor_;
    return value;
  }
  int64_t factor_, zeros_, places_;
};

/// A machine for value >= bound (or > bound).
std::unique_ptr<NumberMachine> at_least(const NumberBound& bound) {
  const Decimal value = parse_decimal(bound.value);
  const bool equal = !bound.exclusive;
  const bool zero = value.is_zero();
  // In the order equal, less, greater.
  const Comparison::Accept accept = value.negative
                                        ? Comparison::Accept{{{true, true, true}, {equal, true, false}}}
                                        : Comparison::Accept{{{equal, false, true}, {equal && zero, false, false}}};
  return std::make_unique<Comparison>(value, accept);
}

/// A machine for value <= bound: the mirror image.
std::unique_ptr<NumberMachine> at_most(const NumberBound& bound) {
  const Decimal value = parse_decimal(bound.value);
  const bool equal = !bound.exclusive;
  const bool zero = value.is_zero();
  const Comparison::Accept accept = value.negative
                                        ? Comparison::Accept{{{false, false, false}, {equal, false, true}}}
                                        : Comparison::Accept{{{equal, true, false}, {equal || !zero, true, true}}};
  return std::make_unique<Comparison>(value, accept);
}

std::unique_ptr<NumberMachine> multiple_of(const std::string& numeral, Budget& budget) {
  const Decimal value = parse_decimal(numeral);
  if (value.negative || value.is_zero()) {
    throw Error(Fault::bad_request, "multipleOf " + quoted(numeral) + " is not greater than 0");
  }
  std::string digits = value.whole + value.fraction;
  digits.erase(0, digits.find_first_not_of('0'));
  int64_t zeros = 0;
  for (; value.fraction.empty() && digits.back() == '0'; ++zeros) digits.pop_back();
  // Remainders by the part without 2 and 5 are all different states, whatever is done.
  int64_t factor = digits.size() > 6 ? kMostNumberStates : std::stoll(digits), prime_to_ten = factor;
  for (; prime_to_ten % 2 == 0; prime_to_ten /= 2) continue;
  for (; prime_to_ten % 5 == 0; prime_to_ten /= 5) continue;
  if (factor >= kMostNumberStates || prime_to_ten > static_cast<int64_t>(kMostMinimalStates)) {
    throw Error(Fault::unsupported, "multipleOf " + quoted(numeral) + " needs an automaton that is too large");
  }
  const Multiple machine(factor, zeros, static_cast<int64_t>(value.fraction.size()));
  const Shape shape(false);
  return std::make_unique<NumberTable>(NumberTable::product({&shape, &machine}, budget));
}

Term number_part(TermPool& pool, std::string_view first, std::string_view second) {
  return pool.chars(
      CharSet::of(std::u32string(first.begin(), first.end()) + std::u32string(second.begin(), second.end())));
}

}  // namespace

Term number_universe(TermPool& pool) {
  Budget budget("numbers");
  return number_term(pool, {}, budget);
}

Term any_number(TermPool& pool) {
  const Term digits = pool.repeat(pool.chars(CharSet({{'0', '9'}})), 1, std::nullopt);
  const Term sign = pool.repeat(number_part(pool, "+", "-"), 0, 1);
  const Term exponent = pool.concat({number_part(pool, "e", "E"), sign, digits});
  return pool.concat({number_universe(pool), pool.repeat(exponent, 0, 1)});
}

Term number_term(TermPool& pool, const NumberSet& set, Budget& budget) {
  std::vector<std::unique_ptr<NumberMachine>> machines;
  machines.push_back(std::make_unique<Shape>(set.integer));
  if (set.min) machines.push_back(at_least(*set.min));
  if (set.max) machines.push_back(at_most(*set.max));
  for (const std::string& numeral : set.multiple_of) machines.push_back(multiple_of(numeral, budget));
  std::vector<const NumberMachine*> all;
  for (const auto& machine : machines) all.push_back(machine.get());
  return pool.automaton(NumberTable::product(all, budget).states());
}

}  // namespace lancet
