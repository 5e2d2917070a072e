// Who runs next. Every running sequence is owed the rows of its tokens that are not cached; a step hands out up to
// max_batch_rows of them, sequences that owe one row first, so that a long prompt never stops the others. Integers
// only.
#pragma once

#include <deque>
#include <vector>

#include "backend/batch.h"
#include "engine/block_pool.h"
#include "engine/sequence.h"

namespace lancet {

struct SchedulerOptions {
  int max_sequences = 16;
  int max_batch_rows = 256;
  bool prefix_reuse = true;
};

/// Owns no sequence; a sequence must be removed before it dies. Not thread-safe.
class Scheduler {
 public:
  Scheduler(BlockPool& pool, SchedulerOptions options) : pool_(pool), options_(options) {}

  /// Queues a sequence behind all others. It must fit the pool when alone.
  void add(Sequence&);
  /// Takes a sequence out, wherever it is, and frees its blocks. `forget`: nobody may reuse their content.
  void remove(Sequence&, bool forget);
  /// The next step's rows; empty if nobody owes any. Sequence i of the batch is planned()[i]. Rows whose sequence will
  /// owe nothing afterwards want logits.
  Batch plan();
  const std::vector<Sequence*>& planned() const { return planned_; }
  /// The planned step has run: its rows are cached, and full blocks become findable.
  void commit();

  int running() const { return static_cast<int>(running_.size()); }
  int waiting() const { return static_cast<int>(waiting_.size()); }
  uint64_t preemptions() const { return preemptions_; }

 private:
  int plan_rows(Sequence&, int rows);
  bool make_room(const Sequence& for_whom, int blocks);
  void preempt_newest();
  bool admit();
  Batch build() const;

  BlockPool& pool_;
  SchedulerOptions options_;
  std::vector<Sequence*> running_;  // oldest first
  std::deque<Sequence*> waiting_;   // next first; preempted ones come back to the front
  std::vector<Sequence*> planned_;
  uint64_t preemptions_ = 0;
};

}  // namespace lancet
