// sigwait instead of handlers: what a signal does may take locks and write logs.
#include "cli/stop_signals.h"

#include <pthread.h>
#include <unistd.h>

#include "base/log.h"

namespace lancet {

StopSignals::StopSignals() {
  sigemptyset(&set_);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set_, number);
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  signal(SIGPIPE, SIG_IGN);  // stderr may be a pipe whose reader has gone
  thread_ = std::thread([this] { receive(); });
}

StopSignals::~StopSignals() {
  ending_ = true;
  pthread_kill(thread_.native_handle(), SIGTERM);
  thread_.join();
}

void StopSignals::receive() {
  while (true) {
    int number = 0;
    sigwait(&set_, &number);
    if (ending_) return;
    if (number == SIGHUP) {
      log_info("SIGHUP is ignored: there is no configuration to read again; SIGTERM stops the server");
      continue;
    }
    if (!counting_) _exit(128 + number);
    last_ = number;
    {
      const std::lock_guard lock(mutex_);
      count_++;
    }
    changed_.notify_all();
  }
}

bool StopSignals::wait(int count, std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, [&] { return count_ >= count; });
}

}  // namespace lancet
