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
#include "text/tokenizer.h"

namespace lancet {

struct GenerationRequest {
  std::vector<TokenId> prompt;  // not empty
  SamplingParams sampling;
  std::vector<std::string> stop;
  int max_tokens = 16;
  bool ignore_eos = false;
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

/// Text that became certain, with the tokens decided since the last delta (their text may still be held back).
struct TextDelta {
  std::string text;  // whole UTF-8 characters; may be empty
  std::vector<TokenId> tokens;
  std::vector<TokenScore> scores;  // parallel to tokens if the request asked for them, else empty
};

enum class FinishReason { stop, length };

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
  std::string stop_string;  // the one that was met, or empty
  Usage usage;
  Timings timings;
};

struct Failed {
  Fault fault = Fault::internal;
  std::string message;
};

using GenerationEvent = std::variant<TextDelta, Finished, Failed>;

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
