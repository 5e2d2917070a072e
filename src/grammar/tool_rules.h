// Answers that may call functions, as rules: prose without the marker of a call, then calls that are constrained from
// their first byte on; or calls alone.
#pragma once

#include <string>
#include <vector>

#include "grammar/rules.h"
#include "text/tool_syntax.h"

namespace lancet {

/// A function that may be called, with what its arguments may be: a rule for a JSON object.
struct CallableTool {
  std::string name;  // as it may stand in a JSON string without escapes
  RuleId arguments = 0;
};

struct ToolUse {
  std::vector<CallableTool> tools;  // not empty
  bool required = false;            // at least one call, and nothing else; else prose that may be all of the answer
  bool parallel = true;             // more than one call
};

/// An answer in the model's own form.
RuleId add_tool_answer(Rules&, const ToolSyntax&, const ToolUse&);

/// An answer to a prompt that asks for fenced calls: prose without such a fence, then at most one call:
/// ```tool\n{"name": "f", "params": {...}}\n```, or the same call in a form of the model's own, for a reader to bridge.
RuleId add_fenced_answer(Rules&, const ToolSyntax&, const ToolUse&);

}  // namespace lancet
