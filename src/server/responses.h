// Answers of the generating routes as JSON. This is the only place where their response JSON is written; the shapes are
// openai-openapi's (docs/api.md).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "engine/generation.h"
#include "server/choice_reading.h"
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

/// A call of a function, whole.
struct CallResult {
  std::string id, name, arguments;
};

/// How a choice ended, for a client.
struct ChoiceEnd {
  Finished finished;
  bool has_calls = false;
  bool old_names = false;      // function_call instead of tool_calls
  boost::json::object report;  // "lancet", if it is not empty
};

/// One choice of an answer that is not streamed.
struct ChoiceResult {
  std::string text;
  std::vector<CallResult> calls;
  std::string refusal;
  std::vector<TokenScore> scores;
  ChoiceEnd end;
};

/// What one chunk of a stream says of a choice, besides its place.
struct ChunkContext {
  int choice = 0;
  size_t text_offset = 0;  // characters of text before this chunk
  Usage so_far;            // for continuous_usage
  bool old_names = false;  // function_call instead of tool_calls
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
/// `call_first`: the message begins with a call, so its content is null and not "".
std::string role_event(const AnswerIdentity&, const ChunkContext&, bool call_first);
/// One part of a choice, with the scores of the tokens decided since the last one.
std::string part_event(const AnswerIdentity&, const ChunkContext&, const AnswerPart&, const std::vector<TokenScore>&);
std::string finish_event(const AnswerIdentity&, const ChunkContext&, const ChoiceEnd&);
std::string usage_event(const AnswerIdentity&, const Usage& total, const AnswerTimings&);

/// OpenAI's word: typed clients know no others.
std::string_view reason_name(const ChoiceEnd&);

/// Characters of a token as text_offset counts them: none for control tokens, which are not shown.
size_t shown_characters(const Tokenizer&, TokenId);

}  // namespace lancet
