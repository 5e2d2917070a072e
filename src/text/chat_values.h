// Conversations as values of a template, and what a template can do with them, found by trying it once.
#pragma once

#include <string>

#include "base/budget.h"
#include "jinja/template.h"
#include "text/chat_normalise.h"

namespace lancet {

/// What a template does with each kind of content; found at load by rendering small conversations (probe_template).
struct TemplateTraits {
  bool user_lists = false;         // content of a user message may be a list of parts
  bool object_arguments = true;    // arguments of a call may be an object; else they must be text
  bool shows_system = true;        // a first system message is in the text
  bool shows_later_system = true;  // one in the middle is, too, or is refused
  bool shows_tools = true;
  bool shows_calls = true;
  bool shows_results = true;
  bool can_bridge = false;  // a bridge (bridge_user_turns) can be cut out again without a trace
  std::string default_system_prompt;
};

/// Everything that one render of a chat template needs.
struct ChatRenderer {
  JinjaTemplate compiled;
  std::string bos, eos;
  std::function<std::tm()> now;
  JinjaLimits limits;

  /// The first `count` messages rendered. Bridges are still inside. Throws what JinjaTemplate::render throws.
  MarkedText render(const NormalConversation&, size_t count, const Conversation& sent, const TemplateTraits&,
                    Budget&) const;
};

/// The text of a bridge message.
extern const std::string kBridgeMarker;

/// Cuts every bridge and the end-of-sequence text after it. Nothing if that cannot be done cleanly.
std::optional<MarkedText> cut_bridges(const MarkedText&, const std::string& eos, size_t bridges);

TemplateTraits probe_template(const ChatRenderer&);

}  // namespace lancet
