// Text as a client of a fenced dialect reads it, and text written so that such a client reads what was meant.
//
// The client looks for the regular expression (?s)```(?:tool|json)?\s*(\{.*?\})\s*``` and takes the first block that is
// a JSON object with a name (name, tool or tool_name), else the whole text if that is one. So an example in a final
// answer is executed, and a "}" in front of backticks inside a string cuts a call short.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lancet {

struct FencedCall {
  std::string name;
  std::string arguments;  // JSON text of an object
};

/// Reads the name and the parameters of a JSON object under any of their names; nothing if it is no call.
std::optional<FencedCall> read_fenced_call(std::string_view json);

/// "```tool\n{"name":"f","params":{...}}\n```", with backticks inside of it escaped, so that nothing in it ends it
/// early.
std::string write_fenced_call(const FencedCall&);

/// The text with every block that the client would execute relabelled ```jsonc, which it does not match; `changed`
/// counts them. `call_follows`: also those that have no end yet, and would find it in the call's own fences.
std::string quote_fenced_calls(std::string_view text, bool call_follows, int& changed);

}  // namespace lancet
