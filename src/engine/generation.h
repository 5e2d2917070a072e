// One request to the engine and the caller's end of it: a channel of events that ends in exactly one Finished or
// Failed. Dropping a Generation cancels its request before the next step.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "engine/sampling.h"
#include "grammar/grammar.h"
#include "text/tokenizer.h"

namespace lancet {

/// Ends an answer that goes in circles: its last tokens are `count` times the same pattern of at most `max_pattern`
/// tokens. count 0: off.
struct RepetitionRule {
  int min_pattern = 1, max_pattern = 0;  // tokens
  int count = 0;                         // repetitions, >= 2
};

/// What a request wants to know.
enum class GenerationKind {
  text,        // tokens after the prompt
  mean_state,  // the mean of the final states of the prompt's rows: an embedding
  last_state,  // the final state of the prompt's last row
};

struct GenerationRequest {
  std::vector<TokenId> prompt;  // not empty
  GenerationKind kind = GenerationKind::text;
  SamplingParams sampling;
  std::vector<std::string> stop;
  std::vector<TokenId> stop_tokens;  // end the answer as the model's own end tokens do, also with ignore_eos
  bool keep_stop = false;            // the stop string that was met stays in the text
  int max_tokens = 16;               // 0 only with prompt_scores
  int min_tokens = 0;                // until then no end token, stop token or stop string ends the answer
  bool ignore_eos = false;
  bool prompt_scores = false;  // first a PromptScores event; sampling.top_logprobs >= 0
  RepetitionRule repetition;
  std::vector<TokenId> show_tokens;  // control tokens that deltas tell of, ascending
  /// The whole answer is a text of this grammar; null: any text. engine/constraint.h says what prevails where the other
  /// members disagree with it. Of its tokens those that have no alternative are not chosen one by one, unless scores
  /// are asked for. Used by the engine's thread alone once the request was submitted, so requests of one engine may
  /// share it.
  std::shared_ptr<Grammar> grammar;

  // Who runs first.
  int priority = 0;         // lower first
  uint64_t owner = 0;       // requests of one owner share their turns: a hash of the API key or address
  uint64_t cache_salt = 0;  // only requests with the same salt share cached prefixes
  /// A request that has not begun by then fails with Fault::timeout; none: no bound but the client's patience.
  std::optional<std::chrono::steady_clock::time_point> begin_before;

  /// Called from the engine thread whenever an event became available; must be quick and must not call back into the
  /// engine. May be empty.
  std::function<void()> on_event;
  /// Raising it cancels too; for callers whose Generation is still on its way from one thread to another. May be null.
  std::shared_ptr<const CancelFlag> cancel;
};

struct TokenScore {
  TokenId token = 0;
  float logprob = 0;
  std::vector<std::pair<TokenId, float>> top;  // likeliest first
};

/// A control token of GenerationRequest::show_tokens, and the bytes of the delta's text in front of it.
struct ShownToken {
  size_t at = 0;
  TokenId token = 0;
};

/// Text that became certain, with the tokens decided since the last delta (their text may still be held back).
struct TextDelta {
  std::string text;  // whole UTF-8 characters; may be empty
  std::vector<TokenId> tokens;
  std::vector<TokenScore> scores;  // parallel to tokens if the request asked for them, else empty
  std::vector<ShownToken> shown;
};

/// Log-probabilities of the prompt's own tokens, once, before any delta. The first token has none: its score is NaN.
struct PromptScores {
  std::vector<TokenScore> scores;  // parallel to the prompt
};

/// The answer of the kinds mean_state and last_state, before Finished.
struct PooledState {
  std::vector<float> values;  // [hidden], not normalised
};

enum class FinishReason { stop, length, repetition };

struct Usage {
  int prompt_tokens = 0;
  int completion_tokens = 0;
  int cached_tokens = 0;  // prompt tokens that were found in the cache
};

struct Timings {
  double queue_ms = 0, prefill_ms = 0, decode_ms = 0;
};

struct Finished {
  FinishReason reason = FinishReason::stop;
  bool closed_early = false;  // the grammar closed what was open because max_tokens or a repetition was about to cut it
  std::string stop_string;    // the one that was met, or empty
  std::optional<TokenId> stop_token;  // the one of stop_tokens that was met
  Usage usage;
  Timings timings;
};

struct Failed {
  Fault fault = Fault::internal;
  std::string message;
};

using GenerationEvent = std::variant<TextDelta, PromptScores, PooledState, Finished, Failed>;

/// Shared by the engine (writes) and the caller (reads). Defined in engine/channel.h.
class Channel;

/// The caller's end. Movable; one thread at a time.
class Generation {
 public:
  explicit Generation(std::shared_ptr<Channel>);
  Generation(Generation&&) noexcept;
  Generation& operator=(Generation&&) noexcept;
  ~Generation();  // cancels if the final event has not been sent

  /// The next event, waiting up to `patience`; nothing if none came.
  std::optional<GenerationEvent> next(std::chrono::milliseconds patience);
  /// The next event if there is one.
  std::optional<GenerationEvent> poll() { return next(std::chrono::milliseconds(0)); }

 private:
  std::shared_ptr<Channel> channel_;
};

}  // namespace lancet
