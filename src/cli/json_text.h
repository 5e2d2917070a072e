// JSON text as it is written, without its values: `lancet schema` walks over instances as a model would write them, and
// a number that went through a double could have become another one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lancet {

/// Well-formed JSON in the one spelling that the grammars know: ", " and ": ", characters escaped only where JSON asks
/// for it, numbers without exponent (up to 400 digits, else as they are). Keys stay in their order.
std::string canonical_json(std::string_view json);

/// The text of a member of a well-formed JSON object, or of each element of an array; empty if there is none.
std::string_view json_member(std::string_view object, std::string_view key);
std::vector<std::string_view> json_elements(std::string_view array);

}  // namespace lancet
