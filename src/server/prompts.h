// Requests -> token ids, with everything worth saying about the way there.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "server/answer.h"
#include "server/requests.h"

namespace lancet {

struct Prompt {
  std::vector<TokenId> tokens;
  std::string text;                // as rendered
  std::vector<std::string> notes;  // what normalisation changed, what the vocabulary cannot say
  size_t hidden_tokens = 0;        // at the start, that are not of the text: bos
};

/// A budget for reading, rendering and tokenizing one request.
Budget request_budget(const RequestContext&);

Prompt chat_prompt(const RequestContext&, const ChatRequest&, Budget&);
/// `param` names the field in complaints.
Prompt completion_prompt(const RequestContext&, const CompletionPrompt&, bool parse_special, const char* param,
                         Budget&);

/// Names of template variables that were sent although the template does not name them.
std::vector<std::string> idle_variables(const RequestContext&, const Conversation&);

/// How many tokens the text of each message has, without what the template puts around it; fewer messages than were
/// sent if the budget does not suffice for all.
std::vector<size_t> message_tokens(const RequestContext&, const Conversation&, Budget&);

/// "bytes 0xC0, 0xFF have no token ..." or nothing.
void note_lost_bytes(const Encoded&, std::vector<std::string>& notes);

/// When the engine must have begun with this request; nothing if queue_s is 0.
std::optional<std::chrono::steady_clock::time_point> begin_before(const RequestContext&);

/// The head's fields that say what became of a request: x-model-resolved, x-ignored-params, x-prompt-notes.
HttpFields report_fields(const RequestContext&, const std::vector<std::string>& ignored,
                         const std::vector<std::string>& notes);

}  // namespace lancet
