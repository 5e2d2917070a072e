// One step and what may go wrong with it. Whatever is thrown ends here: it fails the requests that it concerns, and
// everything else goes on.
#include <bit>

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "engine/engine_state.h"

namespace lancet {
namespace {

// Plans in a row that gave nobody a row or ran out of memory, until those who hold things up are failed. Several,
// because memory may come back.
constexpr int kEmptyPlans = 3;

// A grammar that allows at most this part of the vocabulary saves at least half of the head, which is computed in
// panels of 16 rows.
constexpr int kFewTokens = 32;

void log_failure(const char* what, const std::string& detail) noexcept {
  try {
    log_error(fmt::format("{}: {}", what, detail));
  } catch (const std::exception&) {
    // Without memory for the line there is no line.
  }
}

/// Without memory for the message, the fault alone.
Failed failed(Fault fault, const char* message) noexcept {
  Failed event{fault, {}};
  try {
    event.message = message;
  } catch (const std::exception&) {
    event.message.clear();
  }
  return event;
}

}  // namespace

void Engine::State::drop_ended() noexcept {
  const EngineTime time = now();
  for (auto at = requests.begin(); at != requests.end();) {
    Running& running = *at++;
    const CancelFlag* flag = running.request.cancel.get();
    if (running.channel->cancelled() || (flag && flag->raised())) {
      stats.cancelled++;
      finish(running, failed(Fault::cancelled, "nobody waits for the answer any more"), false);
    } else if (running.first_reused < 0 && running.request.begin_before && time >= *running.request.begin_before) {
      stats.timed_out++;
      finish(running, failed(Fault::timeout, "the request did not get its turn in the time that it was given"), false);
    }
  }
}

/// The next step's batch; false: there is none now.
bool Engine::State::plan(Batch& batch) noexcept {
  int rows = costs.prompt_rows(scheduler.decoding(), options.step_stretch, options.max_batch_rows);
  // Tokens that came together hold up nobody but others who generate.
  if (scheduler.decoding() == 1)
    for (const Sequence* sequence : scheduler.running_sequences())
      if (sequence->generates()) rows = std::max(rows, sequence->owed() - 1);
  const char* reason = "the scheduler found no work though requests wait";
  try {
    batch = scheduler.plan(rows);
    if (batch.rows() > 0) {
      empty_plans = 0;
      in_step.clear();
      for (Sequence* sequence : scheduler.planned()) in_step.push_back(static_cast<Running*>(sequence));
      return true;
    }
  } catch (const std::exception& error) {
    reason = error.what();
  }
  if (++empty_plans >= kEmptyPlans) {
    empty_plans = 0;
    log_failure("no step could be planned", reason);
    fail_stalled();
  }
  return false;
}

/// If every row of logits is one that a grammar restricts to few tokens, only those are computed.
void Engine::State::restrict_head(Batch& batch) const noexcept {
  const int most = limits.vocabulary / kFewTokens;
  size_t rows = 0;
  try {
    std::vector<uint64_t> wanted;
    for (size_t i = 0; i < in_step.size(); i++) {
      const Running& running = *in_step[i];
      if (batch.sequences[i].context != running.length() || !running.wants_choice()) continue;
      const bool scores = running.request.sampling.top_logprobs >= 0 || running.request.prompt_scores;
      const TokenMask* few = running.constraint && !scores ? running.constraint->few(most) : nullptr;
      if (!few) return;
      rows++;
      wanted.resize(std::max(wanted.size(), few->words().size()));
      for (size_t w = 0; w < few->words().size(); w++) wanted[w] |= few->words()[w];
    }
    if (rows == 0 || rows != batch.logit_rows.size()) return;
    for (size_t w = 0; w < wanted.size(); w++)
      for (uint64_t bits = wanted[w]; bits != 0; bits &= bits - 1)
        batch.wanted.push_back(static_cast<TokenId>(w * 64 + static_cast<size_t>(std::countr_zero(bits))));
  } catch (const std::bad_alloc&) {
    batch.wanted.clear();
  }
}

void Engine::State::fail_stalled() noexcept {
  keep_snapshot();
  try {
    {
      const std::lock_guard lock(snapshot_mutex);
      for (const View& view : snapshot)
        log_error(fmt::format("request {}: {}, {} tokens, {} cached, {} blocks, sent back {} times", view.ticket,
                              view.place == Sequence::Place::running ? "runs" : "waits", view.length, view.cached,
                              view.blocks, view.preemptions));
    }
    for (Sequence* sequence : scheduler.stalled())
      fail(static_cast<Running&>(*sequence), Fault::internal, "the request could not be given a turn", true);
  } catch (const std::exception& error) {
    // No memory even for a list of them: the first one's blocks make room.
    if (!requests.empty()) fail(requests.front(), Fault::internal, error.what(), true);
  }
}

void Engine::State::note_admissions() noexcept {
  EngineTime time = {};
  for (Sequence* sequence : scheduler.running_sequences()) {
    auto& running = static_cast<Running&>(*sequence);
    if (running.first_reused >= 0) continue;
    if (time == EngineTime{}) time = now();
    running.first_reused = std::min(running.reused, running.prompt_tokens);  // not what a grammar added to it
    running.begun_at = time;
    stats.queried_tokens += static_cast<uint64_t>(running.prompt_tokens);
    stats.cached_tokens += static_cast<uint64_t>(running.first_reused);
  }
}

void Engine::State::keep_snapshot() noexcept {
  const std::lock_guard lock(snapshot_mutex);
  snapshot.clear();
  for (const auto* list : {&scheduler.running_sequences(), &scheduler.waiting_sequences()})
    for (const Sequence* s : *list)
      snapshot.push_back({s->ticket, s->place, s->priority, s->length(), s->cached, s->planned,
                          static_cast<int>(s->table.size()), s->preemptions});  // enqueue made room
  snapshot_free_blocks = pool.free_blocks();
  snapshot_step = stats.steps;
}

void Engine::State::run(const Batch& batch) noexcept {
  stats.steps++;
  int decoding = 0, prompt_rows = 0;
  for (size_t i = 0; i < in_step.size(); i++) {
    const bool generates = in_step[i]->generates();
    decoding += generates;
    prompt_rows += batch.sequences[i].rows - generates;
  }
  const EngineTime begin = now();
  try {
    const std::span<const float> logits = model.forward(batch);
    if (logits.size() < batch.logit_rows.size() * static_cast<size_t>(limits.vocabulary))
      throw Error(Fault::internal, "the model returned too few logits");
    if (!batch.wanted.empty()) stats.masked_head_rows += batch.logit_rows.size();
    take_results(batch, logits);
  } catch (const std::exception& error) {
    return fail_planned(error.what());
  } catch (...) {
    return fail_planned("unknown exception");
  }
  costs.observe(decoding, prompt_rows, std::chrono::duration<double>(now() - begin).count());
}

/// Sends the one final event and lets go of everything.
void Engine::State::finish(Running& running, GenerationEvent final_event, bool forget) noexcept {
  scheduler.remove(running, forget);
  std::list<Running> ended;
  ended.splice(ended.begin(), requests, running.self);
  for (Running*& other : in_step)
    if (other == &running) other = nullptr;
  running.channel->send(std::move(final_event));
}

void Engine::State::fail(Running& running, Fault fault, const char* message, bool forget) noexcept {
  stats.failed++;
  finish(running, failed(fault, message), forget);
}

/// A fault in the step fails the requests that were in it; the cache rows that it may have spoiled are forgotten.
void Engine::State::fail_planned(const char* message) noexcept {
  log_failure("a step failed", message);
  for (Running* running : in_step)
    if (running) fail(*running, Fault::internal, message, true);
}

}  // namespace lancet
