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
  bool scores = false;            // log-probabilities were asked for
  bool include_usage = false;     // streams: every chunk has "usage"
  bool continuous_usage = false;  // ... with the numbers so far instead of null
  const Tokenizer* tokenizer = nullptr;
};

/// One choice of an answer that is not streamed.
struct ChoiceResult {
  std::string text;
  std::vector<TokenScore> scores;
  Finished finished;
};

/// What one chunk of a stream says of a choice, besides its place.
struct ChunkContext {
  int choice = 0;
  size_t text_offset = 0;  // characters of text before this chunk
  Usage so_far;            // for continuous_usage
};

/// A random id with a prefix: "chatcmpl-" and 24 hexadecimal digits.
std::string random_id(std::string_view prefix);
uint64_t random_seed();

/// Times as llama.cpp names them. Of several generations: sums of tokens, the longest times.
struct AnswerTimings {
  Usage usage;  // of prompts that were read once for each generation
  Timings times;
  void add(const Finished&);
};

std::string whole_json(const AnswerIdentity&, const std::vector<ChoiceResult>&, const Usage& total);

// Server-sent events, each with its blank line.
std::string role_event(const AnswerIdentity&, const ChunkContext&);
std::string delta_event(const AnswerIdentity&, const ChunkContext&, const TextDelta&);
std::string finish_event(const AnswerIdentity&, const ChunkContext&, const Finished&);
std::string usage_event(const AnswerIdentity&, const Usage& total, const AnswerTimings&);

/// OpenAI's word: typed clients know no others.
std::string_view reason_name(FinishReason);

/// Characters of a token as text_offset counts them: none for control tokens, which are not shown.
size_t shown_characters(const Tokenizer&, TokenId);

}  // namespace lancet
