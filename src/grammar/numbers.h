// JSON numerals with a value in a set -> terms. Exact: bounds are decimals, not doubles.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/budget.h"
#include "grammar/term.h"

namespace lancet {

struct NumberBound {
  std::string value;  // a JSON numeral
  bool exclusive = false;
};

struct NumberSet {
  bool integer = false;  // 1 and 1.0 are, 1.5 is not
  std::optional<NumberBound> min, max;
  std::vector<std::string> multiple_of;  // JSON numerals > 0
};

/// All JSON numerals, also with exponent. Numbers with conditions are written without exponent: number_universe().
Term any_number(TermPool&);
/// All JSON numerals without exponent: the set in which complements of number_term() are taken.
Term number_universe(TermPool&);
/// Every numeral of number_universe() whose value is in the set. Throws Error{unsupported} with a reason for sets whose
/// automaton would be too large (multiples of large numbers).
Term number_term(TermPool&, const NumberSet&, Budget&);

}  // namespace lancet
