// Prose goes out as it comes, up to the first backticks; the rest is looked at when the answer is whole.
#include "text/fenced_reader.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "text/fenced_text.h"

namespace lancet {

using Kind = AnswerEvent::Kind;

namespace {

constexpr std::string_view kToolFence = "```tool";
const ToolSyntax kHermes{.form = CallForm::hermes,
                         .begin = {.text = "<tool_call>"},
                         .end = {.text = "</tool_call>"},
                         .arguments_key = "arguments"};

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

/// The JSON object that begins the text; empty if it has no end.
std::string_view first_object(std::string_view text) {
  JsonSpan span;
  for (size_t i = 0; i < text.size(); i++) {
    const JsonSpan::Step step = span.push(text[i]);
    if (step == JsonSpan::Step::last) return text.substr(0, i + 1);
    if (step != JsonSpan::Step::inside) break;
  }
  return {};
}

}  // namespace

FencedReader::FencedReader(ToolSyntax native, std::vector<std::string> tools)
    : native_(native.form == CallForm::llama ? kHermes : std::move(native)),
      hermes_(kHermes),
      tools_(std::move(tools)) {}

bool FencedReader::is_tool(std::string_view name) const {
  return std::find(tools_.begin(), tools_.end(), name) != tools_.end();
}

void FencedReader::text(std::string_view text, AnswerEvents& events) {
  AnswerEvents native;
  native_.text(text, native);
  take(native, events);
}

void FencedReader::control(TokenId id, AnswerEvents& events) {
  AnswerEvents native;
  native_.control(id, native);
  take(native, events);
}

void FencedReader::take(const AnswerEvents& native, AnswerEvents& events) {
  for (const AnswerEvent& event : native) {
    AnswerEvents inner;
    if (event.kind == Kind::content) {
      hermes_.text(event.text, inner);
    } else {
      if (event.kind == Kind::call) {  // the text in front of it goes no further
        hermes_.finish(false, inner);
        hermes_ = CallReader(kHermes);
      }
      inner.push_back(event);
    }
    take_inner(inner, events);
  }
}

void FencedReader::take_inner(const AnswerEvents& inner, AnswerEvents& events) {
  for (const AnswerEvent& event : inner) {
    switch (event.kind) {
      case Kind::content: prose(event.text, events); break;
      case Kind::call:
        name_ = event.text;
        native_arguments_.clear();
        break;
      case Kind::arguments: native_arguments_ += event.text; break;
      case Kind::call_end:
        holding_ = true;
        held_ += write_fenced_call({name_, native_arguments_});
        bridged_ = true;
        break;
    }
  }
}

/// Passes on what can be neither the beginning of a fence nor of a bare object.
void FencedReader::prose(std::string_view text, AnswerEvents& events) {
  held_ += text;
  if (holding_) return;
  if (!begun_) {
    const size_t first = held_.find_first_not_of(" \t\r\n");
    if (first == std::string::npos) return;
    begun_ = true;
    if (held_[first] == '{') {
      holding_ = true;
      return;
    }
  }
  size_t certain = held_.find("```");
  holding_ = certain != std::string::npos;
  if (holding_ && trimmed(std::string_view(held_).substr(0, certain)).empty()) return;
  if (!holding_) certain = held_.find_last_not_of('`') + 1;  // all backticks at the end may be more
  if (certain == 0) return;
  sent_ = true;
  add_event(events, Kind::content, std::string_view(held_).substr(0, certain));
  held_.erase(0, certain);
}

/// The call as the client finds it, or why it is not made.
std::string FencedReader::given_call() {
  const std::string reason = guard_ ? guard_(called_, arguments_) : "";
  if (reason.empty()) return write_fenced_call({called_, arguments_});
  called_.clear();
  return reason;
}

/// An answer that is nothing but a block with a call of a tool was meant as that call.
bool FencedReader::take_whole_call() {
  std::string_view text = trimmed(held_);
  for (const std::string_view fence : {"```json", "```tool_call", "```"})
    if (text.starts_with(fence) && text.size() >= fence.size() + 3 && text.ends_with("```")) {
      text = trimmed(text.substr(fence.size(), text.size() - fence.size() - 3));
      break;
    }
  const auto call = read_fenced_call(text);
  if (!call || !is_tool(call->name)) return false;
  called_ = call->name;
  arguments_ = call->arguments;
  bridged_ = true;
  held_.clear();
  return true;
}

/// Splits what was held into prose, a call, and what follows it.
void FencedReader::give(AnswerEvents& events) {
  std::string before = std::move(held_);
  const size_t fence = before.find(kToolFence);
  if (fence != std::string::npos) {
    const size_t brace = before.find_first_not_of(" \t\r\n", fence + kToolFence.size());
    const std::string_view object =
        brace == std::string::npos ? std::string_view() : first_object(std::string_view(before).substr(brace));
    const auto call = read_fenced_call(object);
    if (call) {
      called_ = call->name;
      arguments_ = call->arguments;
      const size_t close = before.find("```", brace + object.size());
      after_ = close == std::string::npos ? "" : before.substr(close + 3);
      before.erase(fence);
    }
  }
  std::string out = quote_fenced_calls(before, !called_.empty(), quoted_);
  if (!called_.empty()) {
    out += given_call();
    if (!trimmed(after_).empty()) out += quote_fenced_calls(after_, false, quoted_);
  }
  add_event(events, Kind::content, out);
}

void FencedReader::finish(bool cut, AnswerEvents& events) {
  AnswerEvents native, inner;
  native_.finish(cut, native);
  take(native, events);
  hermes_.finish(cut, inner);
  take_inner(inner, events);
  for (const AnswerWarning& warning : native_.warnings()) warn(warning.code, warning.message);
  if (holding_ && !sent_ && take_whole_call())
    add_event(events, Kind::content, given_call());
  else
    give(events);
}

}  // namespace lancet
