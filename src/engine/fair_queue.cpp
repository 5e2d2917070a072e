#include "engine/fair_queue.h"

#include <algorithm>

#include "base/check.h"

namespace lancet {

void FairQueue::enter(Sequence& sequence) {
  waiting_.reserve(static_cast<size_t>(members_) + 1);
  Level* level = level_of(sequence.priority);
  if (!level) level = &levels_.emplace_back(Level{.priority = sequence.priority});
  uint64_t start = level->clock;
  for (const Sequence* other : waiting_)
    if (other->priority == sequence.priority && other->owner == sequence.owner) start = std::max(start, other->tag);
  sequence.tag = start + static_cast<uint64_t>(sequence.length());
  level->members++;
  members_++;
  waiting_.push_back(&sequence);
}

void FairQueue::leave(Sequence& sequence) noexcept {
  std::erase(waiting_, &sequence);
  Level* level = level_of(sequence.priority);
  CHECK(level);
  members_--;
  if (--level->members == 0) levels_.erase(levels_.begin() + (level - levels_.data()));
}

Sequence* FairQueue::next() const noexcept {
  Sequence* best = nullptr;
  for (Sequence* sequence : waiting_)
    if (is_pinned(*sequence) && (!best || sequence->ticket < best->ticket)) best = sequence;
  if (best) return best;
  const Level* turn = overdue_served_ ? nullptr : level(true);
  if (!turn) turn = level(false);
  if (!turn) return nullptr;
  for (Sequence* sequence : waiting_) {
    if (sequence->priority != turn->priority || sequence->held) continue;
    if (!best || sequence->tag < best->tag || (sequence->tag == best->tag && sequence->ticket < best->ticket))
      best = sequence;
  }
  return best;
}

void FairQueue::hold(const Sequence& first) noexcept {
  const int priority = first.priority;
  const uint64_t owner = first.owner;
  for (Sequence* sequence : waiting_)
    if (sequence->priority == priority && sequence->owner == owner) sequence->held = true;
}

void FairQueue::release_holds() noexcept {
  for (Sequence* sequence : waiting_) sequence->held = false;
}

void FairQueue::take(Sequence& sequence) noexcept {
  bool better_waits = false;
  for (Level& level : levels_) {
    if (level.priority == sequence.priority) {
      level.clock = std::max(level.clock, sequence.tag);
      level.passed = 0;
    } else if (level.priority > sequence.priority) {
      level.passed += has_waiting(level.priority);
    } else {
      better_waits = better_waits || has_waiting(level.priority);
    }
  }
  overdue_served_ = better_waits;
  std::erase(waiting_, &sequence);
}

void FairQueue::put_back(Sequence& sequence) noexcept {
  CHECK(waiting_.size() < waiting_.capacity());  // enter() made room for every member
  waiting_.push_back(&sequence);
}

FairQueue::Level* FairQueue::level_of(int priority) noexcept {
  const auto at = std::find_if(levels_.begin(), levels_.end(), [&](const Level& l) { return l.priority == priority; });
  return at == levels_.end() ? nullptr : &*at;
}

const FairQueue::Level* FairQueue::level(bool overdue) const noexcept {
  const Level* best = nullptr;
  for (const Level& level : levels_) {
    if (overdue && level.passed < kMostPassed) continue;
    if (best && (overdue ? level.passed <= best->passed : level.priority >= best->priority)) continue;
    if (has_waiting(level.priority)) best = &level;
  }
  return best;
}

bool FairQueue::has_waiting(int priority) const noexcept {
  return std::any_of(waiting_.begin(), waiting_.end(),
                     [&](const Sequence* s) { return s->priority == priority && !s->held; });
}

}  // namespace lancet
