// A JSON numeral as its exact decimal value.
#pragma once

#include <string>
#include <string_view>

namespace lancet {

struct Decimal {
  bool negative = false;  // never for zero
  std::string whole;      // digits, no leading zeros; "0" for less than one
  std::string fraction;   // digits, no trailing zeros
  bool is_zero() const { return whole == "0" && fraction.empty(); }
};

/// Throws Error{bad_request} if it is not a JSON numeral, Error{unsupported} if it has more than 400 digits written
/// out.
Decimal parse_decimal(std::string_view numeral);

}  // namespace lancet
