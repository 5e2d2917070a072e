// Messages, calls and tools as Jinja values. See chat_values.h.
#include "text/chat_values.h"

#include "base/error.h"
#include "base/json.h"

namespace lancet {
namespace json = boost::json;
namespace {

using Entries = std::vector<std::pair<JinjaValue, JinjaValue>>;

JinjaValue ours(std::string_view text) { return JinjaValue::string(text, true); }
JinjaValue theirs(std::string_view text) { return JinjaValue::string(text, false); }

/// True if a number of the JSON text has more digits than a 64-bit integer keeps: printed again it would be another
/// one.
bool has_long_numbers(std::string_view text) {
  constexpr size_t kExactDigits = 18;
  bool in_string = false;
  size_t digits = 0;
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] == '"') in_string = !in_string;
    if (in_string && text[i] == '\\') i++;
    const bool digit = !in_string && text[i] >= '0' && text[i] <= '9';
    digits = digit ? digits + 1 : 0;
    if (digits > kExactDigits) return true;
  }
  return false;
}

/// Arguments as an object, because templates print them as JSON; as the text they were sent as if they are no object.
JinjaValue arguments_value(const std::string& text, const TemplateTraits& traits, Budget& budget) {
  if (!traits.object_arguments || has_long_numbers(text)) return theirs(text);
  try {
    const json::value parsed = parse_json(text, "arguments", {.fault = Fault::bad_request}, budget);
    if (parsed.is_object()) return JinjaValue::from_json(parsed, false);
  } catch (const Error& error) {
    if (error.fault() != Fault::bad_request) throw;
  }
  return theirs(text);
}

JinjaValue call_value(const ToolCall& call, const TemplateTraits& traits, Budget& budget) {
  Entries function;
  function.emplace_back(ours("name"), theirs(call.name));
  function.emplace_back(ours("arguments"), arguments_value(call.arguments, traits, budget));
  Entries entries;
  entries.emplace_back(ours("id"), theirs(call.id));
  entries.emplace_back(ours("type"), ours("function"));
  entries.emplace_back(ours("function"), JinjaValue::dict(std::move(function)));
  return JinjaValue::dict(std::move(entries));
}

JinjaValue content_value(const ChatMessage& message) {
  if (!message.content_is_list) return theirs(message.content.empty() ? "" : message.content[0].text);
  std::vector<JinjaValue> parts;
  for (const ContentPart& part : message.content) {
    Entries entries;
    entries.emplace_back(ours("type"), ours(part.kind == ContentPart::Kind::image ? "image" : "text"));
    if (part.kind == ContentPart::Kind::text) entries.emplace_back(ours("text"), theirs(part.text));
    parts.push_back(JinjaValue::dict(std::move(entries)));
  }
  return JinjaValue::list(std::move(parts));
}

JinjaValue message_value(const ChatMessage& message, const TemplateTraits& traits, Budget& budget) {
  budget.step();
  Entries entries;
  entries.emplace_back(ours("role"), theirs(message.role));
  entries.emplace_back(ours("content"), content_value(message));
  if (!message.tool_calls.empty()) {
    std::vector<JinjaValue> calls;
    for (const ToolCall& call : message.tool_calls) calls.push_back(call_value(call, traits, budget));
    entries.emplace_back(ours("tool_calls"), JinjaValue::list(std::move(calls)));
  }
  if (!message.tool_call_id.empty()) entries.emplace_back(ours("tool_call_id"), theirs(message.tool_call_id));
  if (!message.name.empty()) entries.emplace_back(ours("name"), theirs(message.name));
  return JinjaValue::dict(std::move(entries));
}

}  // namespace

// Control characters: no person types them, and no published template does anything to them.
const std::string kBridgeMarker = "\x02lancet bridge\x03";

MarkedText ChatRenderer::render(const NormalConversation& normal, size_t count, const Conversation& sent,
                                const TemplateTraits& traits, Budget& budget) const {
  std::vector<JinjaValue> messages;
  messages.reserve(count);
  for (size_t i = 0; i < count; i++) messages.push_back(message_value(normal.messages[i].message, traits, budget));
  JinjaTemplate::Variables variables;
  for (const auto& [name, value] : sent.variables)
    variables.emplace_back(std::string(name), JinjaValue::from_json(value, false));
  variables.emplace_back("messages", JinjaValue::list(std::move(messages)));
  variables.emplace_back("tools", JinjaValue::from_json(sent.tools, false));
  variables.emplace_back("add_generation_prompt", JinjaValue::boolean(sent.add_generation_prompt));
  variables.emplace_back("bos_token", ours(bos));
  variables.emplace_back("eos_token", ours(eos));
  return compiled.render(std::move(variables), {.limits = limits, .now = now}, budget);
}

std::optional<MarkedText> cut_bridges(const MarkedText& text, const std::string& eos, size_t bridges) {
  const std::string cut = kBridgeMarker + eos;
  MarkedText result;
  size_t begin = 0;
  for (size_t at = text.str().find(kBridgeMarker); at != std::string::npos;
       at = text.str().find(kBridgeMarker, begin), bridges--) {
    if (bridges == 0 || text.str().compare(at, cut.size(), cut) != 0) return std::nullopt;
    result.append_slice(text, begin, at);
    begin = at + cut.size();
  }
  if (bridges != 0) return std::nullopt;
  result.append_slice(text, begin, text.size());
  return result;
}

}  // namespace lancet
