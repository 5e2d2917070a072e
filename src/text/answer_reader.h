// What an answer's text means: content, and calls of functions. A reader is fed with the text as it becomes certain and
// with the control tokens between; what it says does not depend on how the text was cut into pieces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/vocabulary.h"

namespace lancet {

struct AnswerEvent {
  enum class Kind {
    content,    // text of the answer
    call,       // a call begins; the text is the function's name
    arguments,  // more of the call's arguments
    call_end,   // the call is complete, or the answer ended inside of it
  };
  Kind kind = Kind::content;
  std::string text;
  bool operator==(const AnswerEvent&) const = default;
};

/// Something in the answer that was not as it should be: the answer says it, and goes on.
struct AnswerWarning {
  std::string code;  // "tool_call_unparsed"
  std::string message;
};

using AnswerEvents = std::vector<AnswerEvent>;

/// Appends an event; neighbouring texts of one kind become one, empty ones none.
inline void add_event(AnswerEvents& events, AnswerEvent::Kind kind, std::string_view text = {}) {
  const bool joins = kind == AnswerEvent::Kind::content || kind == AnswerEvent::Kind::arguments;
  if (joins && text.empty()) return;
  if (joins && !events.empty() && events.back().kind == kind)
    events.back().text += text;
  else
    events.push_back({kind, std::string(text)});
}

/// One answer's; one thread. Never throws; linear in the text.
class AnswerReader {
 public:
  virtual ~AnswerReader() = default;
  virtual void text(std::string_view, AnswerEvents&) = 0;
  virtual void control(TokenId, AnswerEvents&) {}
  /// The answer has ended. `cut`: by its bound on tokens.
  virtual void finish(bool cut, AnswerEvents&) = 0;

  const std::vector<AnswerWarning>& warnings() const { return warnings_; }

 protected:
  void warn(std::string code, std::string message) {
    constexpr size_t kMost = 16;  // of one answer: the text may be anything
    if (warnings_.size() < kMost) warnings_.push_back({std::move(code), std::move(message)});
  }

 private:
  std::vector<AnswerWarning> warnings_;
};

}  // namespace lancet
