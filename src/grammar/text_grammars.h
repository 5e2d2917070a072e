// Grammars as text -> rules: GBNF (llama.cpp's notation) and a subset of Lark, also choices and a regular expression.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/budget.h"
#include "grammar/rules.h"

namespace lancet {

/// All throw Error{bad_request} or Error{unsupported} with line:column and what was wanted.
RuleId add_gbnf(Rules&, std::string_view source, Budget&);
RuleId add_lark(Rules&, std::string_view source, Budget&);
RuleId add_regex(Rules&, std::string_view pattern, Budget&);               // the whole answer
RuleId add_choice(Rules&, std::span<const std::string> choices, Budget&);  // exactly one of them

}  // namespace lancet
