// A pull as a person sees it: a bar on a terminal, a line now and then elsewhere.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "hub/pull.h"

namespace lancet {

/// Says on stderr what a pull is doing. One thread.
class PullMeter {
 public:
  /// `line` takes a whole sentence; the bar is drawn only if stderr is a terminal and `bar` is true.
  PullMeter(std::function<void(const std::string&)> line, bool bar);
  ~PullMeter();
  /// The callbacks; valid while this lives.
  PullWatch watch();

 private:
  using Clock = std::chrono::steady_clock;
  void say(const std::string& sentence);
  void planned(const PullPlan&);
  void progress(const PullProgress&);
  void draw(const PullProgress&, const std::string& done);

  std::function<void(const std::string&)> line_;
  bool bar_, drawn_ = false;
  Clock::time_point measured_, shown_;
  uint64_t measured_bytes_ = 0;
  double rate_ = 0;  // bytes a second, smoothed
};

/// "4.67 GB in 14 files, 1.20 GB to fetch".
std::string plan_text(const PullPlan&);

}  // namespace lancet
