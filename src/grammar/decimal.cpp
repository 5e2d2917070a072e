#include "grammar/decimal.h"

#include "base/error.h"

namespace lancet {

namespace {

constexpr int64_t kMostDigits = 400;  // doubles have up to 309 before the point

bool is_digit(char c) { return c >= '0' && c <= '9'; }

[[noreturn]] void fail(std::string_view numeral) {
  throw Error(Fault::bad_request, "number " + quoted(numeral) + " is not a JSON number");
}

/// Digits from `at` on, which it moves behind them; at least one.
std::string_view digits(std::string_view numeral, size_t& at) {
  const size_t start = at;
  while (at < numeral.size() && is_digit(numeral[at])) ++at;
  if (at == start) fail(numeral);
  return numeral.substr(start, at - start);
}

/// The exponent at `at`, cut off far beyond what is supported.
int64_t exponent(std::string_view numeral, size_t& at) {
  if (at == numeral.size() || (numeral[at] != 'e' && numeral[at] != 'E')) return 0;
  ++at;
  const bool negative = at < numeral.size() && numeral[at] == '-';
  if (at < numeral.size() && (numeral[at] == '-' || numeral[at] == '+')) ++at;
  int64_t value = 0;
  for (char c : digits(numeral, at)) value = value > 1000000 ? value : value * 10 + (c - '0');
  return negative ? -value : value;
}

}  // namespace

Decimal parse_decimal(std::string_view numeral) {
  size_t at = 0;
  Decimal out;
  out.negative = !numeral.empty() && numeral[0] == '-';
  at += out.negative;
  std::string all(digits(numeral, at));
  if (all.size() > 1 && all[0] == '0') fail(numeral);
  int64_t point = static_cast<int64_t>(all.size());  // the digits before the point
  if (at < numeral.size() && numeral[at] == '.') all += digits(numeral, ++at);
  point += exponent(numeral, at);
  if (at != numeral.size()) fail(numeral);

  const size_t leading = all.find_first_not_of('0');
  if (leading == std::string::npos) return {.negative = false, .whole = "0"};
  all.erase(0, leading);
  point -= static_cast<int64_t>(leading);
  while (all.back() == '0') all.pop_back();
  const int64_t size = static_cast<int64_t>(all.size());
  if (point > kMostDigits || size - point > kMostDigits || size > kMostDigits) {
    throw Error(Fault::unsupported, "number " + quoted(numeral) + " has more than 400 digits");
  }
  if (point <= 0) {
    out.whole = "0";
    out.fraction = std::string(static_cast<size_t>(-point), '0') + all;
  } else if (point >= size) {
    out.whole = all + std::string(static_cast<size_t>(point - size), '0');
  } else {
    out.whole = all.substr(0, static_cast<size_t>(point));
    out.fraction = all.substr(static_cast<size_t>(point));
  }
  return out;
}

}  // namespace lancet
