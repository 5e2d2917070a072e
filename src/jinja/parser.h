// Tokens -> tree. Recursive descent with Jinja's precedences, bounded depth, and every name of a statement, filter and
// test resolved here, so that a template that asks for what we do not have is refused when the model is loaded.
#pragma once

#include <string_view>

#include "base/budget.h"
#include "jinja/ast.h"

namespace lancet {

/// How deep brackets, operators and blocks may nest.
inline constexpr int kJinjaMaxParseDepth = 200;

/// `source` must have been through normalise_line_ends. Throws Error{bad_file} with line:column.
JinjaBody parse_jinja(std::string_view source, Budget&);

}  // namespace lancet
