// A call written as a JSON object, {"name": "f", "arguments": {...}}, read byte by byte so that its arguments can be
// passed on as they come.
#pragma once

#include <string>
#include <string_view>

#include "text/answer_reader.h"
#include "text/json_span.h"

namespace lancet {

class CallObject {
 public:
  enum class State { reading, done, broken };

  /// Takes the object's bytes from its '{' on; after done or broken it must not be called again. `call` and `arguments`
  /// are sent as soon as they are certain, call_end with done.
  State push(char, AnswerEvents&);
  /// The name was sent: what follows can no longer become content.
  bool begun() const { return begun_; }

 private:
  enum class At { open, before_key, key, colon, before_value, value, after_value };
  enum class Member { name, arguments, other };

  State fail() { return State::broken; }
  State take_key(char);
  State take_value(char, AnswerEvents&);
  State take_separator(char, AnswerEvents&);
  State end_value(AnswerEvents&);
  bool choose_member();
  void begin(AnswerEvents&);

  At at_ = At::open;
  Member member_ = Member::other;
  JsonSpan span_;
  std::string held_;  // of the key, or of a value that cannot be passed on yet
  std::string name_, arguments_;
  bool has_name_ = false, has_arguments_ = false, begun_ = false, streams_ = false;
};

/// The text of a JSON string; nothing if it is none.
bool decode_json_string(std::string_view json, std::string& out);
/// A name that a function may have: 1 to 64 letters, digits, '_', '-' and '.'.
bool is_function_name(std::string_view);

}  // namespace lancet
