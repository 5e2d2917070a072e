// The steps of normalisation. See chat_normalise.h; docs/chat.md explains them to users.
#include "text/chat_normalise.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"

namespace lancet {
namespace {

constexpr std::string_view kBetweenMessages = "\n\n";
constexpr std::string_view kBetweenParts = "\n";  // as vLLM and llama.cpp join the text parts of one message

bool has_image(const ChatMessage& message) {
  return std::any_of(message.content.begin(), message.content.end(),
                     [](const ContentPart& part) { return part.kind == ContentPart::Kind::image; });
}

/// Appends parts; where text meets text, a separator stands between.
void append_content(ChatMessage& into, const ChatMessage& from, std::string_view separator) {
  for (size_t i = 0; i < from.content.size(); i++) {
    const ContentPart& part = from.content[i];
    const bool text_meets_text = !into.content.empty() && part.kind == ContentPart::Kind::text &&
                                 into.content.back().kind == ContentPart::Kind::text;
    const bool border = i == 0 || !from.content_is_list;
    if (!text_meets_text || !border) {
      into.content.push_back(part);
      continue;
    }
    std::string& text = into.content.back().text;
    if (!text.empty() && !part.text.empty()) text += separator;
    text += part.text;
  }
  into.content_is_list |= from.content_is_list;
}

/// Makes the content one string; the number of parts that had to be joined.
size_t flatten(ChatMessage& message) {
  const size_t parts = message.content.size();
  if (parts > 0) {
    std::string text = message.content[0].text;
    for (size_t i = 1; i < parts; i++) text.append(kBetweenParts).append(message.content[i].text);
    message.content = {{ContentPart::Kind::text, std::move(text)}};
  }
  message.content_is_list = false;
  return parts;
}

/// `conversation` names roles as they were sent.
void check_images(const ChatMessage& message, size_t index, bool user_lists) {
  if (!has_image(message) || (message.role == "user" && user_lists)) return;
  const std::string problem = message.role == "user" ? "the model's chat template has no place for images"
                                                     : "only user messages may hold images";
  throw Error(Fault::bad_request, fmt::format("{}: {}", message_place(index, message.role), problem),
              fmt::format("messages[{}]", index));
}

}  // namespace

std::string message_place(size_t index, const std::string& role) {
  const bool plain = !role.empty() && role.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos;
  return fmt::format("messages[{}] (role {})", index, plain ? role : quoted(role, 40));
}

NormalConversation contract_form(const Conversation& conversation, bool user_lists) {
  NormalConversation normal;
  normal.messages.reserve(conversation.messages.size());
  for (size_t i = 0; i < conversation.messages.size(); i++) {
    ChatMessage message = conversation.messages[i];
    check_images(message, i, user_lists);
    const std::string place = message_place(i, message.role);
    if (message.role == "developer") {
      message.role = "system";
      normal.notes.push_back({place + " was read as system"});
    }
    const bool keeps_list = message.content_is_list && message.role == "user" && user_lists;
    if (!keeps_list) {
      const size_t parts = flatten(message);
      if (parts > 1)
        normal.notes.push_back({fmt::format("{}: its {} text parts were joined by line breaks", place, parts)});
    }
    normal.messages.push_back({std::move(message), i});
  }
  return normal;
}

bool hoist_system_messages(NormalConversation& normal) {
  std::vector<NormalMessage> others, later;
  for (size_t i = 0; i < normal.messages.size(); i++) {
    const bool moves = i > 0 && normal.messages[i].message.role == "system";
    (moves ? later : others).push_back(std::move(normal.messages[i]));
  }
  if (!later.empty() && others[0].message.role != "system") {
    const NormalMessage& first = later.front();
    normal.notes.push_back({message_place(first.source, "system") + " was moved to the front"});
    others.insert(others.begin(), std::move(later.front()));
    later.erase(later.begin());
    normal.messages = std::move(others);
    for (NormalMessage& message : later) normal.messages.push_back(std::move(message));
    hoist_system_messages(normal);
    return true;
  }
  for (const NormalMessage& message : later) {
    append_content(others[0].message, message.message, kBetweenMessages);
    normal.notes.push_back({message_place(message.source, "system") + " was joined to the first system message"});
  }
  normal.messages = std::move(others);
  return !later.empty();
}

bool join_neighbours(NormalConversation& normal) {
  std::vector<NormalMessage> joined;
  const size_t before = normal.messages.size();
  for (NormalMessage& message : normal.messages) {
    const std::string& role = message.message.role;
    const bool joins = !joined.empty() && joined.back().message.role == role && (role == "user" || role == "assistant");
    if (!joins) {
      joined.push_back(std::move(message));
      continue;
    }
    NormalMessage& into = joined.back();
    normal.notes.push_back(
        {fmt::format("{} was joined to {}", message_place(message.source, role), message_place(into.source, role))});
    append_content(into.message, message.message, kBetweenMessages);
    for (ToolCall& call : message.message.tool_calls) into.message.tool_calls.push_back(std::move(call));
  }
  normal.messages = std::move(joined);
  return normal.messages.size() != before;
}

bool bridge_user_turns(NormalConversation& normal, const std::string& marker) {
  std::vector<NormalMessage> bridged;
  bool changed = false;
  for (NormalMessage& message : normal.messages) {
    const ChatMessage* previous = bridged.empty() ? nullptr : &bridged.back().message;
    if (previous && message.message.role == "user" && (previous->role == "tool" || !previous->tool_calls.empty())) {
      NormalMessage bridge;
      bridge.message.role = "assistant";
      bridge.message.content = {{ContentPart::Kind::text, marker}};
      bridge.source = message.source;
      bridge.bridge = true;
      bridged.push_back(std::move(bridge));
      changed = true;
      normal.notes.push_back({message_place(message.source, "user") +
                              " follows a tool call or its result, which the template refuses; it was rendered as if "
                              "the assistant's turn had ended there"});
    }
    bridged.push_back(std::move(message));
  }
  normal.messages = std::move(bridged);
  return changed;
}

}  // namespace lancet
