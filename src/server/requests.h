// Request bodies as types. Request JSON is read here and in what this includes, and all validation is here: what comes
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
#include "server/constraint_fields.h"
#include "server/limits.h"
#include "server/sampling_fields.h"
#include "text/chat.h"

namespace lancet {

struct ChatRequest {
  GenerationFields fields;
  ConstraintFields constraints;
  Conversation conversation;
};

using CompletionPrompt = std::variant<std::string, std::vector<TokenId>>;

struct CompletionRequest {
  GenerationFields fields;
  ConstraintFields constraints;
  std::vector<CompletionPrompt> prompts;  // not empty
};

struct EmbeddingRequest {
  std::vector<CompletionPrompt> inputs;  // not empty
  bool base64 = false;
  bool last = false;  // pooling: the last state instead of the mean
  std::optional<int> dimensions;
  int priority = 0;
  uint64_t cache_salt = 0;
  std::vector<std::string> ignored;
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
ChatRequest read_chat_request(std::string_view body, const ServerLimits&, Budget&, int vocabulary = INT32_MAX);
CompletionRequest read_completion_request(std::string_view body, int vocabulary, const ServerLimits&, Budget&);
EmbeddingRequest read_embedding_request(std::string_view body, int vocabulary, const ServerLimits&, Budget&);
TokenizeRequest read_tokenize_request(std::string_view body, const ServerLimits&, Budget&);
DetokenizeRequest read_detokenize_request(std::string_view body, int vocabulary, const ServerLimits&, Budget&);

}  // namespace lancet
