// Tokens become text and events; with a grammar, a token also decides what follows it. What is thrown here fails the
// one request.
#include <algorithm>

#include "base/check.h"
#include "base/utf8.h"
#include "engine/engine_state.h"
#include "engine/repeats.h"

namespace lancet {
namespace {

bool shows(const GenerationRequest& request, TokenId token) {
  return std::binary_search(request.show_tokens.begin(), request.show_tokens.end(), token);
}

}  // namespace

/// Before a request is queued: what its grammar says of the first token, and tokens that come before any choice.
void Engine::State::constrain(Running& running) {
  if (!running.wants_text() || running.request.max_tokens == 0) return;
  const EngineTime begin = now();
  Budget budget = running.grammar_budget();
  running.constraint.emplace(running.request, tokenizer, limits.vocabulary, budget);
  stats.grammar_time.observe(seconds_between(begin, now()));
  jump(running);
  running.jumped = 0;  // they are read with the prompt
}

void Engine::State::take_token(Running& running, TokenScore score) {
  const EngineTime time = now();
  if (running.generated() > 0) stats.inter_token_time.observe(seconds_between(running.last_token, time));
  running.last_token = time;
  running.tokens.push_back(score.token);
  running.jumped = 0;
  if (running.constraint && !running.ends_with(score.token)) follow(running, score.token);
  tell(running, std::move(score));
}

/// What the grammar says after the token.
void Engine::State::follow(Running& running, TokenId token) {
  const EngineTime begin = now();
  Budget budget = running.grammar_budget();
  running.constraint->accept(token, budget);
  stats.grammar_time.observe(seconds_between(begin, now()));
  jump(running);
}

/// Appends what must come next. Where scores are asked for, the model is asked for each of them.
void Engine::State::jump(Running& running) {
  const bool scores = running.request.sampling.top_logprobs >= 0 || running.request.prompt_scores;
  if (!options.jump || scores) return;
  const std::vector<TokenId> forced = running.constraint->take_forced();
  running.tokens.insert(running.tokens.end(), forced.begin(), forced.end());
  running.jumped += static_cast<int>(forced.size());
  stats.forced_tokens += forced.size();
}

/// Tells the caller of all tokens that it does not know yet. `score`: the last token's, where scores are asked for.
void Engine::State::tell(Running& running, std::optional<TokenScore> score) {
  TextDelta delta;
  std::optional<Ending> ending;
  while (!ending && running.told < running.generated()) ending = tell_token(running, delta);
  if (running.constraint) {
    if (!ending && running.constraint->complete()) ending = Ending{running.constraint->end_reason(), {}};
    running.constraint->forget_before(running.text_begin + running.text.given());
  }
  stats.generated_tokens += delta.tokens.size();
  if (score && running.request.sampling.top_logprobs >= 0) delta.scores.push_back(std::move(*score));
  if (ending) {
    // A stop string may have ended the answer before what was to follow.
    running.tokens.resize(static_cast<size_t>(running.prompt_tokens + running.told));
    delta.text += running.told <= running.request.min_tokens ? running.first_text.finish() : running.text.finish();
    if (running.request.keep_stop && running.text.stopped_by()) delta.text += *running.text.stopped_by();
  }
  running.channel->send(std::move(delta));
  if (ending) end(running, *ending);
}

/// Adds the next token to the delta; says how the answer ends with it, if it does.
std::optional<Ending> Engine::State::tell_token(Running& running, TextDelta& delta) {
  const GenerationRequest& request = running.request;
  const TokenId token = running.tokens[static_cast<size_t>(running.prompt_tokens + running.told)];
  const bool ends = running.ends_with(token);
  delta.text += take_text(running, token, ends);
  if (shows(request, token)) {
    running.unfinished.clear();
    delta.text += running.told < request.min_tokens ? running.first_text.flush() : running.text.flush();
    if (!running.text.stopped_by()) delta.shown.push_back({delta.text.size(), token});
  }
  delta.tokens.push_back(token);
  running.told++;
  const Constraint* constraint = running.constraint ? &*running.constraint : nullptr;
  const auto reason = [&](FinishReason natural) { return constraint ? constraint->reason(natural) : natural; };
  if (ends) {
    const auto& asked = request.stop_tokens;
    const bool by_request = std::find(asked.begin(), asked.end(), token) != asked.end();
    return Ending{reason(FinishReason::stop), by_request ? std::optional(token) : std::nullopt};
  }
  if (running.text.stopped_by()) return Ending{reason(FinishReason::stop), {}};
  if (goes_in_circles(running)) return Ending{FinishReason::repetition, {}};
  if (constraint && running.told == running.generated() && constraint->complete()) return {};  // tell() knows why
  if (running.told >= request.max_tokens) return Ending{reason(FinishReason::length), {}};
  return {};
}

/// Whether a repetition ends the answer. A grammar has to close first what is open.
bool Engine::State::goes_in_circles(Running& running) {
  const auto answer = std::span<const TokenId>(running.tokens).subspan(static_cast<size_t>(running.prompt_tokens));
  if (!repeats(answer.first(static_cast<size_t>(running.told)), running.request.repetition)) return false;
  if (!running.constraint) return true;
  Budget budget = running.grammar_budget();
  running.constraint->close(FinishReason::repetition, budget);
  jump(running);
  return false;
}

/// The text that the token makes certain. Before min_tokens no stop string counts, also not the beginning of one.
std::string Engine::State::take_text(Running& running, TokenId token, bool ends) {
  const bool shown = !ends && !tokenizer.is_control(token);
  if (running.told < running.request.min_tokens) {
    if (!shown) return {};
    const std::string_view bytes = tokenizer.bytes(token);
    running.unfinished += bytes;
    const size_t complete = utf8_complete_prefix(running.unfinished);
    running.unfinished.erase(0, complete);
    running.text_begin += complete;
    return running.first_text.push(bytes);
  }
  std::string text;
  if (!running.unfinished.empty()) {
    text = running.text.push(running.unfinished);
    running.unfinished.clear();
  }
  if (shown) text += running.text.push(tokenizer.bytes(token));
  return text;
}

void Engine::State::end(Running& running, const Ending& ending) {
  const EngineTime time = now();
  const double queue = seconds_between(running.submitted, running.begun_at),
               prefill = seconds_between(running.begun_at, running.answered),
               decode = seconds_between(running.answered, time);
  Finished finished{.reason = ending.reason,
                    .closed_early = running.constraint && running.constraint->closed_early(),
                    .stop_string = running.text.stopped_by().value_or(""),
                    .stop_token = ending.stop_token,
                    .usage = {running.prompt_tokens, running.generated(), running.first_reused},
                    .timings = {queue * 1000, prefill * 1000, decode * 1000}};
  stats.finished++;
  stats.finished_stop += ending.reason == FinishReason::stop;
  stats.finished_length += ending.reason == FinishReason::length;
  stats.finished_repetition += ending.reason == FinishReason::repetition;
  stats.queue_time.observe(queue);
  stats.prefill_time.observe(prefill);
  stats.decode_time.observe(decode);
  stats.request_time.observe(seconds_between(running.submitted, time));
  finish(running, std::move(finished), false);
}

}  // namespace lancet
