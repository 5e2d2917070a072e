#include "engine/engine.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"
#include "engine/engine_state.h"

namespace lancet {
namespace {

EngineOptions checked(EngineOptions options) {
  const auto at_least_one = [](const char* name, auto value) {
    if (!(value >= 1)) throw Error(Fault::bad_request, fmt::format("{} must be at least 1, not {}", name, value), name);
  };
  at_least_one("blocks", options.blocks);
  at_least_one("max_sequences", options.max_sequences);
  at_least_one("max_batch_rows", options.max_batch_rows);
  at_least_one("step_stretch", options.step_stretch);
  return options;
}

WantedRows wanted_rows(const GenerationRequest& request) {
  if (request.kind == GenerationKind::mean_state) return WantedRows::all_states;
  if (request.kind == GenerationKind::last_state) return WantedRows::last_state;
  return request.prompt_scores ? WantedRows::all_logits : WantedRows::last_logits;
}

/// Tokens that a request may have in the end beyond its prompt.
int most_generated(const GenerationRequest& request) {
  return request.kind == GenerationKind::text ? request.max_tokens : 0;
}

// What a grammar may take to say what follows one token, about a tenth of a second.
constexpr uint64_t kGrammarSteps = uint64_t{1} << 21;
constexpr auto kGrammarTime = std::chrono::seconds(10);

void check_grammar(const GenerationRequest& request) {
  const int64_t shortest = request.grammar->shortest_tokens();
  if (shortest > request.max_tokens)
    throw Error(Fault::bad_request,
                fmt::format("max_tokens is {}, but the shortest answer that the grammar allows takes up to {} tokens",
                            request.max_tokens, shortest),
                "max_tokens");
}

}  // namespace

Running::Running(GenerationRequest r, std::shared_ptr<Channel> c, const Tokenizer& tokenizer, EngineTime now)
    : request(std::move(r)),
      channel(std::move(c)),
      text(request.stop, request.grammar ? [this](size_t at) { return may_stop(at); } : std::function<bool(size_t)>()),
      prompt_tokens(static_cast<int>(request.prompt.size())),
      submitted(now),
      begun_at(now),
      answered(now),
      last_token(now) {
  tokens = std::move(request.prompt);
  prompt = prompt_tokens;
  max_length = prompt + most_generated(request);
  wanted = wanted_rows(request);
  priority = request.priority;
  owner = request.owner;
  cache_salt = request.cache_salt;
  end_tokens = request.stop_tokens;
  if (!request.ignore_eos) {
    const auto& model_ends = tokenizer.vocabulary().end_of_generation;
    end_tokens.insert(end_tokens.end(), model_ends.begin(), model_ends.end());
  }
  std::sort(end_tokens.begin(), end_tokens.end());
}

/// For what follows one token. The steps bound what a request may make the others wait; the time is for grammars whose
/// steps are unusually long.
Budget Running::grammar_budget() const {
  return Budget("the grammar", {.steps = kGrammarSteps, .time = kGrammarTime}, request.cancel);
}

bool Running::may_stop(size_t offset) const {
  Budget budget = grammar_budget();
  return constraint && constraint->may_stop(text_begin + offset, budget);
}

Engine::State::State(Model& m, const Tokenizer& t, EngineOptions o)
    : model(m),
      tokenizer(t),
      options(checked(std::move(o))),
      limits(m.limits()),
      context(static_cast<int>(std::min<int64_t>({options.context > 0 ? options.context : INT32_MAX, limits.context,
                                                  int64_t{options.blocks} * kBlockTokens}))),
      pool(options.blocks),
      scheduler(pool, {.max_sequences = options.max_sequences,
                       .max_batch_rows = options.max_batch_rows,
                       .prefix_reuse = options.prefix_reuse}) {}

Engine::Engine(Model& model, const Tokenizer& tokenizer, EngineOptions options)
    : state_(std::make_unique<State>(model, tokenizer, std::move(options))) {
  model.allocate_cache(state_->options.blocks);
}

Engine::~Engine() { fail_all("the server is stopping"); }

void Engine::fail_all(const std::string& message) {
  while (!state_->requests.empty())
    state_->finish(state_->requests.front(), Failed{Fault::unavailable, message}, false);
}

int Engine::context() const { return state_->context; }
int Engine::max_waiting() const { return state_->options.max_waiting; }

int64_t Engine::max_waiting_tokens() const {
  const int64_t given = state_->options.max_waiting_tokens;
  return given > 0 ? given : int64_t{4} * state_->context;
}

void Engine::check(const GenerationRequest& request) const {
  const int size = state_->tokenizer.size();
  if (request.prompt.empty()) throw Error(Fault::bad_request, "the prompt has no tokens", "prompt");
  const auto check_tokens = [&](const std::vector<TokenId>& tokens, const char* name) {
    for (const TokenId id : tokens)
      if (id < 0 || id >= size)
        throw Error(Fault::bad_request, fmt::format("token id {} is not in the vocabulary of {} tokens", id, size),
                    name);
  };
  check_tokens(request.prompt, "prompt");
  check_tokens(request.stop_tokens, "stop_token_ids");
  const bool text = request.kind == GenerationKind::text;
  if (text && request.max_tokens < (request.prompt_scores ? 0 : 1))
    throw Error(Fault::bad_request, "max_tokens must be at least 1", "max_tokens");
  if (text && request.min_tokens > request.max_tokens)
    throw Error(Fault::bad_request,
                fmt::format("min_tokens is {}, more than max_tokens, {}", request.min_tokens, request.max_tokens),
                "min_tokens");
  if (text && request.grammar && request.max_tokens > 0) check_grammar(request);
  const auto most = static_cast<size_t>(most_generated(request)), room = static_cast<size_t>(context());
  if (request.prompt.size() > room || most > room - request.prompt.size())
    throw Error(Fault::context_overflow,
                fmt::format("the prompt has {} tokens and {} more are asked for, the context is {} tokens",
                            request.prompt.size(), most, context()));
}

void Engine::check_room(size_t prompt, int waiting, int64_t waiting_tokens) const {
  if (waiting >= max_waiting()) throw Error(Fault::busy, fmt::format("{} requests are waiting already", waiting));
  const auto tokens = static_cast<int64_t>(prompt);
  if (waiting > 0 && waiting_tokens + tokens > max_waiting_tokens())
    throw Error(Fault::busy,
                fmt::format("{} requests with {} prompt tokens are waiting already; {} more would pass the "
                            "limit of {}",
                            waiting, waiting_tokens, tokens, max_waiting_tokens()));
}

Generation Engine::submit(GenerationRequest request) {
  check(request);
  const EngineStats now = stats();
  check_room(request.prompt.size(), now.waiting, now.waiting_tokens);
  auto channel = std::make_shared<Channel>(request.on_event);
  enqueue(std::move(request), channel);
  return Generation(std::move(channel));
}

void Engine::enqueue(GenerationRequest request, std::shared_ptr<Channel> channel) noexcept {
  State& state = *state_;
  const size_t before = state.requests.size();
  try {
    state.requests.emplace_back(std::move(request), channel, state.tokenizer, state.now());
    Running& running = state.requests.back();
    running.self = std::prev(state.requests.end());
    state.in_step.reserve(before + 1);
    state.chosen.reserve(before + 1);
    {
      const std::lock_guard lock(state.snapshot_mutex);
      state.snapshot.reserve(before + 1);
    }
    if (running.request.grammar) state.constrain(running);
    state.scheduler.add(running);
  } catch (const std::exception& error) {
    if (state.requests.size() > before) state.requests.pop_back();
    state.stats.failed++;
    const auto* known = dynamic_cast<const Error*>(&error);
    channel->send(Failed{known ? known->fault() : Fault::internal, error.what()});
  }
}

bool Engine::step() noexcept {
  State& state = *state_;
  state.drop_ended();
  if (state.requests.empty()) return false;
  Batch batch;
  if (!state.plan(batch)) return true;  // what could not run has failed or is tried again
  state.restrict_head(batch);
  state.note_admissions();
  state.keep_snapshot();
  state.run(batch);
  return true;
}

EngineStats Engine::stats() const {
  EngineStats stats = state_->stats;
  stats.running = state_->scheduler.running();
  stats.waiting = state_->scheduler.waiting();
  for (const Sequence* sequence : state_->scheduler.waiting_sequences()) stats.waiting_tokens += sequence->length();
  stats.prompt_tokens_s = state_->costs.prompt_tokens_s();
  stats.free_blocks = state_->pool.free_blocks();
  stats.cached_blocks = state_->pool.cached_blocks();
  stats.total_blocks = state_->pool.blocks();
  stats.evicted_blocks = state_->pool.evicted_blocks();
  stats.max_sequences = state_->options.max_sequences;
  stats.preemptions = state_->scheduler.preemptions();
  return stats;
}

std::string Engine::dump() const {
  const std::lock_guard lock(state_->snapshot_mutex);
  std::string text = fmt::format("step {}: {} of {} blocks free, {} requests", state_->snapshot_step,
                                 state_->snapshot_free_blocks, state_->options.blocks, state_->snapshot.size());
  for (const State::View& view : state_->snapshot)
    text +=
        fmt::format("\n  request {}: {}, priority {}, {} tokens, {} cached, {} rows now, {} blocks, sent back {} times",
                    view.ticket, view.place == Sequence::Place::running ? "runs" : "waits", view.priority, view.length,
                    view.cached, view.planned, view.blocks, view.preemptions);
  return text;
}

}  // namespace lancet
