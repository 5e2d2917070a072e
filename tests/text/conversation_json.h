// Conversations written as a chat-completions request body, for tests.
#pragma once

#include <string>
#include <string_view>

#include <boost/json/value.hpp>

#include "text/chat.h"

namespace lancet::test {

/// {"messages": [...], "tools": [...]}; arguments may be an object, images are parts of any other type than text.
Conversation conversation_of(const boost::json::value& body);
Conversation conversation_from(std::string_view body);

/// The pieces with what is not trusted in guillemets: [INST]«Hello»[/INST].
std::string marked(const RenderedPrompt& prompt);
std::string plain(const RenderedPrompt& prompt);

/// tests/data/templates/<name>.jinja with the marks of its family.
ChatTemplate project_template(const std::string& name);

}  // namespace lancet::test
