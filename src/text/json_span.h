// Where a JSON value ends, found byte by byte: strings, escapes and brackets are respected, nothing else is checked.
#pragma once

#include <string>

namespace lancet {

class JsonSpan {
 public:
  enum class Step {
    inside,  // belongs to the value, which goes on
    last,    // belongs to the value and ends it
    after,   // ended a bare word or number; does not belong to it
    broken,  // a bracket that does not fit
  };
  Step push(char c) {
    if (in_string_) return in_string(c);
    switch (c) {
      case '"':
        if (!open_.empty() || !begun_) return begin_string();
        return Step::broken;
      case '{':
      case '[': open_ += c == '{' ? '}' : ']'; return go_on();
      case '}':
      case ']': return close(c);
      default: break;
    }
    if (open_.empty() && begun_ && (c == ',' || is_space(c))) return Step::after;
    return go_on();
  }
  bool begun() const { return begun_; }

  static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

 private:
  Step go_on() {
    begun_ = true;
    return Step::inside;
  }
  Step begin_string() {
    in_string_ = true;
    return go_on();
  }
  Step in_string(char c) {
    if (escaped_ || c == '\\') {
      escaped_ = !escaped_;
      return Step::inside;
    }
    if (c != '"') return Step::inside;
    in_string_ = false;
    return open_.empty() ? Step::last : Step::inside;
  }
  Step close(char c) {
    if (open_.empty()) return begun_ ? Step::after : Step::broken;
    if (open_.back() != c) return Step::broken;
    open_.pop_back();
    return open_.empty() ? Step::last : Step::inside;
  }

  std::string open_;  // brackets that must still close, innermost last
  bool begun_ = false, in_string_ = false, escaped_ = false;
};

}  // namespace lancet
