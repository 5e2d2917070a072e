// Many requests, one model: submit, step. Not thread-safe and starts no thread; tests call step() themselves.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/histogram.h"
#include "engine/generation.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace lancet {

struct EngineOptions {
  int blocks = 0;            // cache blocks, > 0
  int context = 0;           // longest sequence (prompt + generated), 0: what blocks and model allow
  int max_sequences = 16;    // run at once
  int max_batch_rows = 256;  // rows in one step, >= 1
  /// How many times longer a step may take because prompts are read while others generate, >= 1; the rows of prompts
  /// are cut to fit, by the costs measured so far.
  double step_stretch = 2.5;
  // Beyond these submit throws Error{busy}.
  int max_waiting = 256;           // requests
  int64_t max_waiting_tokens = 0;  // prompt tokens of waiting requests; 0: four times the context
  bool prefix_reuse = true;
  /// Tokens that a grammar leaves no choice about are computed together. For tests: the answers are the same without.
  bool jump = true;
  /// The clock; empty: std::chrono::steady_clock. For tests.
  std::function<std::chrono::steady_clock::time_point()> now;
};

struct EngineStats {
  int running = 0, waiting = 0;
  int64_t waiting_tokens = 0;  // prompt tokens not yet read, of waiting requests
  double prompt_tokens_s = 0;  // measured speed of reading prompts, tokens a second; 0: not measured yet
  int free_blocks = 0, cached_blocks = 0, total_blocks = 0;  // cached: of the free ones, those with findable content
  int max_sequences = 0;
  uint64_t steps = 0, prompt_tokens = 0, generated_tokens = 0;
  uint64_t queried_tokens = 0, cached_tokens = 0, evicted_blocks = 0;  // the prefix cache
  uint64_t forced_tokens = 0;     // generated without a choice, because a grammar left none
  uint64_t masked_head_rows = 0;  // rows of logits of which only those were computed that a grammar allowed
  uint64_t preemptions = 0, failed = 0, cancelled = 0, timed_out = 0;
  uint64_t finished = 0, finished_stop = 0, finished_length = 0, finished_repetition = 0;
  // Of requests that finished, but for the two that count tokens as they come.
  Histogram queue_time, prefill_time, decode_time, request_time;
  Histogram first_token_time, inter_token_time;
  Histogram grammar_time;  // what a grammar took to say what may follow one token
};

class Engine {
 public:
  /// Allocates the model's cache. All references must outlive the engine.
  /// Throws Error{bad_request} for options that nothing could run with.
  Engine(Model&, const Tokenizer&, EngineOptions);
  ~Engine();
  /// Throws Error{busy} when the queue is full, Error{context_overflow} with numbers when the request can never fit,
  /// Error{bad_request} for other things that cannot be done.
  Generation submit(GenerationRequest);
  /// Runs one step; false: nothing to do. A fault in the step fails the requests that were in it, not the engine:
  /// nothing is thrown, whatever the model, the memory or a request does.
  bool step() noexcept;
  EngineStats stats() const;
  /// Longest prompt + generation that a request may ask for. Any thread.
  int context() const;
  /// Queue length beyond which requests are refused. Any thread.
  int max_waiting() const;
  /// Prompt tokens in the queue beyond which requests are refused. Any thread.
  int64_t max_waiting_tokens() const;
  /// What every request was doing when the last step began, in lines for a log. Any thread, also while a step hangs.
  std::string dump() const;

  // For EngineThread, which puts a lock between callers and the engine:
  /// Throws what submit would throw about the request itself. Any thread.
  void check(const GenerationRequest&) const;
  /// Throws Error{busy} if a prompt of so many tokens may not join a queue of so many requests and tokens. Any thread.
  void check_room(size_t prompt, int waiting, int64_t waiting_tokens) const;
  /// Queues a checked request whose caller holds the other end of the channel; without memory for it, fails it.
  void enqueue(GenerationRequest, std::shared_ptr<Channel>) noexcept;
  /// Ends every request with Failed{unavailable, message}.
  void fail_all(const std::string& message);

  struct State;  // defined in engine_state.h, for the engine's own files

 private:
  std::unique_ptr<State> state_;
};

}  // namespace lancet
