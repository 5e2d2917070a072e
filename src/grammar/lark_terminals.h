// The terminals of Lark: what its library "common" has, and its regular expressions, which are Python's, in the words
// of ours.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lancet {

/// The regular expression of a terminal of Lark's common.lark; nothing: there is none of that name.
std::optional<std::string_view> lark_common_terminal(std::string_view name);

/// A Python regular expression with flags (of "imslux") as ECMA-262 has it: `.` and the classes are spelled out for i,
/// s and x, needless escapes and lone brackets are made what they stand for. Throws Error{unsupported} for flags m and
/// l and for i with letters beyond ASCII; leaves all other judgement to parse_regex.
std::string lark_regex(std::string_view pattern, std::string_view flags);

}  // namespace lancet
