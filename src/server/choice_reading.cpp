#include "server/choice_reading.h"

#include <fmt/format.h>

#include "base/hash.h"
#include "text/fenced_reader.h"

namespace lancet {
namespace json = boost::json;

using Kind = AnswerEvent::Kind;

ChoiceReading::ChoiceReading(std::shared_ptr<const AnswerPlan> plan, std::string name)
    : plan_(std::move(plan)), name_(std::move(name)), reader_(plan_->reader()) {
  auto* fenced = dynamic_cast<FencedReader*>(reader_.get());
  if (fenced && plan_->guard)
    fenced->set_guard(
        [this](std::string_view function, std::string_view arguments) { return refuse(function, arguments); });
}

std::vector<AnswerPart> ChoiceReading::take(const TextDelta& delta) {
  std::vector<AnswerPart> parts;
  if (!reader_) {
    if (!delta.text.empty()) parts.push_back({.text = delta.text});
    return parts;
  }
  AnswerEvents events;
  size_t at = 0;
  for (const ShownToken& shown : delta.shown) {
    reader_->text(std::string_view(delta.text).substr(at, shown.at - at), events);
    reader_->control(shown.token, events);
    at = shown.at;
  }
  reader_->text(std::string_view(delta.text).substr(at), events);
  read(events, parts);
  return parts;
}

std::vector<AnswerPart> ChoiceReading::finish(const Finished& finished) {
  std::vector<AnswerPart> parts;
  closed_early_ = finished.closed_early;
  if (!reader_) return parts;
  AnswerEvents events;
  reader_->finish(finished.reason == FinishReason::length, events);
  read(events, parts);
  return parts;
}

void ChoiceReading::read(const AnswerEvents& events, std::vector<AnswerPart>& parts) {
  for (const AnswerEvent& event : events) {
    if (plan_->guards == Guards::refuse && plan_->guard)
      read_refusing(event, parts);
    else
      read_event(event, parts);
  }
}

/// A call that may be refused is kept until it is whole.
void ChoiceReading::read_refusing(const AnswerEvent& event, std::vector<AnswerPart>& parts) {
  if (event.kind == Kind::content) return read_event(event, parts);
  waiting_.push_back(event);
  if (event.kind != Kind::call_end) return;
  std::string function, arguments;
  for (const AnswerEvent& part : waiting_) {
    if (part.kind == Kind::call) function = part.text;
    if (part.kind == Kind::arguments) arguments += part.text;
  }
  const std::string reason = refuse(function, arguments);
  if (reason.empty())
    for (const AnswerEvent& part : waiting_) read_event(part, parts);
  else
    parts.push_back({.kind = AnswerPart::Kind::refusal, .text = reason});
  waiting_.clear();
}

void ChoiceReading::read_event(const AnswerEvent& event, std::vector<AnswerPart>& parts) {
  switch (event.kind) {
    case Kind::content: parts.push_back({.text = event.text}); break;
    case Kind::call:
      function_ = event.text;
      arguments_.clear();
      parts.push_back({.kind = AnswerPart::Kind::call, .text = event.text, .call = calls_, .id = call_id(calls_)});
      calls_++;
      break;
    case Kind::arguments:
      if (plan_->guard) arguments_ += event.text;
      parts.push_back({.kind = AnswerPart::Kind::arguments, .text = event.text, .call = calls_ - 1});
      break;
    case Kind::call_end:
      if (plan_->guards == Guards::annotate) check(function_, arguments_);
      break;
  }
}

void ChoiceReading::check(std::string_view name, std::string_view arguments) {
  if (!plan_->guard) return;
  for (GuardFinding& finding : plan_->guard->check(name, arguments)) findings_.push_back(std::move(finding));
}

/// Why this call is not made; empty: it is.
std::string ChoiceReading::refuse(std::string_view name, std::string_view arguments) {
  const size_t before = findings_.size();
  check(name, arguments);
  if (findings_.size() == before || plan_->guards != Guards::refuse) return {};
  refused_++;
  return "Refused: " + findings_[before].message + ".";
}

/// The only form that every published template takes.
std::string ChoiceReading::call_id(int number) const {
  static constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  uint64_t hash = hash64(std::as_bytes(std::span(name_.data(), name_.size())), 0xca11);
  std::string id;
  // The last two digits number the calls, so that no two of an answer are the same.
  for (int i = 0; i < 7; i++, hash /= kDigits.size()) id += kDigits[hash % kDigits.size()];
  id += kDigits[static_cast<size_t>(number) / kDigits.size() % kDigits.size()];
  return id + kDigits[static_cast<size_t>(number) % kDigits.size()];
}

json::object ChoiceReading::report() const {
  json::object report;
  if (const auto* fenced = dynamic_cast<const FencedReader*>(reader_.get())) {
    json::object dialect{{"name", plan_->dialect}, {"inferred", plan_->inferred}};
    if (!fenced->called().empty()) {
      dialect["call"] = fenced->called();
      dialect["bridged"] = fenced->bridged();
    }
    if (fenced->quoted_blocks() > 0) dialect["quoted_blocks"] = fenced->quoted_blocks();
    report["dialect"] = std::move(dialect);
  }
  json::array guards, warnings;
  for (const GuardFinding& finding : findings_)
    guards.push_back(json::object{{"code", finding.code}, {"message", finding.message}});
  if (!guards.empty()) report["guards"] = std::move(guards);
  if (refused_ > 0) report["refused_calls"] = refused_;
  if (reader_)
    for (const AnswerWarning& warning : reader_->warnings())
      warnings.push_back(json::object{{"code", warning.code}, {"message", warning.message}});
  if (!warnings.empty()) report["warnings"] = std::move(warnings);
  if (closed_early_) report["closed_early"] = true;
  return report;
}

}  // namespace lancet
