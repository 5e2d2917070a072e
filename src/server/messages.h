// Messages, tools and template variables of a chat body -> a Conversation.
#pragma once

#include <string>
#include <vector>

#include "server/fields.h"
#include "text/chat.h"

namespace lancet {

/// Appends the names of message keys that are not known to `ignored`.
Conversation read_conversation(const FieldReader&, std::vector<std::string>& ignored);

}  // namespace lancet
