// Who runs next. Every running sequence is owed the rows of its tokens that are not cached; a step hands out up to
// max_batch_rows of them: one to each sequence that generates, then what the caller grants to prompts, shared evenly
// with tokens that a grammar has added to an answer, so that neither a stream nor a short prompt is held up by a long
// one. A pure state machine: integers, no clock, no
// thread.
//
// A sequence is admitted when the blocks of all its tokens and the next are free, and holds them from then on. If a
// generating sequence needs a block and none is free, the youngest of the worst priority is sent back to be computed
// again. One that was sent back kPinnedAfter times comes first, is admitted only with everything it may ever need set
// aside, and is never sent back again; so everybody ends.
#pragma once

#include <climits>
#include <vector>

#include "backend/batch.h"
#include "engine/block_pool.h"
#include "engine/fair_queue.h"
#include "engine/sequence.h"

namespace lancet {

struct SchedulerOptions {
  int max_sequences = 16;    // run at once
  int max_batch_rows = 256;  // of a step
  bool prefix_reuse = true;
  int max_scored_rows = 32;  // prompt rows of a step whose logits are wanted; each is a row of the vocabulary's size
};

/// Owns no sequence; a sequence must be removed before it dies. Not thread-safe.
class Scheduler {
 public:
  Scheduler(BlockPool& pool, SchedulerOptions options) : pool_(pool), options_(options) {}

  /// Queues a sequence. It must fit the pool when alone. Throws std::bad_alloc and has then changed nothing.
  void add(Sequence&);
  /// Takes a sequence out, wherever it is, and frees its blocks. `forget`: nobody may reuse their content.
  void remove(Sequence&, bool forget) noexcept;
  /// The next step's rows, `prompt_rows` of them at most beyond one for each that generates (but one if there is none
  /// of these). Sequence i of the batch is planned()[i]. Empty: nobody owes any, or memory ran out.
  /// Throws std::bad_alloc; the next plan starts afresh.
  Batch plan(int prompt_rows = INT_MAX);
  const std::vector<Sequence*>& planned() const { return planned_; }
  /// The planned step has run: its rows are cached, and full blocks become findable.
  void commit() noexcept;

  int running() const { return static_cast<int>(running_.size()); }
  int waiting() const { return queue_.size(); }
  /// Running sequences that generate.
  int decoding() const noexcept;
  uint64_t preemptions() const { return preemptions_; }
  const std::vector<Sequence*>& running_sequences() const { return running_; }
  const std::vector<Sequence*>& waiting_sequences() const { return queue_.waiting(); }
  /// Who is to blame if a plan is empty though sequences are there: those that run, else the next to be admitted.
  std::vector<Sequence*> stalled() const;

 private:
  enum class Admission { admitted, held, full };

  void plan_decoding();
  void plan_prompts(int rows);
  int planned_rows() const noexcept;
  bool grow(Sequence&) noexcept;
  int room_for(Sequence&) noexcept;
  bool make_room(Sequence& for_whom, int blocks) noexcept;
  void preempt(Sequence&) noexcept;
  void admit() noexcept;
  Admission admit(Sequence&);
  void forget_progress(Sequence&) noexcept;
  bool prefix_is_coming(const Sequence&) const noexcept;
  int set_aside(const Sequence* but_for) const noexcept;
  int blocks_at_end(const Sequence&) const noexcept;
  Batch build() const;

  BlockPool& pool_;
  const SchedulerOptions options_;
  FairQueue queue_;
  std::vector<Sequence*> running_;  // in order of admission; room for all sequences, as the next two have
  std::vector<Sequence*> planned_;
  std::vector<Sequence*> order_;  // of this plan's work
  uint64_t tickets_ = 0, plans_ = 0, preemptions_ = 0;
};

}  // namespace lancet
