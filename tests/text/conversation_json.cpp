// Conversations from JSON. See conversation_json.h.
#include "conversation_json.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "base/mapped_file.h"
#include "support/paths.h"

namespace lancet::test {
namespace json = boost::json;
namespace {

std::string text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

ChatMessage message_of(const json::object& from) {
  ChatMessage message;
  message.role = text_of(from, "role");
  message.tool_call_id = text_of(from, "tool_call_id");
  message.name = text_of(from, "name");
  const json::value* content = from.if_contains("content");
  if (content && content->is_string()) message.content = {{ContentPart::Kind::text, text_of(from, "content")}};
  if (content && content->is_array()) {
    message.content_is_list = true;
    for (const auto& part : content->get_array()) {
      const bool is_text = part.at("type") == "text";
      message.content.push_back({is_text ? ContentPart::Kind::text : ContentPart::Kind::image,
                                 is_text ? text_of(part.as_object(), "text") : ""});
    }
  }
  if (const json::value* calls = from.if_contains("tool_calls")) {
    for (const auto& call : calls->as_array()) {
      const auto& function = call.at("function").as_object();
      const json::value& arguments = function.at("arguments");
      message.tool_calls.push_back(
          {text_of(call.as_object(), "id"), text_of(function, "name"),
           arguments.is_string() ? text_of(function, "arguments") : json::serialize(arguments)});
    }
  }
  return message;
}

}  // namespace

Conversation conversation_of(const json::value& body) {
  Conversation conversation;
  for (const auto& message : body.at("messages").as_array())
    conversation.messages.push_back(message_of(message.as_object()));
  if (const json::value* tools = body.as_object().if_contains("tools")) conversation.tools = *tools;
  if (const json::value* prompt = body.as_object().if_contains("add_generation_prompt")) {
    conversation.add_generation_prompt = prompt->as_bool();
  }
  return conversation;
}

Conversation conversation_from(std::string_view body) { return conversation_of(json::parse(body)); }

std::string marked(const RenderedPrompt& prompt) {
  std::string text;
  for (const PromptPiece& piece : prompt.pieces) text += piece.trusted ? piece.text : "«" + piece.text + "»";
  return text;
}

std::string plain(const RenderedPrompt& prompt) {
  std::string text;
  for (const PromptPiece& piece : prompt.pieces) text += piece.text;
  return text;
}

ChatTemplate project_template(const std::string& name) {
  const std::string source = read_text_file(data_path("templates/" + name + ".jinja"), 1u << 20);
  const bool chatml = name == "chatml";
  return ChatTemplate(source, chatml ? "<|im_start|>" : "<s>", chatml ? "<|im_end|>" : "</s>");
}

}  // namespace lancet::test
