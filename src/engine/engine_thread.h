// Runs an Engine on its own thread and makes it callable from any thread.
#pragma once

#include <memory>
#include <string>

#include "engine/engine.h"

namespace lancet {

class EngineThread {
 public:
  explicit EngineThread(Engine&);
  ~EngineThread();  // fails what runs with Fault::unavailable, joins
  /// Any thread. Throws as Engine::submit does.
  Generation submit(GenerationRequest);
  /// Any thread; the numbers as of the last step.
  EngineStats stats() const;
  int context() const;
  /// How long the step that runs now has been running; zero when idle. Any thread.
  std::chrono::milliseconds step_age() const;
  /// What every request was doing when the last step began, in lines for a log: for a watchdog that finds step_age()
  /// too high. Any thread, also while the step hangs.
  std::string dump() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lancet
