// An answer for a client that reads nothing but its content and calls functions that stand between ```tool fences:
// every call, whatever form the model gave it, becomes exactly one that the client finds, and nothing else looks like
// one.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "text/call_reader.h"

namespace lancet {

class FencedReader : public AnswerReader {
 public:
  /// `tools`: names of functions; a bare block that calls one of them was meant as a call.
  FencedReader(ToolSyntax native, std::vector<std::string> tools);

  /// Asked before a call is given out: a reason, which then stands in its place, or "".
  using Guard = std::function<std::string(std::string_view name, std::string_view arguments)>;
  void set_guard(Guard guard) { guard_ = std::move(guard); }

  void text(std::string_view, AnswerEvents&) override;
  void control(TokenId, AnswerEvents&) override;
  void finish(bool cut, AnswerEvents&) override;

  /// Of the call that the answer has, or empty.
  const std::string& called() const { return called_; }
  const std::string& called_arguments() const { return arguments_; }
  bool bridged() const { return bridged_; }      // it was written in another form
  int quoted_blocks() const { return quoted_; }  // blocks that would have been executed although they are no call

 private:
  void take(const AnswerEvents& native, AnswerEvents&);
  void take_inner(const AnswerEvents&, AnswerEvents&);
  void prose(std::string_view, AnswerEvents&);
  bool is_tool(std::string_view name) const;
  bool take_whole_call();
  void give(AnswerEvents&);

  std::string given_call();

  Guard guard_;
  CallReader native_;
  CallReader hermes_;  // reads what the native reader calls content
  const std::vector<std::string> tools_;
  std::string held_;  // from the first thing on that may be a call or look like one
  std::string name_;  // of the native call that is being read
  std::string native_arguments_;
  std::string called_, arguments_, after_;
  bool begun_ = false;  // prose that is no white space was seen
  bool sent_ = false;   // ... and passed on
  bool holding_ = false, bridged_ = false;
  int quoted_ = 0;
};

}  // namespace lancet
