// Who of the waiting comes next: priority first, among equals a fair share of tokens for each owner, within an owner
// the order of arrival; and nobody waits for ever.
//
// Shares are kept by self-clocked fair queueing (Golestani 1994), which is deficit round robin without a quantum: a
// sequence's tag is the virtual time at which an owner who has the machine to an equal share is done with it, and the
// lowest tag goes first. Tags of one owner ascend, newcomers start at the clock (the tag served last), so whoever waits
// is overtaken by a bounded number of tokens only.
#pragma once

#include <vector>

#include "engine/sequence.h"

namespace lancet {

/// A sequence sent back as often as this is never sent back again, and comes before all others.
inline constexpr int kPinnedAfter = 3;
inline bool is_pinned(const Sequence& sequence) { return sequence.preemptions >= kPinnedAfter; }

/// Owns no sequence. Not thread-safe. Only enter() allocates.
class FairQueue {
 public:
  /// After as many turns of better priorities a worse one has a turn.
  static constexpr int kMostPassed = 16;

  /// Queues a new sequence. Throws std::bad_alloc and has then changed nothing.
  void enter(Sequence&);
  /// Ends the membership of a sequence that is waiting or was taken.
  void leave(Sequence&) noexcept;
  /// The next sequence that is not held; null if there is none.
  Sequence* next() const noexcept;
  /// Holds it and all that queue behind it (same owner and priority) until release_holds().
  void hold(const Sequence&) noexcept;
  void release_holds() noexcept;
  /// Takes it out to run; it stays a member.
  void take(Sequence&) noexcept;
  /// Brings a taken sequence back to where it was.
  void put_back(Sequence&) noexcept;

  int size() const { return static_cast<int>(waiting_.size()); }
  const std::vector<Sequence*>& waiting() const { return waiting_; }

 private:
  struct Level {
    int priority = 0;
    int members = 0;     // waiting or running
    uint64_t clock = 0;  // tag of the sequence served last
    int passed = 0;      // turns of better levels since somebody of this one has been waiting
  };

  Level* level_of(int priority) noexcept;
  /// The level whose turn it is; `overdue`: look at those that were passed too often.
  const Level* level(bool overdue) const noexcept;
  bool has_waiting(int priority) const noexcept;

  std::vector<Level> levels_;
  std::vector<Sequence*> waiting_;  // in no order; room for all members
  int members_ = 0;
  bool overdue_served_ = false;  // the last turn was an overdue one: the next is not
};

}  // namespace lancet
