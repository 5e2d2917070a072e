// Regular expressions as text -> terms. Linear, bounded nesting; what the language of terms cannot say
// (back-references, most look-around) is refused by name and offset.
#pragma once

#include <string>
#include <string_view>

#include "base/budget.h"
#include "grammar/term.h"

namespace lancet {

enum class RegexUse {
  search,  // JSON Schema `pattern`: the text contains a match somewhere, unless anchored (ECMA-262, flag u)
  whole,   // the text is the match: `regex` of a request, terminals of Lark; ^ and $ at the borders are allowed
};

/// Throws Error{bad_request} "pattern \"...\": ... at offset n" for what is ill-formed, Error{unsupported} likewise for
/// what is understood and cannot be enforced.
Term parse_regex(TermPool&, std::string_view pattern, RegexUse, Budget&);

}  // namespace lancet
