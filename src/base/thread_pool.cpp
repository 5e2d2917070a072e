#include "base/thread_pool.h"

#include <algorithm>

#ifdef __linux__
#include <sched.h>
#endif

#include "base/check.h"

namespace lancet {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// Longer than the gaps inside a step, shorter than anyone notices.
constexpr auto kSpinTime = microseconds(50);
// A worker is late when the others wait longer than this and than a few pieces take.
constexpr auto kLateTime = microseconds(100);
constexpr int kLatePieces = 4;
// A worker that was late rests so long; twice as long each time it is late again soon after.
constexpr auto kShortRest = milliseconds(10), kLongRest = milliseconds(160);

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Waits until `ready()` says so, but not much longer than kSpinTime; returns what it said last.
template <typename Ready>
bool spin(const Ready& ready) {
  constexpr int kSpins = 64;  // between looks at the clock, which cost as much as a few
  for (int i = 0; i < kSpins; i++, relax())
    if (ready()) return true;
  const auto end = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < kSpins; i++, relax())
      if (ready()) return true;
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

int usable_cores() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

uint32_t loop_number(uint64_t state) { return static_cast<uint32_t>(state >> 32); }
// The lower half counts down from here + pieces; late takers may bring it a little below.
constexpr uint32_t kNoPieces = uint32_t{1} << 31;
int64_t pieces_left(uint64_t state) { return int64_t{static_cast<uint32_t>(state)} - kNoPieces; }

}  // namespace

ThreadPool::ThreadPool(int threads) {
  const int count = threads > 0 ? threads : usable_cores();
  for (int i = 1; i < count; i++) slots_.push_back(std::make_unique<Slot>());
  for (const auto& slot : slots_) workers_.emplace_back([this, &slot = *slot] { worker_loop(slot); });
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  for (const auto& slot : slots_) {
    slot->wake.fetch_add(1);
    slot->wake.notify_one();
  }
}

void ThreadPool::run_pieces(int64_t items, int64_t grain, Call call, const void* context) {
  CHECK(grain >= 1);
  if (items <= 0) return;
  if (workers_.empty() || items <= grain) {
    for (int64_t begin = 0; begin < items; begin += grain) call(context, begin, std::min(begin + grain, items));
    return;
  }
  const int64_t pieces = (items - 1) / grain + 1;
  CHECK(pieces < kNoPieces);
  const auto count = static_cast<uint32_t>(pieces);
  items_ = items;
  grain_ = grain;
  pieces_ = pieces;
  call_ = call;
  context_ = context;
  finished_.store(0, std::memory_order_relaxed);
  const auto begin = Clock::now();
  if (resting_ > 0) end_rests(begin);
  const uint64_t number = loop_number(state_.load(std::memory_order_relaxed)) + 1u;
  state_.store(number << 32 | (kNoPieces + count));
  if (sleepers_.load() > 0) wake_sleepers(count - 1);
  const uint32_t mine = work();
  if (finished_.load(std::memory_order_acquire) + mine != count) wait_for_others(begin, count, mine);
}

/// Takes pieces of the current loop until there are none; returns how many it did.
uint32_t ThreadPool::work() {
  uint32_t did = 0;
  while (pieces_left(state_.load(std::memory_order_relaxed)) > 0) {
    const int64_t left = pieces_left(state_.fetch_sub(1, std::memory_order_acquire));
    if (left <= 0) break;
    const int64_t begin = (pieces_ - left) * grain_;
    call_(context_, begin, std::min(begin + grain_, items_));
    did++;
  }
  return did;
}

void ThreadPool::wait_for_others(Clock::time_point begin, uint32_t pieces, uint32_t mine) {
  const auto idle = Clock::now();
  const auto done = [&] { return finished_.load(std::memory_order_acquire) + mine == pieces; };
  if (spin(done)) return;
  for (const auto& slot : slots_) slot->late = slot->working.load(std::memory_order_relaxed);
  while (!done()) {
    const uint32_t seen = finished_.load(std::memory_order_acquire);
    if (seen + mine != pieces) finished_.wait(seen, std::memory_order_acquire);
  }
  // Whoever did no piece of its own does not know how long one takes.
  if (mine > 0 && Clock::now() - idle > std::max<Clock::duration>(kLateTime, (idle - begin) / mine * kLatePieces))
    put_late_to_rest();
}

void ThreadPool::put_late_to_rest() {
  const auto now = Clock::now();
  for (const auto& slot : slots_) {
    if (!slot->late || slot->resting.load(std::memory_order_relaxed)) continue;
    const bool again = now < slot->rest_end + 2 * slot->rest;
    slot->rest = again ? std::min<Clock::duration>(2 * slot->rest, kLongRest) : kShortRest;
    slot->rest_end = now + slot->rest;
    slot->resting.store(true, std::memory_order_relaxed);
    resting_++;
  }
}

void ThreadPool::end_rests(Clock::time_point now) {
  for (const auto& slot : slots_) {
    if (!slot->resting.load(std::memory_order_relaxed) || now < slot->rest_end) continue;
    slot->resting.store(false, std::memory_order_relaxed);
    resting_--;
  }
}

void ThreadPool::wake_sleepers(uint32_t most) {
  for (const auto& slot : slots_) {
    if (most == 0) return;
    if (!slot->asleep.load() || slot->resting.load(std::memory_order_relaxed)) continue;
    if (!slot->asleep.exchange(false)) continue;
    sleepers_.fetch_sub(1);
    slot->wake.fetch_add(1);
    slot->wake.notify_one();
    most--;
  }
}

void ThreadPool::worker_loop(Slot& slot) {
  while (!stopping_.load(std::memory_order_relaxed)) {
    const uint32_t seen = loop_number(state_.load(std::memory_order_relaxed));
    if (!slot.resting.load(std::memory_order_relaxed)) {
      slot.working.store(true, std::memory_order_relaxed);
      const uint32_t did = work();
      if (did > 0) {
        finished_.fetch_add(did);
        finished_.notify_one();
      }
      slot.working.store(false, std::memory_order_relaxed);
      // Pieces of a loop later than `seen` may be among those done: then there is one useless look for more.
      if (spin([&] { return loop_number(state_.load(std::memory_order_relaxed)) != seen; })) continue;
    }
    sleep(slot, seen);
  }
}

/// Until there is a loop other than `seen` and no rest, or the end; may return early.
void ThreadPool::sleep(Slot& slot, uint32_t seen) {
  const uint32_t ticket = slot.wake.load();
  sleepers_.fetch_add(1);
  slot.asleep.store(true);
  const bool nothing = slot.resting.load(std::memory_order_relaxed) || loop_number(state_.load()) == seen;
  if (nothing && !stopping_.load()) slot.wake.wait(ticket);
  if (slot.asleep.exchange(false)) sleepers_.fetch_sub(1);
}

}  // namespace lancet
