#include "engine/engine.h"

#include <algorithm>
#include <list>

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "engine/channel.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"
#include "text/text_stream.h"

namespace lancet {
namespace {

using Clock = std::chrono::steady_clock;

double ms_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

/// How many of a sequence's rows are prompt tokens; the others were generated before.
int prompt_rows(const SequenceRows& rows, int prompt_tokens) {
  return std::min(rows.context, prompt_tokens) - std::min(rows.context - rows.rows, prompt_tokens);
}

/// A request inside the engine: what the scheduler sees, and what it does not need to know.
struct Running {
  Running(GenerationRequest r, std::shared_ptr<Channel> c)
      : request(std::move(r)), channel(std::move(c)), text(request.stop), prompt_tokens(int(request.prompt.size())) {
    sequence.tokens = std::move(request.prompt);
  }

  GenerationRequest request;
  std::shared_ptr<Channel> channel;
  Sequence sequence;
  TextStream text;
  int prompt_tokens;
  int reused = -1;  // at the first admission; -1: not admitted yet
  Clock::time_point submitted = Clock::now(), admitted = submitted, first_token = submitted;

  int generated() const { return sequence.length() - prompt_tokens; }
};

}  // namespace

struct Engine::State {
  State(Model& m, const Tokenizer& t, EngineOptions o)
      : model(m),
        tokenizer(t),
        options(o),
        context(std::min({o.context > 0 ? o.context : INT32_MAX, m.limits().context, o.blocks * kBlockTokens})),
        pool(o.blocks),
        scheduler(
            pool,
            {.max_sequences = o.max_sequences, .max_batch_rows = o.max_batch_rows, .prefix_reuse = o.prefix_reuse}) {}

  void drop_cancelled();
  void finish(Running&, GenerationEvent final_event, bool forget);
  void fail_planned(const std::string& message);
  void take_logits(const Batch&, std::span<const float> logits);
  void take_token(Running&, const TokenScore&);
  Running& owner(const Sequence*);

