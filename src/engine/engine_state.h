// The inside of Engine, shared by the files that make it up: engine.cpp (what callers see), engine_step.cpp (one step,
// and what happens when it fails), engine_results.cpp (what the model said becomes scores, states and tokens),
// engine_tokens.cpp (tokens become text and events). Nothing else includes it.
#pragma once

#include <algorithm>
#include <list>
#include <mutex>

#include "engine/channel.h"
#include "engine/constraint.h"
#include "engine/cost_model.h"
#include "engine/engine.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"
#include "text/text_stream.h"

namespace lancet {

using EngineTime = std::chrono::steady_clock::time_point;
inline double seconds_between(EngineTime from, EngineTime to) {
  return std::chrono::duration<double>(to - from).count();
}

/// A request inside the engine: what the scheduler sees (the base), and what it does not need to know.
struct Running : Sequence {
  Running(GenerationRequest, std::shared_ptr<Channel>, const Tokenizer&, EngineTime);

  GenerationRequest request;
  std::shared_ptr<Channel> channel;
  std::list<Running>::iterator self;
  TextStream text;                  // of the answer from min_tokens on: only there a stop string counts
  TextStream first_text;            // of what comes before
  std::string unfinished;           // bytes of a character that first_text still waits for
  size_t text_begin = 0;            // bytes of the answer before what `text` was given
  std::vector<TokenId> end_tokens;  // those that may end it, ascending
  std::optional<Constraint> constraint;
  int prompt_tokens;
  int told = 0;  // of the tokens generated, those that the caller was told
  bool prompt_read = false;
  int first_reused = -1;  // tokens reused at the first admission; -1: not begun yet
  std::vector<TokenScore> prompt_scores;
  std::vector<double> state_sum;  // of the rows before `results`
  EngineTime submitted, begun_at, answered, last_token;

  int generated() const { return length() - prompt_tokens; }
  bool wants_text() const { return request.kind == GenerationKind::text; }
  /// The row of its last token decides something.
  bool wants_choice() const { return wants_text() && request.max_tokens > 0 && !is_complete(); }
  /// Its grammar lets nothing follow what it has.
  bool is_complete() const { return constraint && constraint->complete(); }
  bool ends_with(TokenId token) const { return std::binary_search(end_tokens.begin(), end_tokens.end(), token); }
  Budget grammar_budget() const;
  bool may_stop(size_t offset) const;
};

/// Why and by what an answer ends.
struct Ending {
  FinishReason reason = FinishReason::stop;
  std::optional<TokenId> stop_token;
};

struct Engine::State {
  State(Model&, const Tokenizer&, EngineOptions);

  // engine_step.cpp
  void drop_ended() noexcept;
  bool plan(Batch&) noexcept;
  void restrict_head(Batch&) const noexcept;
  void fail_stalled() noexcept;
  void note_admissions() noexcept;
  void keep_snapshot() noexcept;
  void run(const Batch&) noexcept;
  void finish(Running&, GenerationEvent final_event, bool forget) noexcept;
  void fail(Running&, Fault, const char* message, bool forget) noexcept;
  void fail_planned(const char* message) noexcept;

  // engine_results.cpp
  template <typename Work>
  void guarded(Running&, Work) noexcept;
  void take_results(const Batch&, std::span<const float> logits) noexcept;
  std::span<const float> logits_of(std::span<const float> logits, size_t row) const;
  TokenScore choose(Running&, std::span<const float> logits) const;
  void read_rows(Running&, const SequenceRows&, const Batch&, std::span<const float> logits);
  void score_row(Running&, int position, std::span<const float> logits);
  void pool_row(Running&, int position, std::span<const float> state);
  void answer(Running&);

  // engine_tokens.cpp
  void constrain(Running&);
  void take_token(Running&, TokenScore);
  void follow(Running&, TokenId);
  void jump(Running&);
  void tell(Running&, std::optional<TokenScore>);
  std::optional<Ending> tell_token(Running&, TextDelta&);
  bool goes_in_circles(Running&);
  std::string take_text(Running&, TokenId, bool ends);
  void end(Running&, const Ending&);

  EngineTime now() const { return options.now ? options.now() : std::chrono::steady_clock::now(); }

  Model& model;
  const Tokenizer& tokenizer;
  const EngineOptions options;
  const ModelLimits limits;
  const int context;
  BlockPool pool;
  Scheduler scheduler;
  CostModel costs;
  std::list<Running> requests;    // a list, because the scheduler keeps addresses
  std::vector<Running*> in_step;  // requests of the step that runs; room for all
  // What in_step's sequences said last: tokens whose requests are told after the step was committed.
  std::vector<std::optional<TokenScore>> chosen;
  size_t next_logits = 0, next_state = 0;  // rows of the step's results that come next
  int empty_plans = 0;                     // in a row
  EngineStats stats;

  struct View {
    uint64_t ticket;
    Sequence::Place place;
    int priority, length, cached, planned, blocks, preemptions;
  };
  mutable std::mutex snapshot_mutex;
  std::vector<View> snapshot;    // guarded by snapshot_mutex: as of the last step's beginning
  int snapshot_free_blocks = 0;  // guarded by snapshot_mutex
  uint64_t snapshot_step = 0;    // guarded by snapshot_mutex
};

}  // namespace lancet
