// Answers of the generating routes as JSON. This is the only place where their response JSON is written; the shapes are
// openai-openapi's (docs/api.md).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/generation.h"
#include "text/tokenizer.h"

namespace lancet {

/// What all messages of one answer share.
struct AnswerIdentity {
  bool chat = true;  // else completions
  std::string id;
  int64_t created = 0;
  std::string model;
  std::string system_fingerprint;
  bool scores = false;         // log-probabilities were asked for
  bool include_usage = false;  // streams: every chunk has "usage"
  const Tokenizer* tokenizer = nullptr;
};

/// One choice of an answer that is not streamed.
struct ChoiceResult {
  std::string text;
  std::vector<TokenScore> scores;
  Finished finished;
};

/// A random id with a prefix: "chatcmpl-" and 24 hexadecimal digits.
std::string random_id(std::string_view prefix);
uint64_t random_seed();

std::string whole_json(const AnswerIdentity&, const std::vector<ChoiceResult>&, const Usage& total);

// Server-sent events, each with its blank line.
std::string role_event(const AnswerIdentity&, int choice);
std::string delta_event(const AnswerIdentity&, int choice, const TextDelta&, size_t text_offset);
std::string finish_event(const AnswerIdentity&, int choice, const Finished&);
std::string usage_event(const AnswerIdentity&, const Usage& total);

}  // namespace lancet