  Model& model;
  const Tokenizer& tokenizer;
  const EngineOptions options;
  const int context;
  BlockPool pool;
  Scheduler scheduler;
  std::list<Running> requests;  // a list, because the scheduler keeps addresses of the sequences
  EngineStats stats;
};

Engine::Engine(Model& model, const Tokenizer& tokenizer, EngineOptions options)
    : state_(std::make_unique<State>(model, tokenizer, options)) {
  model.allocate_cache(options.blocks);
}

Engine::~Engine() { fail_all("the server is stopping"); }

void Engine::fail_all(const std::string& message) {
  while (!state_->requests.empty())
    state_->finish(state_->requests.front(), Failed{Fault::unavailable, message}, false);
}

int Engine::context() const { return state_->context; }
int Engine::max_waiting() const { return state_->options.max_waiting; }

void Engine::check(const GenerationRequest& request) const {
  const int size = state_->tokenizer.size(), prompt = int(request.prompt.size());
  if (request.prompt.empty()) throw Error(Fault::bad_request, "the prompt has no tokens", "prompt");
  for (const TokenId id : request.prompt)
    if (id < 0 || id >= size)
      throw Error(Fault::bad_request, fmt::format("token id {} is not in the vocabulary of {} tokens", id, size),
                  "prompt");
  if (request.max_tokens < 1) throw Error(Fault::bad_request, "max_tokens must be at least 1", "max_tokens");
  if (request.prompt.size() >= size_t(context()) || request.max_tokens > context() - prompt)
    throw Error(Fault::context_overflow,
                fmt::format("the prompt has {} tokens and {} more are asked for, the context is {} tokens",
                            request.prompt.size(), request.max_tokens, context()));
}

Generation Engine::submit(GenerationRequest request) {
  check(request);
  if (state_->scheduler.waiting() >= state_->options.max_waiting)
    throw Error(Fault::busy, fmt::format("{} requests are waiting already", state_->scheduler.waiting()));
  auto channel = std::make_shared<Channel>(request.on_event);
  enqueue(std::move(request), channel);
  return Generation(std::move(channel));
}

void Engine::enqueue(GenerationRequest request, std::shared_ptr<Channel> channel) {
  Running& running = state_->requests.emplace_back(std::move(request), std::move(channel));
  state_->scheduler.add(running.sequence);
}

bool Engine::step() {
  State& state = *state_;
  state.drop_cancelled();
  const Batch batch = state.scheduler.plan();
  if (batch.rows() == 0) return false;
  for (const Sequence* sequence : state.scheduler.planned()) {
    Running& running = state.owner(sequence);
    if (running.reused >= 0) continue;
    running.reused = sequence->reused;
    running.admitted = Clock::now();
    state.stats.cached_tokens += static_cast<uint64_t>(sequence->reused);
  }
  state.stats.steps++;
  try {
    const std::span<const float> logits = state.model.forward(batch);
    state.take_logits(batch, logits);
  } catch (const Error& error) {
    state.fail_planned(error.message());
  } catch (const std::exception& error) {
    state.fail_planned(error.what());
  }
  return true;
}

EngineStats Engine::stats() const {
  EngineStats stats = state_->stats;
  stats.running = state_->scheduler.running();
  stats.waiting = state_->scheduler.waiting();
  stats.free_blocks = state_->pool.free_blocks();
  stats.total_blocks = state_->pool.blocks();
  stats.preemptions = state_->scheduler.preemptions();
  return stats;
}

void Engine::State::drop_cancelled() {
  for (auto at = requests.begin(); at != requests.end();) {
    Running& running = *at++;
    const CancelFlag* flag = running.request.cancel.get();
    if (!running.channel->cancelled() && !(flag && flag->raised())) continue;
    stats.cancelled++;
    finish(running, Failed{Fault::cancelled, "nobody waits for the answer any more"}, false);
  }
}

/// Sends the one final event and lets go of everything.
void Engine::State::finish(Running& running, GenerationEvent final_event, bool forget) {
  scheduler.remove(running.sequence, forget);
  const auto at = std::find_if(requests.begin(), requests.end(), [&](const Running& r) { return &r == &running; });
  CHECK(at != requests.end());
  std::list<Running> ended;  // out of the list first, so that a failing send leaves no request that nobody will end
  ended.splice(ended.begin(), requests, at);
  running.channel->send(std::move(final_event));
}

/// A fault in the step fails the requests that were in it; the cache rows that it may have spoiled are forgotten.
void Engine::State::fail_planned(const std::string& message) {
  log_error(fmt::format("a step failed: {}", message));
  const std::vector<Sequence*> planned = scheduler.planned();
  for (const Sequence* sequence : planned) {
    stats.failed++;
    finish(owner(sequence), Failed{Fault::internal, message}, true);
  }
}

Running& Engine::State::owner(const Sequence* sequence) {
  const auto at =
      std::find_if(requests.begin(), requests.end(), [&](const Running& r) { return &r.sequence == sequence; });
  CHECK(at != requests.end());
  return *at;
}

void Engine::State::take_logits(const Batch& batch, std::span<const float> logits) {
  const auto vocabulary = static_cast<size_t>(model.limits().vocabulary);
  const std::vector<Sequence*> planned = scheduler.planned();
  std::vector<std::pair<Running*, TokenScore>> chosen;
  size_t row = 0;
  for (size_t i = 0; i < planned.size(); i++) {
    const SequenceRows& rows = batch.sequences[i];
    Running& running = owner(planned[i]);
    stats.prompt_tokens += static_cast<uint64_t>(prompt_rows(rows, running.prompt_tokens));
    const bool has_logits = row < batch.logit_rows.size() && batch.logit_rows[row] == rows.first_row + rows.rows - 1;
    if (!has_logits) continue;
    try {
      const auto index = static_cast<uint64_t>(running.generated());
      chosen.emplace_back(&running,
                          sample(logits.subspan(row * vocabulary, vocabulary), running.request.sampling, {.index = index}));
    } catch (const Error& error) {
      stats.failed++;
      finish(running, Failed{error.fault(), error.message()}, true);
    }
    row++;
  }
  scheduler.commit();
  for (auto& [running, score] : chosen) take_token(*running, score);
}

void Engine::State::take_token(Running& running, const TokenScore& score) {
  const GenerationRequest& request = running.request;
  if (running.generated() == 0) running.first_token = Clock::now();
  stats.generated_tokens++;
  const bool ends = tokenizer.ends_generation(score.token) && !request.ignore_eos;
  running.sequence.tokens.push_back(score.token);
  TextDelta delta{.tokens = {score.token}};
  if (request.sampling.top_logprobs >= 0) delta.scores.push_back(score);
  if (!ends && !tokenizer.is_control(score.token)) delta.text = running.text.push(tokenizer.bytes(score.token));
  const bool met_stop = running.text.stopped_by().has_value();
  const bool full = running.generated() >= request.max_tokens;
  const bool done = ends || met_stop || full;
  if (done) delta.text += running.text.finish();
  running.channel->send(std::move(delta));
  if (!done) return;
  const auto now = Clock::now();
  stats.finished++;
  finish(running,
         Finished{.reason = ends || running.text.stopped_by() ? FinishReason::stop : FinishReason::length,
                  .stop_string = running.text.stopped_by().value_or(""),
                  .usage = {running.prompt_tokens, running.generated(), running.reused},
                  .timings = {ms_between(running.submitted, running.admitted),
                              ms_between(running.admitted, running.first_token), ms_between(running.first_token, now)}},
         false);
}

}  // namespace lancet
