// Every limit of ServerLimits once, with its flag and what happens beyond it: the flags of `lancet serve`,
// docs/limits.md and the test that tries each at the limit and one past come from this table.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "server/limits.h"

namespace lancet {

struct LimitRow {
  using Member = std::variant<size_t ServerLimits::*, int ServerLimits::*, double ServerLimits::*>;

  std::string_view flag;  // "--limit-header-bytes"
  Member member;
  std::string_view unit;  // "bytes", "seconds", or empty for a count
  double low, high;       // what the flag takes
  std::string_view what;  // is limited
  int status;             // of the answer beyond the limit; 0: there is none
  std::string_view code;  // of the error object, "null" if it has none; without a status, what happens instead
};

std::span<const LimitRow> limit_rows();

/// docs/limits.md.
std::string limits_markdown();

}  // namespace lancet
