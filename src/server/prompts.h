// Requests -> token ids, with everything worth saying about the way there.
#pragma once

#include <string>
#include <vector>

#include "server/answer.h"
#include "server/requests.h"

namespace lancet {

struct Prompt {
  std::vector<TokenId> tokens;
  std::string text;                // as rendered
  std::vector<std::string> notes;  // what normalisation changed, what the vocabulary cannot say
};

/// A budget for reading, rendering and tokenizing one request.
Budget request_budget(const RequestContext&);

Prompt chat_prompt(const RequestContext&, const ChatRequest&, Budget&);
Prompt completion_prompt(const RequestContext&, const CompletionPrompt&, bool parse_special, Budget&);

/// "bytes 0xC0, 0xFF have no token ..." or nothing.
void note_lost_bytes(const Encoded&, std::vector<std::string>& notes);

/// The head's fields that say what became of a request: x-model-resolved, x-ignored-params, x-prompt-notes.
HttpFields report_fields(const RequestContext&, const std::vector<std::string>& ignored,
                         const std::vector<std::string>& notes);

}  // namespace lancet
