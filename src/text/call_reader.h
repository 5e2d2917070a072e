// Native calls in an answer -> events. What cannot be read as a call stays content, with a warning; an answer that ends
// inside of a call gives as much of its arguments as there is.
#pragma once

#include <string>

#include "text/answer_reader.h"
#include "text/call_object.h"
#include "text/tool_syntax.h"

namespace lancet {

class CallReader : public AnswerReader {
 public:
  explicit CallReader(ToolSyntax syntax) : syntax_(std::move(syntax)) {}

  void text(std::string_view, AnswerEvents&) override;
  void control(TokenId, AnswerEvents&) override;
  void finish(bool cut, AnswerEvents&) override;

 private:
  enum class At {
    prose,
    start,         // behind the marker: white space, then a name, an object or a list
    name,          // mistral: up to the arguments
    call_id,       // mistral: an id that is of no use
    arguments,     // mistral: white space before their '{'
    inside,        // mistral: of the arguments
    object,        // of a call that is an object
    after_object,  // what may stand behind it: the end marker, a comma, the end of the list
  };

  void take(char, AnswerEvents&);
  void take_prose(char, AnswerEvents&);
  void take_start(char, AnswerEvents&);
  void take_name(char, AnswerEvents&);
  void take_arguments(char, AnswerEvents&);
  void take_inside(char, AnswerEvents&);
  void take_object(char, AnswerEvents&);
  void take_after_object(char, AnswerEvents&);
  void begin_call();
  void begin_object(char, AnswerEvents&);
  void begin_prose();
  void give_up(AnswerEvents&);
  void content(std::string_view, AnswerEvents&);
  /// True if c goes on with a textual marker that may stand here; `found` is the one that is complete, or null.
  bool matches(std::initializer_list<const Marker*>, char c, const Marker*& found);

  ToolSyntax syntax_;
  At at_ = At::prose;
  std::string space_;    // prose: white space that is dropped if a call follows
  std::string matched_;  // beginning of a textual marker
  std::string held_;     // of a call that was not sent yet, with its marker: content if it turns out to be none
  std::string name_;
  CallObject object_;
  JsonSpan span_;
  bool in_list_ = false;
  bool open_ = false;      // prose that was sent goes on
  bool any_call_ = false;  // was sent
};

}  // namespace lancet
