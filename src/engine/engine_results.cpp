// What the model said becomes tokens, scores and states. Work on one request fails that request only.
#include <algorithm>
#include <limits>

#include "base/check.h"
#include "engine/engine_state.h"

namespace lancet {
namespace {

/// How many of a sequence's rows are prompt tokens; the others were generated before.
int prompt_rows(const SequenceRows& rows, int prompt_tokens) {
  return std::min(rows.context, prompt_tokens) - std::min(rows.context - rows.rows, prompt_tokens);
}

size_t count_until(const std::vector<int32_t>& rows, size_t from, int end) {
  while (from < rows.size() && rows[from] < end) from++;
  return from;
}

}  // namespace

/// Runs work on one request; what it throws fails that request.
template <typename Work>
void Engine::State::guarded(Running& running, Work work) noexcept {
  try {
    work();
  } catch (const Error& error) {
    fail(running, error.fault(), error.what(), true);
  } catch (const std::exception& error) {
    fail(running, Fault::internal, error.what(), true);
  }
}

void Engine::State::take_results(const Batch& batch, std::span<const float> logits) noexcept {
  chosen.assign(in_step.size(), std::nullopt);  // enqueue made room
  next_logits = next_state = 0;
  for (size_t i = 0; i < in_step.size(); i++) {
    const SequenceRows& rows = batch.sequences[i];
    Running& running = *in_step[i];
    stats.prompt_tokens += static_cast<uint64_t>(prompt_rows(rows, running.prompt_tokens));
    // Counted first: also if reading fails half way, the next sequence's results begin where this one's end.
    const int end = rows.first_row + rows.rows;
    const size_t logits_end = count_until(batch.logit_rows, next_logits, end);
    const size_t state_end = count_until(batch.state_rows, next_state, end);
    guarded(running, [&] {
      read_rows(running, rows, batch, logits);
      if (rows.context == running.length() && running.wants_choice())
        chosen[i] = choose(running, logits_of(logits, logits_end - 1));
    });
    next_logits = logits_end;
    next_state = state_end;
  }
  scheduler.commit();
  for (size_t i = 0; i < in_step.size(); i++) {
    if (!in_step[i] || batch.sequences[i].context < in_step[i]->length()) continue;
    Running& running = *in_step[i];
    guarded(running, [&] {
      if (!running.prompt_read) answer(running);
      // What a grammar gave before any choice, be it the whole answer.
      if (in_step[i] && (running.told < running.generated() || running.is_complete())) tell(running, {});
      if (in_step[i] && chosen[i]) take_token(running, std::move(*chosen[i]));
    });
  }
}

std::span<const float> Engine::State::logits_of(std::span<const float> logits, size_t row) const {
  const auto vocabulary = static_cast<size_t>(limits.vocabulary);
  return logits.subspan(row * vocabulary, vocabulary);
}

TokenScore Engine::State::choose(Running& running, std::span<const float> logits) const {
  SampleContext sampled;
  sampled.index = static_cast<uint64_t>(running.generated());
  sampled.tokens = running.tokens;
  sampled.prompt_tokens = running.prompt_tokens;
  sampled.ends = running.end_tokens;
  if (running.constraint) {
    Budget budget = running.grammar_budget();
    return running.constraint->choose(logits, running.request.sampling, sampled, budget);
  }
  if (running.generated() < running.request.min_tokens) sampled.forbidden = running.end_tokens;
  return sample(logits, running.request.sampling, sampled);
}

/// Takes the scores and states of the sequence's rows.
void Engine::State::read_rows(Running& running, const SequenceRows& rows, const Batch& batch,
                              std::span<const float> logits) {
  const auto hidden = static_cast<size_t>(limits.hidden);
  const int end = rows.first_row + rows.rows;
  if (running.wanted == WantedRows::all_logits)
    for (size_t at = next_logits; at < batch.logit_rows.size() && batch.logit_rows[at] < end; at++)
      score_row(running, batch.positions[static_cast<size_t>(batch.logit_rows[at])], logits_of(logits, at));
  if (batch.state_rows.empty()) return;
  const std::span<const float> states = model.states();
  if (states.size() < batch.state_rows.size() * hidden)
    throw Error(Fault::internal, "the model returned too few states");
  for (size_t at = next_state; at < batch.state_rows.size() && batch.state_rows[at] < end; at++)
    pool_row(running, batch.positions[static_cast<size_t>(batch.state_rows[at])], states.subspan(at * hidden, hidden));
}

/// The row at `position` says how likely the token after it was.
void Engine::State::score_row(Running& running, int position, std::span<const float> logits) {
  if (position != running.results || position >= running.prompt_tokens) return;
  std::vector<TokenScore>& scores = running.prompt_scores;
  if (scores.empty()) {
    scores.reserve(static_cast<size_t>(running.prompt_tokens));
    scores.push_back({.token = running.tokens[0], .logprob = std::numeric_limits<float>::quiet_NaN(), .top = {}});
  }
  if (position + 1 < running.prompt_tokens)
    scores.push_back(score_token(logits, running.tokens[static_cast<size_t>(position) + 1],
                                 std::max(running.request.sampling.top_logprobs, 0)));
  running.results = position + 1;
}

/// Sums in order of position, in double, so that the mean does not depend on how the prompt was cut.
void Engine::State::pool_row(Running& running, int position, std::span<const float> state) {
  for (const float value : state)
    if (value - value != 0) throw Error(Fault::internal, "the model produced non-finite states");
  if (running.wanted == WantedRows::last_state) {
    running.state_sum.assign(state.begin(), state.end());
    return;
  }
  if (position != running.results) return;
  running.state_sum.resize(state.size());
  for (size_t i = 0; i < state.size(); i++) running.state_sum[i] += static_cast<double>(state[i]);
  running.results = position + 1;
}

/// The prompt has been read: what was asked about it.
void Engine::State::answer(Running& running) {
  running.prompt_read = true;
  running.answered = running.last_token = now();
  if (running.request.kind != GenerationKind::text) {
    const double rows = running.wanted == WantedRows::all_states ? running.prompt_tokens : 1;
    PooledState pooled;
    pooled.values.reserve(running.state_sum.size());
    for (const double value : running.state_sum) pooled.values.push_back(static_cast<float>(value / rows));
    running.channel->send(std::move(pooled));
    return end(running, {});
  }
  stats.first_token_time.observe(seconds_between(running.submitted, running.answered));
  if (!running.request.prompt_scores) return;
  running.channel->send(PromptScores{std::move(running.prompt_scores)});
  running.wanted = WantedRows::last_logits;  // from here on it is like the others
  if (running.request.max_tokens == 0) end(running, {.reason = FinishReason::length});
}

}  // namespace lancet
