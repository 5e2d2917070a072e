// A machine over bytes and control tokens. Textual markers have their first character only once, so a mismatch can
// only restart at the byte that mismatched.
#include "text/call_reader.h"

#include <fmt/format.h>

#include "base/error.h"

namespace lancet {

using Kind = AnswerEvent::Kind;

void CallReader::text(std::string_view text, AnswerEvents& events) {
  for (const char c : text) take(c, events);
}

void CallReader::take(char c, AnswerEvents& events) {
  switch (at_) {
    case At::prose: return take_prose(c, events);
    case At::start: return take_start(c, events);
    case At::name:
    case At::call_id: return take_name(c, events);
    case At::arguments: return take_arguments(c, events);
    case At::inside: return take_inside(c, events);
    case At::object: return take_object(c, events);
    case At::after_object: return take_after_object(c, events);
  }
}

bool CallReader::matches(std::initializer_list<const Marker*> markers, char c, const Marker*& found) {
  found = nullptr;
  const std::string longer = matched_ + c;
  bool goes_on = false;
  for (const Marker* marker : markers) {
    if (marker->id || !marker->text.starts_with(longer)) continue;
    goes_on = true;
    if (marker->text.size() == longer.size()) found = marker;
  }
  if (goes_on) matched_ = found ? "" : longer;
  return goes_on;
}

void CallReader::content(std::string_view text, AnswerEvents& events) {
  if (text.empty()) return;
  add_event(events, Kind::content, space_);
  space_.clear();
  open_ = true;
  add_event(events, Kind::content, text);
}

void CallReader::begin_prose() {
  at_ = At::prose;
  in_list_ = false;
  open_ = false;
  held_.clear();
  matched_.clear();
  space_.clear();
}

void CallReader::take_prose(char c, AnswerEvents& events) {
  const Marker* found = nullptr;
  if (matches({&syntax_.begin}, c, found)) {
    if (found) begin_call();
    return;
  }
  if (!matched_.empty()) {
    content(matched_, events);
    matched_.clear();
    return take_prose(c, events);
  }
  if (c == '{' && syntax_.form == CallForm::llama && !open_) {
    held_.clear();
    return begin_object(c, events);
  }
  if (!open_ && JsonSpan::is_space(c))
    space_ += c;
  else
    content({&c, 1}, events);
}

void CallReader::begin_call() {
  at_ = At::start;
  in_list_ = false;
  held_ = syntax_.begin.text;
  matched_.clear();
  name_.clear();
}

void CallReader::take_start(char c, AnswerEvents& events) {
  const bool mistral = syntax_.form == CallForm::mistral || syntax_.form == CallForm::mistral_list;
  if (JsonSpan::is_space(c) || (in_list_ && c == ',')) {
    if (!in_list_ || !any_call_) held_ += c;
  } else if (in_list_ && c == ']') {
    begin_prose();
  } else if (mistral && !in_list_ && c == '[') {
    held_ += c;
    in_list_ = true;
  } else if (c == '{') {
    begin_object(c, events);
  } else if (mistral && !in_list_) {
    at_ = At::name;
    take_name(c, events);
  } else {
    held_ += c;
    give_up(events);
  }
}

void CallReader::take_name(char c, AnswerEvents& events) {
  held_ += c;
  const Marker* found = nullptr;
  if (matches({&syntax_.arguments, &syntax_.call_id}, c, found)) {
    if (found) at_ = found == &syntax_.arguments ? At::arguments : At::call_id;
    return;
  }
  if (c == '{' && matched_.empty()) {
    held_.pop_back();
    at_ = At::arguments;
    return take_arguments(c, events);
  }
  if (at_ == At::call_id && matched_.empty() && held_.size() < 256) return;
  name_ += c;
  const size_t end = name_.find_last_not_of(" \n\t\r");
  if (!matched_.empty() || !is_function_name(name_.substr(0, end + 1))) give_up(events);
}

void CallReader::take_arguments(char c, AnswerEvents& events) {
  held_ += c;
  if (JsonSpan::is_space(c)) return;
  name_.erase(name_.find_last_not_of(" \n\t\r") + 1);
  if (c != '{' || !is_function_name(name_)) return give_up(events);
  at_ = At::inside;
  span_ = {};
  any_call_ = true;
  space_.clear();
  add_event(events, Kind::call, name_);
  take_inside(c, events);
}

void CallReader::take_inside(char c, AnswerEvents& events) {
  add_event(events, Kind::arguments, {&c, 1});
  const JsonSpan::Step step = span_.push(c);
  if (step == JsonSpan::Step::inside) return;
  if (step == JsonSpan::Step::broken)
    warn("tool_arguments_invalid", fmt::format("the arguments of {} are not JSON", quoted(name_)));
  add_event(events, Kind::call_end);
  begin_prose();
}

void CallReader::begin_object(char c, AnswerEvents& events) {
  at_ = At::object;
  object_ = {};
  take_object(c, events);
}

void CallReader::take_object(char c, AnswerEvents& events) {
  if (!object_.begun()) held_ += c;
  const CallObject::State state = object_.push(c, events);
  if (object_.begun()) {
    any_call_ = true;
    space_.clear();
    held_.clear();
  }
  if (state == CallObject::State::broken) give_up(events);
  if (state != CallObject::State::done) return;
  at_ = in_list_ ? At::start : At::after_object;
  held_.clear();
}

void CallReader::take_after_object(char c, AnswerEvents& events) {
  const Marker* found = nullptr;
  if (matches({&syntax_.end, &syntax_.begin}, c, found)) {
    if (found == &syntax_.end) begin_prose();
    if (found == &syntax_.begin) begin_call();
    return;
  }
  if (matched_.empty() && (JsonSpan::is_space(c) || (c == ';' && syntax_.form == CallForm::llama))) return;
  if (matched_.empty() && c == '{') return begin_object(c, events);
  const std::string rest = matched_;
  begin_prose();
  content(rest, events);
  take_prose(c, events);
}

void CallReader::control(TokenId id, AnswerEvents& events) {
  if (id == syntax_.begin.id) {
    if (at_ != At::prose && at_ != At::after_object) give_up(events);
    if (!matched_.empty()) content(matched_, events);
    return begin_call();
  }
  if (id == syntax_.end.id) {
    if (at_ == At::after_object) return begin_prose();
    if (at_ != At::prose) give_up(events);
    return;
  }
  if (at_ != At::name && at_ != At::call_id) return;
  if (id == syntax_.arguments.id) at_ = At::arguments;
  if (id == syntax_.call_id.id) at_ = At::call_id;
  held_ += id == syntax_.arguments.id ? syntax_.arguments.text : syntax_.call_id.text;
}

/// This is no call, or it was one until here.
void CallReader::give_up(AnswerEvents& events) {
  const bool sent = at_ == At::inside || (at_ == At::object && object_.begun());
  std::string rest = std::move(held_);
  std::string space = std::move(space_);
  if (sent) {
    warn("tool_arguments_invalid", "a call ended before its arguments did");
    add_event(events, Kind::call_end);
    begin_prose();
    return;
  }
  // In a list only what follows the last call that was read is left.
  warn("tool_call_unparsed", fmt::format("{} cannot be read as a call; it is in the content", quoted(rest, 60)));
  begin_prose();
  space_ = std::move(space);
  content(rest, events);
}

void CallReader::finish(bool cut, AnswerEvents& events) {
  if (at_ == At::prose) {
    if (!matched_.empty()) return content(matched_, events);
    if (!any_call_) add_event(events, Kind::content, space_);
    return;
  }
  if (at_ == At::after_object || (at_ == At::start && in_list_ && held_.empty())) return;
  const bool sent = at_ == At::inside || (at_ == At::object && object_.begun());
  if (sent && cut) return add_event(events, Kind::call_end);
  give_up(events);
}

}  // namespace lancet
