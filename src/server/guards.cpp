#include "server/guards.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "base/error.h"
#include "text/fenced_text.h"
#include "text/json_span.h"

namespace lancet {
namespace json = boost::json;
namespace {

constexpr size_t kMostUntrusted = 4 << 20;  // bytes of results that are compared; the latest count
constexpr size_t kCopiedBytes = 16;         // a shorter command is nobody's in particular
constexpr std::string_view kResultSign = "Tool result:";
constexpr int kDepth = 64, kMostUnclosed = 64;

json::value parsed(std::string_view text) {
  json::parse_options options;
  options.max_depth = kDepth;
  boost::system::error_code failed;
  json::value value = json::parse(text, failed, {}, options);
  return failed ? json::value() : value;
}

/// Depth is bounded by parsed().
json::value sorted(const json::value& value) {
  if (const json::array* array = value.if_array()) {
    json::array out;
    for (const json::value& element : *array) out.push_back(sorted(element));
    return out;
  }
  const json::object* object = value.if_object();
  if (!object) return value;
  std::vector<json::string_view> keys;
  for (const auto& member : *object) keys.push_back(member.key());
  std::sort(keys.begin(), keys.end());
  json::object out;
  for (const json::string_view key : keys) out[key] = sorted(object->at(key));
  return out;
}

bool contains(std::string_view text, std::string_view part) {
  return memmem(text.data(), text.size(), part.data(), part.size()) != nullptr;  // linear, whatever the texts are
}

std::string text_of(const ChatMessage& message) {
  std::string text;
  for (const ContentPart& part : message.content) text += part.text;
  return text;
}

const std::string* string_member(const json::object& object, std::string_view key, std::string& into) {
  const json::value* value = object.if_contains(key);
  if (!value || !value->is_string()) return nullptr;
  into = std::string(value->get_string());
  return &into;
}

/// A replacement of a text by itself.
bool replaces_nothing(const json::object& arguments) {
  static constexpr std::pair<std::string_view, std::string_view> kPairs[] = {
      {"old", "new"},           {"old_string", "new_string"}, {"old_str", "new_str"},
      {"old_text", "new_text"}, {"search", "replace"},        {"before", "after"},
      {"from", "to"},           {"find", "replace"},          {"source", "destination"}};
  return std::any_of(std::begin(kPairs), std::end(kPairs), [&](const auto& pair) {
    const json::value* a = arguments.if_contains(pair.first);
    const json::value* b = arguments.if_contains(pair.second);
    return a && b && a->is_string() && *a == *b;
  });
}

/// Every object in the text that reads as a call, also inside of other text.
template <typename Take>
void for_each_call(std::string_view text, Budget& budget, Take take) {
  int unclosed = 0;
  for (size_t at = text.find('{'); unclosed < kMostUnclosed && at != std::string_view::npos;
       at = text.find('{', at + 1)) {
    // Only what begins as a call does: everything else would make this quadratic.
    const size_t key = text.find_first_not_of(" \t\r\n", at + 1);
    if (key == std::string_view::npos || text[key] != '"') continue;
    const std::string_view rest = text.substr(key + 1, 10);
    if (!rest.starts_with("name\"") && !rest.starts_with("tool\"") && !rest.starts_with("tool_name\"")) continue;
    JsonSpan span;
    size_t end = at;
    JsonSpan::Step step = JsonSpan::Step::inside;
    while (end < text.size() && step == JsonSpan::Step::inside) step = span.push(text[end++]);
    budget.step(end - at);
    if (step != JsonSpan::Step::last) {
      unclosed++;
      continue;
    }
    if (const auto call = read_fenced_call(text.substr(at, end - at))) take(*call);
    at = end - 1;
  }
}

}  // namespace

std::string canonical_call(std::string_view name, std::string_view arguments) {
  const json::value value = parsed(arguments);
  return std::string(name) + '\0' + (value.is_null() ? std::string(arguments) : json::serialize(sorted(value)));
}

CallGuard::CallGuard(const Conversation& conversation, bool fenced, Budget& budget) {
  std::vector<FencedCall> open;  // calls whose results have not come yet
  for (const ChatMessage& message : conversation.messages) {
    const std::string text = text_of(message);
    budget.step(text.size());
    if (message.role == "assistant") {
      open.clear();
      for (const ToolCall& call : message.tool_calls) open.push_back({call.name, call.arguments});
      const size_t fence = fenced ? text.find("```tool") : std::string::npos;
      if (fence != std::string::npos)
        for_each_call(std::string_view(text).substr(fence), budget,
                      [&](const FencedCall& call) { open.push_back(call); });
      continue;
    }
    if (message.role != "tool" && !(fenced && message.role == "user" && text.starts_with(kResultSign))) {
      trusted_ += text;
      trusted_ += '\n';
      continue;
    }
    std::string_view result = text;
    if (message.role == "user") result.remove_prefix(kResultSign.size());
    if (!open.empty()) {
      add_call(open.front().name, open.front().arguments, result);
      open.erase(open.begin());
    }
    add_result(result, budget);
  }
}

void CallGuard::add_call(std::string_view name, std::string_view arguments, std::string_view result) {
  last_ = canonical_call(name, arguments);
  Past& past = past_[last_];
  past.same_result = past.count == 0 || (past.same_result && past.result == result);
  past.count++;
  past.result = result;
  const json::value value = parsed(arguments);
  std::string path;
  std::string content;
  const json::object* object = value.if_object();
  if (!object || !string_member(*object, "path", path)) return;
  if (object->size() == 1) read_[path] = result;
  if (string_member(*object, "content", content)) read_[path] = content;
}

void CallGuard::add_result(std::string_view text, Budget& budget) {
  for_each_call(text, budget,
                [&](const FencedCall& call) { offered_.insert(canonical_call(call.name, call.arguments)); });
  untrusted_ += text;
  untrusted_ += '\n';
  if (untrusted_.size() > kMostUntrusted) untrusted_.erase(0, untrusted_.size() - kMostUntrusted);
}

std::vector<GuardFinding> CallGuard::check(std::string_view name, std::string_view arguments) const {
  std::vector<GuardFinding> findings;
  const std::string canonical = canonical_call(name, arguments);
  const auto past = past_.find(canonical);
  if (past != past_.end() && past->second.same_result && (past->second.count >= 2 || canonical == last_))
    findings.push_back(
        {"repeated_call", fmt::format("this call of {} was made {} before, with the same result", quoted(name),
                                      past->second.count == 1 ? "once" : "several times")});
  const json::value value = parsed(arguments);
  const json::object* object = value.if_object();
  if (!object) return findings;
  std::string path, content;
  const bool writes = string_member(*object, "path", path) && string_member(*object, "content", content);
  const auto read = writes ? read_.find(path) : read_.end();
  if (replaces_nothing(*object) || (read != read_.end() && read->second == content))
    findings.push_back({"no_op", fmt::format("this call of {} changes nothing", quoted(name))});
  bool copied = offered_.contains(canonical);
  for (const std::string_view key : {"command", "cmd", "script", "code"})
    if (std::string text; string_member(*object, key, text) && text.size() >= kCopiedBytes)
      copied |= contains(untrusted_, text) && !contains(trusted_, text);
  if (copied)
    findings.push_back(
        {"copied_call", fmt::format("this call of {} stands word for word in the result of a tool", quoted(name))});
  return findings;
}

}  // namespace lancet
