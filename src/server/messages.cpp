// One reader for each shape. What old clients send (role function, function_call, functions) becomes what it is called
// today, here and nowhere else.
#include "server/messages.h"

#include <algorithm>

#include <fmt/format.h>

#include <boost/json/serialize.hpp>

namespace lancet {
namespace json = boost::json;
namespace {

constexpr size_t kMostNameBytes = 64;  // of a function: OpenAI's bound

template <size_t size>
bool one_of(std::string_view text, const std::string_view (&words)[size]) {
  return std::find(std::begin(words), std::end(words), text) != std::end(words);
}

ContentPart read_part(const JsonView& view) {
  const std::string_view type = view.at("type").string();
  if (type == "text") return {.text = std::string(view.at("text").string())};
  if (type == "refusal") return {.text = std::string(view.at("refusal").string())};
  if (type == "image_url" || type == "input_image" || type == "image")
    throw Error(Fault::unsupported, view.path() + " is an image; this model as served here takes no images",
                view.path());
  throw Error(Fault::unsupported, fmt::format("{} has the type {}, wanted text", view.path(), quoted(type)),
              view.path());
}

void read_content(const JsonView& view, const ServerLimits& limits, ChatMessage& message) {
  if (view.value().is_string()) {
    message.content.push_back({.text = std::string(view.string())});
    return;
  }
  if (!view.value().is_array()) view.fail("a string or an array of parts");
  check_count(view, limits.content_parts);
  message.content_is_list = true;
  for (size_t i = 0; i < view.size(); i++) message.content.push_back(read_part(view.element(i)));
}

std::string_view read_name(const JsonView& function) {
  const JsonView name = function.at("name");
  if (name.string().empty() || name.string().size() > kMostNameBytes)
    name.fail(fmt::format("a name of 1 to {} bytes", kMostNameBytes));
  return name.string();
}

void read_function(const JsonView& function, ToolCall& call) {
  call.name = std::string(function.at("name").string());
  // A string by the contract; some clients replay the object itself.
  if (const auto arguments = function.find("arguments"))
    call.arguments =
        arguments->value().is_object() ? json::serialize(arguments->value()) : std::string(arguments->string());
}

ToolCall read_tool_call(const JsonView& view) {
  ToolCall call;
  if (const auto id = view.find("id")) call.id = std::string(id->string());
  if (const auto type = view.find("type"); type && type->string() != "function") type->fail("function");
  read_function(view.at("function"), call);
  return call;
}

/// An id for a call that has none: nine letters and digits, the only form that every published template takes.
std::string made_id(size_t number) { return fmt::format("call{:05}", number % 100'000); }

void read_calls(const JsonView& view, size_t index, const ServerLimits& limits, ChatMessage& message) {
  if (const auto calls = view.find("tool_calls")) {
    check_count(*calls, limits.tools);
    for (size_t i = 0; i < calls->size(); i++) message.tool_calls.push_back(read_tool_call(calls->element(i)));
  }
  if (const auto call = view.find("function_call")) {
    ToolCall made{.id = made_id(index)};
    read_function(*call, made);
    message.tool_calls.push_back(std::move(made));
  }
}

/// The result of an old function call answers the last call of that name.
void adopt_function_role(ChatMessage& message, const std::vector<ChatMessage>& before) {
  message.role = "tool";
  for (auto earlier = before.rbegin(); earlier != before.rend() && message.tool_call_id.empty(); ++earlier)
    for (const ToolCall& call : earlier->tool_calls)
      if (call.name == message.name) message.tool_call_id = call.id;
  if (message.tool_call_id.empty()) message.tool_call_id = made_id(before.size());
}

/// What each role must have.
void check_message(const JsonView& view, const ChatMessage& message, bool has_content) {
  if (message.role == "assistant") {
    if (!has_content && message.tool_calls.empty())
      throw Error(Fault::bad_request, view.path() + " has neither content nor tool_calls, wanted one of them",
                  view.path() + ".content");
    return;
  }
  if (!has_content) view.at("content").fail("a string or an array of parts");
  if (message.role == "tool") view.at("tool_call_id");
  if (message.role == "function") view.at("name");
  if (!message.tool_calls.empty())
    throw Error(Fault::bad_request, view.path() + " has tool_calls, which only the assistant makes",
                view.path() + ".tool_calls");
}

ChatMessage read_message(const JsonView& view, const std::vector<ChatMessage>& before, const ServerLimits& limits,
                         std::vector<std::string>& ignored) {
  static constexpr std::string_view kRoles[] = {"system", "developer", "user", "assistant", "tool", "function"};
  static constexpr std::string_view kKnown[] = {"role",         "content",       "name",   "tool_calls",
                                                "tool_call_id", "function_call", "refusal"};
  ChatMessage message;
  const JsonView role = view.at("role");
  message.role = std::string(role.string());
  if (!one_of(message.role, kRoles)) role.fail("system, developer, user, assistant, tool or function");
  const auto content = view.find("content");
  const auto refusal = view.find("refusal");
  if (content)
    read_content(*content, limits, message);
  else if (refusal)
    message.content.push_back({.text = std::string(refusal->string())});
  if (const auto name = view.find("name")) message.name = std::string(name->string());
  if (const auto id = view.find("tool_call_id")) message.tool_call_id = std::string(id->string());
  read_calls(view, before.size(), limits, message);
  check_message(view, message, content || refusal);
  if (message.role == "function") adopt_function_role(message, before);
  for (const auto& [key, value] : view.object())
    if (!value.is_null() && !one_of(key, kKnown)) ignored.push_back(view.path() + "." + std::string(key));
  return message;
}

void check_function(const JsonView& function) {
  read_name(function);
  if (const auto description = function.find("description")) description->string();
  if (const auto parameters = function.find("parameters")) parameters->object();
  if (const auto strict = function.find("strict")) strict->boolean();
}

json::value read_tools(const FieldReader& reader) {
  const auto tools = reader.list("tools");
  const auto functions = reader.list("functions");
  if (tools && functions && tools->size() > 0 && functions->size() > 0)
    throw Error(Fault::bad_request, "functions is the old form of tools, wanted only one of them", "functions");
  json::array all;
  for (size_t i = 0; tools && i < tools->size(); i++) {
    const JsonView tool = tools->element(i);
    const JsonView type = tool.at("type");
    if (type.string() != "function") type.fail("function");
    check_function(tool.at("function"));
    all.push_back(tool.value());
  }
  for (size_t i = 0; functions && i < functions->size(); i++) {
    check_function(functions->element(i));
    all.push_back(json::object{{"type", "function"}, {"function", functions->element(i).value()}});
  }
  // "none" is kept by not telling the model of any tool.
  for (const std::string_view name : {"tool_choice", "function_call"}) {
    const auto choice = reader.find(name);
    if (choice && choice->value() == json::value("none")) return nullptr;
  }
  if (all.empty()) return nullptr;
  return all;
}

json::object read_variables(const FieldReader& reader) {
  static constexpr std::string_view kTaken[] = {"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"};
  static constexpr std::string_view kEfforts[] = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};
  static constexpr std::string_view kVerbosities[] = {"low", "medium", "high"};
  json::object variables;
  if (const auto given = reader.find("chat_template_kwargs")) {
    variables = given->object();
    check_count(*given, reader.limits().template_variables);
    for (const std::string_view name : kTaken)
      if (variables.contains(name))
        throw Error(Fault::bad_request,
                    fmt::format("chat_template_kwargs has {}, which the request says in a field of its own", name),
                    "chat_template_kwargs." + std::string(name));
  }
  if (const auto effort = reader.find("reasoning_effort")) {
    if (!one_of(effort->string(), kEfforts)) effort->fail("none, minimal, low, medium, high, xhigh or max");
    variables["reasoning_effort"] = effort->value();
  }
  if (const auto verbosity = reader.find("verbosity")) {
    if (!one_of(verbosity->string(), kVerbosities)) verbosity->fail("low, medium or high");
    variables["verbosity"] = verbosity->value();
  }
  return variables;
}

void read_ending(const FieldReader& reader, Conversation& conversation) {
  conversation.continue_final = reader.flag("continue_final_message", false);
  conversation.add_generation_prompt = reader.flag("add_generation_prompt", !conversation.continue_final);
  if (!conversation.continue_final) return;
  const ChatMessage& last = conversation.messages.back();
  const std::string& role = last.role;
  if (conversation.add_generation_prompt || role != "assistant" || last.content.empty() || !last.tool_calls.empty())
    throw Error(Fault::bad_request,
                "continue_final_message wants a last message of the assistant with text, without tool_calls, and no "
                "add_generation_prompt",
                "continue_final_message");
}

}  // namespace

Conversation read_conversation(const FieldReader& reader, std::vector<std::string>& ignored) {
  Conversation conversation;
  const JsonView messages = reader.root().at("messages");
  if (messages.size() == 0 || messages.size() > reader.limits().messages)
    messages.fail(fmt::format("1 to {} messages", reader.limits().messages));
  for (size_t i = 0; i < messages.size(); i++)
    conversation.messages.push_back(read_message(messages.element(i), conversation.messages, reader.limits(), ignored));
  conversation.tools = read_tools(reader);
  conversation.variables = read_variables(reader);
  read_ending(reader, conversation);
  return conversation;
}

}  // namespace lancet
