// Conversations that a template refuses although they are legitimate -> ones that it accepts. Each step changes one
// kind of thing, says so in a note, and remembers where every message came from, so that errors can name it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "text/chat.h"

namespace lancet {

struct NormalMessage {
  ChatMessage message;
  size_t source = 0;    // its index in the conversation as sent; of the first one if several were joined
  bool bridge = false;  // not sent by anyone: cut out of the rendered text again (bridge_user_turns)
};

struct NormalConversation {
  std::vector<NormalMessage> messages;
  std::vector<NormalisationNote> notes;
};

/// "messages[3] (role user)".
std::string message_place(size_t index, const std::string& role);

/// What every template gets: developer read as system; several text parts of one message joined by a line break where
/// only a string will do (everywhere but in user messages if `user_lists`). Throws Error{bad_request} for images
/// outside of user messages, or anywhere if the template takes no lists.
NormalConversation contract_form(const Conversation&, bool user_lists);

// Each of the following returns true if it changed something.

/// System messages that are not the first message are joined to it, or become it.
bool hoist_system_messages(NormalConversation&);
/// Neighbouring user messages become one; so do neighbouring assistant messages, with all of their tool calls.
bool join_neighbours(NormalConversation&);
/// Puts an assistant message with the text `marker` between a tool result (or an unanswered call) and a user message.
bool bridge_user_turns(NormalConversation&, const std::string& marker);

}  // namespace lancet
