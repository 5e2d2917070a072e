// Calls whose form a prompt defines: text between code fences, for clients that read nothing but the content. One
// dialect so far, Scalpel's:
//   ```tool
//   {"name": "read_file", "params": {"path": "/etc/hosts"}}
//   ```
// The tools are read out of the prompt that explains them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>

#include "base/budget.h"

namespace lancet {

struct DialectTool {
  std::string name;
  boost::json::object params;  // JSON Schema of an object
};

struct FencedDialect {
  std::vector<DialectTool> tools;  // not empty
};

/// The dialect that a system prompt shows by an example between ```tool fences; nothing if it shows none, or names no
/// tool. Names and parameters come from lines such as "- read_file(path): ..." if there are any, else from the
/// examples.
std::optional<FencedDialect> find_fenced_dialect(std::string_view system_prompt, Budget&);

/// Scalpel's own tools, for a prompt that does not tell.
FencedDialect scalpel_dialect();

}  // namespace lancet
