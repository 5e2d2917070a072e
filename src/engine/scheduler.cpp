#include "engine/scheduler.h"

#include <algorithm>
#include <new>
#include <tuple>

#include "base/check.h"
#include "base/sizes.h"

namespace lancet {
namespace {

int blocks_for(int tokens) { return static_cast<int>(divide_up(static_cast<uint64_t>(tokens), kBlockTokens)); }

bool runs(const Sequence& sequence) { return sequence.place == Sequence::Place::running; }

/// Whoever had rows longest ago comes first.
bool waited_longer(const Sequence* a, const Sequence* b) {
  return std::tie(a->turn, a->ticket) < std::tie(b->turn, b->ticket);
}

bool wants_logits(const Sequence& sequence, int position) {
  if (sequence.wanted == WantedRows::last_logits || sequence.wanted == WantedRows::all_logits)
    if (position == sequence.length() - 1) return true;
  return sequence.wanted == WantedRows::all_logits && position >= sequence.results && position < sequence.prompt;
}

bool wants_state(const Sequence& sequence, int position) {
  if (sequence.wanted == WantedRows::last_state) return position == sequence.length() - 1;
  return sequence.wanted == WantedRows::all_states && position >= sequence.results && position < sequence.prompt;
}

}  // namespace

void Scheduler::add(Sequence& sequence) {
  CHECK(blocks_for(sequence.length()) <= pool_.blocks() && sequence.place == Sequence::Place::outside);
  const size_t all = running_.size() + queue_.waiting().size() + 1;
  for (std::vector<Sequence*>* list : {&running_, &planned_, &order_}) list->reserve(all);
  sequence.ticket = tickets_ + 1;
  queue_.enter(sequence);
  tickets_++;
  sequence.place = Sequence::Place::waiting;
}

void Scheduler::remove(Sequence& sequence, bool forget) noexcept {
  if (sequence.place == Sequence::Place::outside) return;
  queue_.leave(sequence);
  std::erase(running_, &sequence);
  std::erase(planned_, &sequence);
  sequence.place = Sequence::Place::outside;
  forget ? pool_.release_and_forget(sequence.table) : pool_.release(sequence.table);
}

Batch Scheduler::plan(int prompt_rows) {
  plans_++;
  planned_.clear();
  for (Sequence* sequence : running_) sequence->planned = 0;
  const uint64_t before = preemptions_;
  plan_decoding();
  // Room that somebody was sent back for is not given to a third.
  if (preemptions_ == before) admit();
  plan_prompts(prompt_rows);
  for (Sequence* sequence : running_)
    if (sequence->planned > 0) planned_.push_back(sequence);
  return build();
}

/// One row to each sequence that generates; if they are too many, to those that had none for longest.
void Scheduler::plan_decoding() {
  order_.clear();
  for (Sequence* sequence : running_)
    if (sequence->generates()) order_.push_back(sequence);
  const bool prompts = order_.size() < running_.size() && options_.max_batch_rows > 1;
  const size_t rows = static_cast<size_t>(options_.max_batch_rows - prompts);  // a prompt is never stopped entirely
  if (order_.size() > rows) {
    std::sort(order_.begin(), order_.end(), waited_longer);
    order_.resize(rows);
  }
  for (Sequence* sequence : order_) {
    if (!runs(*sequence) || !grow(*sequence)) continue;  // it may have been sent back for another's sake
    sequence->planned = 1;
    sequence->turn = plans_;
  }
}

/// Even shares for sequences that owe more rows; what short ones leave goes to the longer ones.
void Scheduler::plan_prompts(int rows) {
  const int used = planned_rows();
  int left = std::min(std::max(rows, used == 0 ? 1 : 0), options_.max_batch_rows - used);
  if (left <= 0) return;
  order_.clear();
  int scored = 0;
  for (Sequence* sequence : running_) {
    // Who generates and has no row now could not have its first.
    const bool skipped = sequence->generates() && sequence->planned == 0 && sequence->begun != plans_;
    if (sequence->planned == sequence->owed() || skipped) continue;
    order_.push_back(sequence);
    scored += sequence->wanted == WantedRows::all_logits;
  }
  if (order_.size() > static_cast<size_t>(left)) {
    std::sort(order_.begin(), order_.end(), waited_longer);
    order_.resize(static_cast<size_t>(left));
  }
  std::sort(order_.begin(), order_.end(), [](const Sequence* a, const Sequence* b) {
    return std::pair(a->owed() - a->planned, a->ticket) < std::pair(b->owed() - b->planned, b->ticket);
  });
  int scored_left = options_.max_scored_rows;
  const int scored_each = scored > 0 ? std::max(1, scored_left / scored) : 0;
  for (size_t i = 0; i < order_.size(); i++) {
    Sequence& sequence = *order_[i];
    int share = std::min(left / static_cast<int>(order_.size() - i), sequence.owed() - sequence.planned);
    if (sequence.wanted == WantedRows::all_logits) {
      share = std::min({share, scored_each, scored_left});
      scored_left -= share;
    }
    share = std::min(share, room_for(sequence) - sequence.planned);
    sequence.planned += share;
    if (share > 0) sequence.turn = plans_;
    left -= share;
  }
}

int Scheduler::planned_rows() const noexcept {
  int rows = 0;
  for (const Sequence* sequence : running_) rows += sequence->planned;
  return rows;
}

int Scheduler::decoding() const noexcept {
  return static_cast<int>(
      std::count_if(running_.begin(), running_.end(), [](const Sequence* s) { return s->generates(); }));
}

std::vector<Sequence*> Scheduler::stalled() const {
  if (!running_.empty()) return running_;
  Sequence* next = queue_.next();
  if (!next && !queue_.waiting().empty()) next = queue_.waiting().front();
  return next ? std::vector<Sequence*>{next} : std::vector<Sequence*>{};
}

/// Gets the block for the next row; false: not in this step.
bool Scheduler::grow(Sequence& sequence) noexcept {
  const int more = blocks_for(sequence.cached + 1) - static_cast<int>(sequence.table.size());
  if (more <= 0) return true;
  if (!make_room(sequence, more)) return false;
  try {
    return pool_.extend(sequence.table, more);
  } catch (const std::bad_alloc&) {
    return false;
  }
}

/// Rows that its blocks have room for, after taking such as are free: nobody is sent back for more rows than one.
int Scheduler::room_for(Sequence& sequence) noexcept {
  const int more = blocks_for(sequence.length()) - static_cast<int>(sequence.table.size());
  const int free = pool_.free_blocks() - set_aside(&sequence);
  try {
    if (more > 0 && free > 0) pool_.extend(sequence.table, std::min(more, free));
  } catch (const std::bad_alloc&) {
    // Then those that it has must do.
  }
  return static_cast<int>(sequence.table.size()) * kBlockTokens - sequence.cached;
}

/// Sends others back until the blocks are free, but never a better one than `for_whom`: that one goes back itself.
bool Scheduler::make_room(Sequence& for_whom, int blocks) noexcept {
  while (pool_.free_blocks() - set_aside(&for_whom) < blocks) {
    Sequence* victim = nullptr;
    for (Sequence* sequence : running_) {
      if (is_pinned(*sequence)) continue;
      if (!victim || std::tie(sequence->priority, sequence->ticket) > std::tie(victim->priority, victim->ticket))
        victim = sequence;
    }
    if (!victim) return false;
    if (victim != &for_whom) {
      preempt(*victim);
      continue;
    }
    if (running_.size() > 1) preempt(for_whom);
    return false;
  }
  return true;
}

void Scheduler::preempt(Sequence& sequence) noexcept {
  std::erase(running_, &sequence);
  forget_progress(sequence);
  sequence.place = Sequence::Place::waiting;
  sequence.preemptions++;
  preemptions_++;
  queue_.put_back(sequence);
}

void Scheduler::forget_progress(Sequence& sequence) noexcept {
  pool_.release(sequence.table);
  sequence.cached = sequence.published = sequence.planned = 0;
  sequence.prefix = BlockPool::root(sequence.cache_salt);
}

void Scheduler::admit() noexcept {
  queue_.release_holds();
  while (running() < options_.max_sequences) {
    Sequence* next = queue_.next();
    if (!next) return;
    Admission admission = Admission::full;
    try {
      admission = admit(*next);
    } catch (const std::bad_alloc&) {
      forget_progress(*next);
    }
    // Whoever comes first and does not fit keeps the others waiting, or a large one would never find room.
    if (admission == Admission::full) return;
    if (admission == Admission::held) queue_.hold(*next);
  }
}

Scheduler::Admission Scheduler::admit(Sequence& next) {
  next.prefix = BlockPool::root(next.cache_salt);
  if (options_.prefix_reuse && next.may_reuse()) {
    next.prefix = pool_.match(next.tokens, next.table, next.prefix);
    next.published = static_cast<int>(next.table.size());
    next.cached = next.published * kBlockTokens;
    if (next.preemptions == 0 && prefix_is_coming(next)) {
      forget_progress(next);
      return Admission::held;
    }
  }
  const int held = static_cast<int>(next.table.size());
  const int now = std::max(0, std::min(blocks_for(next.length() + 1), pool_.blocks()) - held);
  const int needed = is_pinned(next) ? std::max(now, blocks_at_end(next) - held) : now;
  if (pool_.free_blocks() - set_aside(nullptr) < needed || !pool_.extend(next.table, now)) {
    forget_progress(next);
    return Admission::full;
  }
  next.reused = next.cached;
  next.planned = 0;
  next.begun = plans_;
  next.place = Sequence::Place::running;
  queue_.take(next);
  running_.push_back(&next);
  return Admission::admitted;
}

/// Whether a running sequence is about to compute blocks that this one needs and that nobody has yet. Waiting for them
/// is cheaper than computing them twice: several answers to one prompt, many requests with one system prompt.
bool Scheduler::prefix_is_coming(const Sequence& next) const noexcept {
  for (const Sequence* other : running_) {
    if (other->owed() < 2 || other->cache_salt != next.cache_salt) continue;
    const auto most = std::min(other->tokens.size(), next.tokens.size() - 1);
    const auto end = next.tokens.begin() + static_cast<ptrdiff_t>(most);
    const auto common = std::mismatch(next.tokens.begin(), end, other->tokens.begin()).first - next.tokens.begin();
    const int blocks = static_cast<int>(common) / kBlockTokens;
    if (blocks > next.published && blocks > other->published) return true;
  }
  return false;
}

int Scheduler::blocks_at_end(const Sequence& sequence) const noexcept {
  return std::min(blocks_for(sequence.longest()), pool_.blocks());
}

/// Free blocks that belong to pinned sequences, because they will need them.
int Scheduler::set_aside(const Sequence* but_for) const noexcept {
  int blocks = 0;
  for (const Sequence* sequence : running_)
    if (is_pinned(*sequence) && sequence != but_for)
      blocks += std::max(0, blocks_at_end(*sequence) - static_cast<int>(sequence->table.size()));
  return blocks;
}

Batch Scheduler::build() const {
  Batch batch;
  for (const Sequence* sequence : planned_) {
    const int context = sequence->cached + sequence->planned;
    batch.sequences.push_back({.first_row = batch.rows(),
                               .rows = sequence->planned,
                               .context = context,
                               .first_block = static_cast<int>(batch.blocks.size())});
    batch.blocks.insert(batch.blocks.end(), sequence->table.begin(), sequence->table.end());
    for (int position = sequence->cached; position < context; position++) {
      const int32_t block = sequence->table[static_cast<size_t>(position / kBlockTokens)];
      if (wants_logits(*sequence, position)) batch.logit_rows.push_back(batch.rows());
      if (wants_state(*sequence, position)) batch.state_rows.push_back(batch.rows());
      batch.tokens.push_back(sequence->tokens[static_cast<size_t>(position)]);
      batch.positions.push_back(position);
      batch.slots.push_back(block * kBlockTokens + position % kBlockTokens);
    }
  }
  return batch;
}

void Scheduler::commit() noexcept {
  for (Sequence* sequence : planned_) {
    sequence->cached += sequence->planned;
    sequence->planned = 0;
  }
  if (!options_.prefix_reuse) return;
  try {
    for (Sequence* sequence : planned_)
      for (; (sequence->published + 1) * kBlockTokens <= sequence->cached; sequence->published++) {
        const auto at = static_cast<size_t>(sequence->published);
        const auto tokens = std::span<const TokenId>(sequence->tokens).subspan(at * kBlockTokens, kBlockTokens);
        sequence->prefix = pool_.publish(sequence->table[at], sequence->prefix, tokens);
      }
  } catch (const std::bad_alloc&) {
    // Nobody finds these blocks until the next step's commit tries again.
  }
}

}  // namespace lancet
