#include "text/call_object.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"

namespace lancet {

bool decode_json_string(std::string_view json, std::string& out) {
  try {
    Budget budget("a string");  // its size bounds the work
    const boost::json::value value = parse_json(json, "a string", {.fault = Fault::bad_request}, budget);
    if (!value.is_string()) return false;
    out = std::string(value.get_string());
    return true;
  } catch (const Error&) {
    return false;
  }
}

bool is_function_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  });
}

CallObject::State CallObject::push(char c, AnswerEvents& events) {
  if (at_ == At::open) {
    at_ = At::before_key;
    return c == '{' ? State::reading : fail();
  }
  if (at_ == At::key) return take_key(c);
  if (at_ == At::value) return take_value(c, events);
  if (JsonSpan::is_space(c)) return State::reading;
  switch (at_) {
    case At::before_key:
      if (c != '"') return fail();
      at_ = At::key;
      span_ = {};
      held_.clear();
      return take_key(c);
    case At::colon:
      if (c != ':') return fail();
      at_ = At::before_value;
      return State::reading;
    case At::before_value:
      at_ = At::value;
      span_ = {};
      held_.clear();
      // A string, or what comes before the name, is held until it is complete.
      streams_ = member_ == Member::arguments && has_name_ && c == '{';
      if (member_ == Member::arguments && c != '{' && c != '"' && c != 'n') return fail();
      if (streams_) begin(events);
      return take_value(c, events);
    default: return take_separator(c, events);
  }
}

CallObject::State CallObject::take_key(char c) {
  held_ += c;
  const JsonSpan::Step step = span_.push(c);
  if (step == JsonSpan::Step::broken) return fail();
  if (step != JsonSpan::Step::last) return State::reading;
  at_ = At::colon;
  return choose_member() ? State::reading : fail();
}

/// False for a member that was there before.
bool CallObject::choose_member() {
  std::string key;
  if (!decode_json_string(held_, key)) return false;
  member_ = key == "name"                               ? Member::name
            : key == "arguments" || key == "parameters" ? Member::arguments
                                                        : Member::other;
  return !(member_ == Member::name && has_name_) && !(member_ == Member::arguments && has_arguments_);
}

CallObject::State CallObject::take_value(char c, AnswerEvents& events) {
  const JsonSpan::Step step = span_.push(c);
  if (step == JsonSpan::Step::broken) return fail();
  if (step != JsonSpan::Step::after) {
    if (streams_)
      add_event(events, AnswerEvent::Kind::arguments, {&c, 1});
    else if (member_ != Member::other)
      held_ += c;
    if (step == JsonSpan::Step::inside) return State::reading;
  }
  if (end_value(events) == State::broken) return fail();
  at_ = At::after_value;
  if (step == JsonSpan::Step::last || JsonSpan::is_space(c)) return State::reading;
  return take_separator(c, events);
}

CallObject::State CallObject::end_value(AnswerEvents& events) {
  if (member_ == Member::name) {
    if (!decode_json_string(held_, name_) || !is_function_name(name_)) return fail();
    has_name_ = true;
  } else if (member_ == Member::arguments) {
    has_arguments_ = true;
    if (streams_) return State::reading;
    arguments_ = held_;
    if (held_ == "null") arguments_ = "{}";
    if (held_.front() == '"' && !decode_json_string(held_, arguments_)) return fail();
    if (held_.front() == 'n' && held_ != "null") return fail();
  }
  if (has_name_ && has_arguments_ && !begun_) {
    begin(events);
    add_event(events, AnswerEvent::Kind::arguments, arguments_);
  }
  return State::reading;
}

CallObject::State CallObject::take_separator(char c, AnswerEvents& events) {
  if (c == ',') {
    at_ = At::before_key;
    return State::reading;
  }
  if (c != '}' || !has_name_) return fail();
  if (!begun_) {  // a call without arguments
    begin(events);
    add_event(events, AnswerEvent::Kind::arguments, "{}");
  }
  add_event(events, AnswerEvent::Kind::call_end);
  return State::done;
}

void CallObject::begin(AnswerEvents& events) {
  begun_ = true;
  add_event(events, AnswerEvent::Kind::call, name_);
}

}  // namespace lancet
