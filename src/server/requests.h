// Request bodies as types. This is the only place where request JSON is read, and all validation is here: what comes
// out can be computed. A field is used, or harmless and accepted, or refused by name, or unknown and reported; never
// silently dropped.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/budget.h"
#include "engine/sampling.h"
#include "server/limits.h"
#include "text/chat.h"

namespace lancet {

/// What chat and completions have in common.
struct GenerationFields {
  std::string model;  // as sent; any name is served by the one model
  SamplingParams sampling;
  bool has_seed = false;
  std::optional<int> max_tokens;
  std::vector<std::string> stop;
  int n = 1;
  bool stream = false;
  bool include_usage = false;
  bool ignore_eos = false;
  bool parse_special = false;        // completions: the prompt may spell control tokens
  std::vector<std::string> ignored;  // names of unknown fields
};

struct ChatRequest {
  GenerationFields fields;
  Conversation conversation;
};

using CompletionPrompt = std::variant<std::string, std::vector<TokenId>>;

struct CompletionRequest {
  GenerationFields fields;
  std::vector<CompletionPrompt> prompts;  // not empty
};

struct TokenizeRequest {
  std::string text;
  bool add_special = false;    // with bos, if the model's prompts begin so
  bool parse_special = false;  // the text may spell control tokens
  bool with_pieces = false;
  std::vector<std::string> ignored;
};

struct DetokenizeRequest {
  std::vector<TokenId> tokens;
  bool special = false;  // control tokens are shown
  std::vector<std::string> ignored;
};

/// All throw Error: bad_request or unsupported with the field as param; code invalid_json for what is no JSON.
/// `vocabulary` bounds token ids.
ChatRequest read_chat_request(std::string_view body, const ServerLimits&, Budget&);
CompletionRequest read_completion_request(std::string_view body, int vocabulary, const ServerLimits&, Budget&);
TokenizeRequest read_tokenize_request(std::string_view body, const ServerLimits&, Budget&);
DetokenizeRequest read_detokenize_request(std::string_view body, int vocabulary, const ServerLimits&, Budget&);

}  // namespace lancet
