#include "engine/simulator.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/hash.h"

namespace lancet::test {
namespace {

int blocks_for(int tokens) { return (tokens + kBlockTokens - 1) / kBlockTokens; }

constexpr int kLongest = 96;  // tokens of a sequence at its end

}  // namespace

// A small world: pools that hold one to a few sequences, so that everything that is rare in life is frequent here.
Simulator::Simulator(uint64_t seed, Planted planted)
    : random_(seed),
      planted_(planted),
      blocks_(blocks_for(kLongest) + static_cast<int>(random_.below(24))),
      max_sequences_(1 + static_cast<int>(random_.below(8))),
      max_rows_(1 + static_cast<int>(random_.below(64))),
      most_waiting_(1 + static_cast<int>(random_.below(12))),
      priorities_(1 + static_cast<int>(random_.below(3))),
      owners_(1 + static_cast<int>(random_.below(4))),
      salts_(1 + static_cast<int>(random_.below(2))),
      pool_(blocks_),
      scheduler_(pool_, {.max_sequences = max_sequences_,
                         .max_batch_rows = max_rows_,
                         .prefix_reuse = random_.below(8) != 0,
                         .max_scored_rows = 1 + static_cast<int>(random_.below(8))}) {
  for (int i = 0; i < 3; i++) {
    prompts_.emplace_back(64);
    for (TokenId& token : prompts_.back()) token = static_cast<TokenId>(random_.below(1000));
  }
  cache_.assign(static_cast<size_t>(blocks_ * kBlockTokens), 0);
  holders_.resize(static_cast<size_t>(blocks_));
}

std::optional<std::string> Simulator::step() {
  steps_++;
  cancel_some();
  if (scheduler_.waiting() < most_waiting_ && random_.below(3) == 0) arrive();
  // The engine's half of the contract: who is cancelled is removed before the next plan.
  for (auto at = requests_.begin(); at != requests_.end();) {
    Request& request = *at++;
    if (!request.cancelled) continue;
    cancelled++;
    if (planted_ == Planted::forgotten_cancel && random_.below(4) == 0) continue;
    finish(request, false);
  }
  if (auto problem = check_cancels()) return problem;
  plant();
  if (auto problem = check_blocks()) return problem;
  const int decoding = scheduler_.decoding();
  const int granted =
      random_.below(2) ? max_rows_ : 1 + static_cast<int>(random_.below(static_cast<uint64_t>(max_rows_)));
  const Batch batch = scheduler_.plan(planted_ == Planted::unbounded_prompts ? max_rows_ : granted);
  if (auto problem = check_batch(batch, granted, decoding)) return problem;
  if (auto problem = check_order()) return problem;
  if (auto problem = check_content()) return problem;
  run(batch);
  if (auto problem = check_blocks()) return problem;
  if (auto problem = check_places()) return problem;
  return check_patience();
}

void Simulator::arrive() {
  Request& request = requests_.emplace_back();
  const std::vector<TokenId>& shared = prompts_[random_.below(prompts_.size())];
  if (random_.below(2))
    request.tokens.assign(shared.begin(), shared.begin() + static_cast<ptrdiff_t>(random_.below(65)));
  for (uint64_t own = 1 + random_.below(random_.below(4) ? 8 : 24); own > 0; own--)
    request.tokens.push_back(static_cast<TokenId>(random_.below(1000)));
  request.prompt = request.length();
  request.length_at_end = std::min(kLongest, request.prompt + 1 + static_cast<int>(random_.below(40)));
  request.max_length = request.length_at_end;
  request.priority = static_cast<int>(random_.below(static_cast<uint64_t>(priorities_)));
  request.owner = random_.below(static_cast<uint64_t>(owners_));
  request.true_salt = random_.below(static_cast<uint64_t>(salts_)) * 77;
  request.cache_salt = planted_ == Planted::mixed_salts ? 0 : request.true_salt;
  if (random_.below(16) == 0) request.wanted = random_.below(2) ? WantedRows::all_logits : WantedRows::all_states;
  request.last_row = steps_;
  extend_chain(request);
  scheduler_.add(request);
}

void Simulator::cancel_some() {
  if (requests_.empty() || random_.below(50) != 0) return;
  auto at = requests_.begin();
  std::advance(at, static_cast<ptrdiff_t>(random_.below(requests_.size())));
  at->cancelled = true;
}

/// Mistakes outside the scheduler's code are made here, with its own tools.
void Simulator::plant() {
  const auto& running = scheduler_.running_sequences();
  switch (planted_) {
    case Planted::leaked_block:
      if (hidden_.empty()) pool_.extend(hidden_, 1);
      break;
    case Planted::double_release:
      if (!running.empty() && !running[0]->table.empty()) {
        std::vector<int32_t> again = {running[0]->table.back()};
        pool_.release(again);
      }
      break;
    case Planted::wrong_order: {
      const auto& waiting = scheduler_.waiting_sequences();
      for (Sequence* a : waiting)
        for (Sequence* b : waiting)
          if (a->ticket < b->ticket && a->owner == b->owner && a->priority == b->priority && a->preemptions == 0 &&
              b->preemptions == 0 && a->tag < b->tag)
            std::swap(a->tag, b->tag);
      break;
    }
    case Planted::lost_request:
      if (!running.empty() && random_.below(10) == 0) scheduler_.remove(*running[0], false);
      break;
    case Planted::starved_owner:
      for (Sequence* waiting : scheduler_.waiting_sequences())
        if (waiting->owner == 0 && waiting->preemptions == 0) waiting->tag = UINT64_MAX;
      break;
    default: break;
  }
}

/// The model's half: writes what it is told, shows what is asked, fails now and then.
void Simulator::run(const Batch& batch) {
  const std::vector<Sequence*> planned = scheduler_.planned();
  const bool fails = random_.below(400) == 0;
  // Who came first loses its rows: the step knows nothing of them.
  if (planted_ == Planted::skipped_sequence && planned.size() > 1) planned[0]->planned = 0;
  for (size_t i = 0; i < planned.size(); i++) {
    auto& request = static_cast<Request&>(*planned[i]);
    const SequenceRows& rows = batch.sequences[i];
    for (int row = rows.first_row; row < rows.first_row + rows.rows; row++) {
      const auto at = static_cast<size_t>(row);
      // A failed step leaves anything at all.
      cache_[static_cast<size_t>(batch.slots[at])] =
          fails ? random_.next() : request.chain[static_cast<size_t>(batch.positions[at])];
    }
    if (request.planned > 0) request.last_row = steps_;
  }
  if (fails) {
    if (planted_ == Planted::stale_content) scheduler_.commit();
    for (Sequence* sequence : planned) {
      failed++;
      finish(static_cast<Request&>(*sequence), planted_ != Planted::stale_content);
    }
    return;
  }
  scheduler_.commit();
  for (Sequence* sequence : planned) {
    auto& request = static_cast<Request&>(*sequence);
    if (request.owed() > 0) {
      request.results = std::min(request.cached, request.prompt);
      continue;
    }
    request.results = request.prompt;
    if (random_.below(2000) == 0) {  // non-finite logits
      failed++;
      finish(request, true);
    } else if (request.length() >= request.length_at_end) {
      ended++;
      finish(request, false);
    } else {
      request.wanted = WantedRows::last_logits;
      // Now and then a grammar adds what must follow.
      const int room = request.length_at_end - request.length() - 1;
      request.jumped = random_.below(4) == 0 ? std::min(room, static_cast<int>(random_.below(24))) : 0;
      for (int i = 0; i <= request.jumped; i++) request.tokens.push_back(static_cast<TokenId>(random_.below(1000)));
      extend_chain(request);
    }
  }
}

void Simulator::finish(Request& request, bool forget) {
  scheduler_.remove(request, forget);
  requests_.remove_if([&](const Request& other) { return &other == &request; });
}

void Simulator::extend_chain(Request& request) {
  while (request.chain.size() < request.tokens.size()) {
    const uint64_t before = request.chain.empty() ? request.true_salt + 1 : request.chain.back();
    request.chain.push_back(hash_combine(before, static_cast<uint64_t>(request.tokens[request.chain.size()])));
  }
}

Simulator::Problem Simulator::check_cancels() const {
  for (const Request& request : requests_)
    if (request.cancelled)
      return fmt::format("cancel: request {} still holds {} blocks one step after it was cancelled", request.ticket,
                         request.table.size());
  return std::nullopt;
}

/// Every block is held exactly as often as tables name it, and is free exactly if none does.
Simulator::Problem Simulator::check_blocks() {
  std::fill(holders_.begin(), holders_.end(), 0);
  for (const Request& request : requests_)
    for (const int32_t block : request.table) holders_[static_cast<size_t>(block)]++;
  int free = 0;
  for (int32_t block = 0; block < blocks_; block++) {
    const int holders = holders_[static_cast<size_t>(block)];
    if (pool_.references(block) != holders)
      return fmt::format("blocks: {} is in {} tables but has {} references", block, holders, pool_.references(block));
    free += holders == 0;
  }
  if (free != pool_.free_blocks())
    return fmt::format("blocks: {} have no holder, the pool says {}", free, pool_.free_blocks());
  if (pool_.cached_blocks() < 0 || pool_.cached_blocks() > free)
    return fmt::format("blocks: {} cached of {} free", pool_.cached_blocks(), free);
  return std::nullopt;
}

/// Every request waits or runs; what waits holds nothing; what runs holds what its cached tokens need.
Simulator::Problem Simulator::check_places() const {
  size_t waiting = 0, running = 0;
  for (const Request& request : requests_) {
    const bool waits = request.place == Sequence::Place::waiting, runs = request.place == Sequence::Place::running;
    waiting += waits;
    running += runs;
    if (!waits && !runs) return fmt::format("places: request {} neither waits nor runs", request.ticket);
    if (waits && !(request.table.empty() && request.cached == 0))
      return fmt::format("places: request {} waits but holds {} blocks", request.ticket, request.table.size());
    if (runs && static_cast<int>(request.table.size()) < blocks_for(request.cached))
      return fmt::format("places: request {} has {} tokens in {} blocks", request.ticket, request.cached,
                         request.table.size());
    if (request.preemptions > kPinnedAfter)
      return fmt::format("places: request {} was sent back {} times", request.ticket, request.preemptions);
  }
  if (waiting != scheduler_.waiting_sequences().size() || running != scheduler_.running_sequences().size())
    return fmt::format("places: {} wait and {} run, the scheduler says {} and {}", waiting, running,
                       scheduler_.waiting(), scheduler_.running());
  if (scheduler_.running() > max_sequences_) return fmt::format("places: {} run", scheduler_.running());
  return std::nullopt;
}

Simulator::Problem Simulator::check_batch(const Batch& batch, int granted, int decoding) const {
  if (batch.rows() > max_rows_) return fmt::format("batch: {} rows, {} are allowed", batch.rows(), max_rows_);
  if (batch.rows() == 0 && !requests_.empty())
    return fmt::format("batch: empty although {} requests are there", requests_.size());
  const auto& planned = scheduler_.planned();
  if (planned.size() != batch.sequences.size()) return "batch: planned sequences are not those of the batch";
  int prompt_rows = 0;
  size_t logits = 0;
  for (size_t i = 0; i < planned.size(); i++) {
    const auto& sequence = static_cast<const Request&>(*planned[i]);
    const SequenceRows& rows = batch.sequences[i];
    if (rows.rows < 1 || rows.rows > sequence.owed() || rows.context != sequence.cached + rows.rows)
      return fmt::format("batch: request {} has {} rows of {} owed", sequence.ticket, rows.rows, sequence.owed());
    prompt_rows += rows.rows - (sequence.generates() && sequence.begun == sequence.admission);
    const int end = rows.first_row + rows.rows;
    const bool last = rows.context == sequence.length() && sequence.wanted != WantedRows::all_states;
    size_t here = 0;
    while (logits < batch.logit_rows.size() && batch.logit_rows[logits] < end) logits++, here++;
    if (sequence.wanted == WantedRows::last_logits && here != static_cast<size_t>(last))
      return fmt::format("batch: request {} gets {} rows of logits", sequence.ticket, here);
    for (int row = rows.first_row; row < end; row++) {
      const int position = sequence.cached + row - rows.first_row;
      const int32_t block = sequence.table.at(static_cast<size_t>(position / kBlockTokens));
      const auto at = static_cast<size_t>(row);
      if (batch.positions[at] != position || batch.slots[at] != block * kBlockTokens + position % kBlockTokens ||
          batch.tokens[at] != sequence.tokens[static_cast<size_t>(position)])
        return fmt::format("batch: row {} of request {} is wrong", row, sequence.ticket);
      if (pool_.references(block) != 1)
        return fmt::format("batch: request {} writes to a shared block", sequence.ticket);
    }
  }
  if (decoding > 0 && prompt_rows > std::max(granted, 1))
    return fmt::format("budget: {} prompt rows, {} were granted", prompt_rows, granted);
  return std::nullopt;
}

/// Of one owner and priority, who came first is first admitted first; and no priority is passed over for ever.
Simulator::Problem Simulator::check_order() {
  std::vector<const Request*> fresh;
  for (Request& request : requests_)
    if (request.place == Sequence::Place::running && request.begun != request.admission) {
      const bool first = request.admission == 0;
      request.admission = request.begun;
      request.checked = 0;
      request.last_row = steps_;
      if (first) fresh.push_back(&request);
    }
  for (const Request* admitted : fresh)
    for (const Request& other : requests_)
      if (other.place == Sequence::Place::waiting && other.admission == 0 && other.ticket < admitted->ticket &&
          other.owner == admitted->owner && other.priority == admitted->priority)
        return fmt::format("order: request {} was admitted before {}", admitted->ticket, other.ticket);
  return std::nullopt;
}

/// What a sequence believes to be cached is what the model wrote for exactly these tokens under this salt.
Simulator::Problem Simulator::check_content() {
  for (Request& request : requests_) {
    if (request.place != Sequence::Place::running) continue;
    if (request.checked == 0) reused += static_cast<uint64_t>(request.cached);
    for (int position = request.checked; position < request.cached; position++) {
      const int32_t block = request.table[static_cast<size_t>(position / kBlockTokens)];
      const auto slot = static_cast<size_t>(block * kBlockTokens + position % kBlockTokens);
      if (cache_[slot] != request.chain[static_cast<size_t>(position)])
        return fmt::format("content: request {} reads at position {} what is not its own", request.ticket, position);
    }
    request.checked = request.cached;
  }
  return std::nullopt;
}

/// Nobody waits beyond what all the work in the world can take: each of those present may be computed anew kPinnedAfter
/// times at one row a step, and kMostPassed better ones and everybody of the owner's equals may come in between.
Simulator::Problem Simulator::check_patience() const {
  const auto crowd = static_cast<uint64_t>(max_sequences_ + most_waiting_ + 1);
  const uint64_t turn = static_cast<uint64_t>(kLongest) * (kPinnedAfter + 1);
  const uint64_t waits = crowd * static_cast<uint64_t>(FairQueue::kMostPassed) * turn / 2;
  for (const Request& request : requests_) {
    const uint64_t since = steps_ - request.last_row;
    if (request.place == Sequence::Place::waiting) {
      if (since > waits) return fmt::format("patience: request {} has waited {} steps", request.ticket, since);
      continue;
    }
    // A single row a step goes to those that generate; few rows of scores go to the shortest prompts first.
    const bool slow = max_rows_ == 1 || request.wanted == WantedRows::all_logits;
    const auto runs = static_cast<uint64_t>(max_sequences_ * (slow ? kLongest : 2) + 2);
    if (since > runs)
      return fmt::format("patience: request {} runs but had no row for {} steps", request.ticket, since);
  }
  return std::nullopt;
}

}  // namespace lancet::test
