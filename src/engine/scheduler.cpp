#include "engine/scheduler.h"

#include <algorithm>

#include "base/check.h"
#include "base/sizes.h"

namespace lancet {
namespace {

int blocks_for(int tokens) { return static_cast<int>(divide_up(static_cast<uint64_t>(tokens), kBlockTokens)); }

}  // namespace

void Scheduler::add(Sequence& sequence) {
  CHECK(blocks_for(sequence.length()) <= pool_.blocks());
  waiting_.push_back(&sequence);
}

void Scheduler::remove(Sequence& sequence, bool forget) {
  std::erase(running_, &sequence);
  std::erase(waiting_, &sequence);
  std::erase(planned_, &sequence);
  forget ? pool_.release_and_forget(sequence.table) : pool_.release(sequence.table);
}

Batch Scheduler::plan() {
  planned_.clear();
  for (Sequence* sequence : running_) sequence->planned = 0;
  int rows = options_.max_batch_rows;
  // Preemption shortens running_ from its end while it is walked; indices stay right.
  for (const bool decoding : {true, false})
    for (size_t i = 0; i < running_.size() && rows > 0; i++) {
      Sequence& sequence = *running_[i];
      if (sequence.planned == 0 && (sequence.owed() == 1) == decoding) rows -= plan_rows(sequence, rows);
    }
  while (rows > 0 && admit()) {
    Sequence& newest = *running_.back();
    const int planned = plan_rows(newest, rows);
    rows -= planned;
    if (planned == 0) break;
  }
  for (Sequence* sequence : running_)
    if (sequence->planned > 0) planned_.push_back(sequence);
  return build();
}

/// Gives the sequence up to `rows` rows and the blocks for them; 0 if there is no room.
int Scheduler::plan_rows(Sequence& sequence, int rows) {
  const int wanted = std::min(rows, sequence.owed());
  const int more = blocks_for(sequence.cached + wanted) - static_cast<int>(sequence.table.size());
  if (more > 0 && !make_room(sequence, more)) return 0;
  if (more > 0) CHECK(pool_.extend(sequence.table, more));
  sequence.planned = wanted;
  return wanted;
}

/// Frees blocks by sending the newest sequences back, but never one that is older than `for_whom`: the oldest always
/// gets what it needs, so somebody always finishes.
bool Scheduler::make_room(const Sequence& for_whom, int blocks) {
  while (pool_.free_blocks() < blocks) {
    if (running_.back() == &for_whom) {
      if (running_.size() > 1) preempt_newest();  // it waits until an older one has finished
      return false;
    }
    preempt_newest();
  }
  return true;
}

void Scheduler::preempt_newest() {
  Sequence& newest = *running_.back();
  running_.pop_back();
  pool_.release(newest.table);
  newest.cached = newest.published = newest.planned = 0;
  newest.prefix = 0;
  waiting_.push_front(&newest);
  preemptions_++;
}

/// Lets the first waiting sequence run if the pool can take all its tokens, so that admission alone preempts nobody.
bool Scheduler::admit() {
  if (waiting_.empty() || running() >= options_.max_sequences) return false;
  Sequence& next = *waiting_.front();
  if (options_.prefix_reuse) {
    next.prefix = pool_.match(next.tokens, next.table);
    next.published = static_cast<int>(next.table.size());
    next.cached = next.published * kBlockTokens;
  }
  const int more = blocks_for(next.length()) - static_cast<int>(next.table.size());
  if (more > pool_.free_blocks()) {
    pool_.release(next.table);
    next.cached = next.published = 0;
    next.prefix = 0;
    return false;
  }
  next.reused = next.cached;
  next.planned = 0;
  waiting_.pop_front();
  running_.push_back(&next);
  return true;
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
      batch.tokens.push_back(sequence->tokens[static_cast<size_t>(position)]);
      batch.positions.push_back(position);
      batch.slots.push_back(block * kBlockTokens + position % kBlockTokens);
    }
    if (context == sequence->length()) batch.logit_rows.push_back(batch.rows() - 1);
  }
  return batch;
}

void Scheduler::commit() {
  for (Sequence* sequence : planned_) {
    sequence->cached += sequence->planned;
    sequence->planned = 0;
    if (!options_.prefix_reuse) continue;
    for (; (sequence->published + 1) * kBlockTokens <= sequence->cached; sequence->published++) {
      const auto at = static_cast<size_t>(sequence->published);
      const auto tokens = std::span<const TokenId>(sequence->tokens).subspan(at * kBlockTokens, kBlockTokens);
      sequence->prefix = pool_.publish(sequence->table[at], sequence->prefix, tokens);
    }
  }
}

}  // namespace lancet
