// The values of JSON Schema's `format` that are enforced, as terms.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/budget.h"
#include "grammar/term.h"

namespace lancet {

enum class FormatSupport {
  enforced,    // format_term has it
  annotation,  // no format of any draft: says nothing about the text, as the standard has it
  refused,     // a format of the standard that no regular language captures (regex, idn-hostname)
};
FormatSupport format_support(std::string_view name);
/// The strings of an enforced format.
Term format_term(TermPool&, std::string_view name, Budget&);
/// Names of the enforced formats, for documentation.
std::vector<std::string_view> enforced_formats();

}  // namespace lancet
