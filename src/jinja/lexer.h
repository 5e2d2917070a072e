// Template text -> tokens, with Jinja's whitespace rules already applied (trim_blocks and lstrip_blocks on, one final
// line break dropped, as transformers compiles chat templates).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/budget.h"

namespace lancet {

struct JinjaToken {
  enum class Kind {
    data,
    variable_begin,
    variable_end,
    block_begin,
    block_end,
    name,
    string,
    integer,
    real,
    symbol,
    end,
  };
  Kind kind;
  size_t offset;     // in the source
  std::string text;  // data and strings as they read, escapes decoded; names, numbers and symbols as written
};

/// "line:column" (from 1, column in bytes) of an offset.
std::string jinja_place(std::string_view source, size_t offset);

/// Throws Error{bad_file} "chat template, 12:5: <problem>".
[[noreturn]] void fail_template(std::string_view source, size_t offset, const std::string& problem);

/// The source must have \n line ends only (normalise_line_ends). The last token is `end`. Throws Error{bad_file}.
std::vector<JinjaToken> lex_jinja(std::string_view source, Budget&);

/// \r\n and \r -> \n; one line break at the very end dropped.
std::string normalise_line_ends(std::string_view source);

}  // namespace lancet
