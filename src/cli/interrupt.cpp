#include "cli/interrupt.h"

#include <signal.h>

#include <atomic>

namespace lancet {
namespace {

// Written by a signal handler, read by the main thread; they order nothing.
std::atomic<bool> interrupted = false, resized = false, continued = false;
static_assert(std::atomic<bool>::is_always_lock_free);

void note_signal(int number) {
  (number == SIGINT ? interrupted : number == SIGWINCH ? resized : continued).store(true, std::memory_order_relaxed);
}

}  // namespace

void watch_terminal_signals() {
  struct sigaction action = {};
  action.sa_handler = note_signal;
  action.sa_flags = SA_RESTART;  // so that nothing that is written is lost; poll() ends all the same
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGINT, SIGWINCH, SIGCONT}) sigaction(number, &action, nullptr);
}

bool take_interrupt() { return interrupted.exchange(false, std::memory_order_relaxed); }
bool take_resize() { return resized.exchange(false, std::memory_order_relaxed); }
bool take_continue() { return continued.exchange(false, std::memory_order_relaxed); }

}  // namespace lancet
