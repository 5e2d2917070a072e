// What `lancet doctor` found: one line per thing that it looked at, and a verdict made of them.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace lancet {

enum class Outcome : uint8_t {
  good,     // looked at, and as it should be
  note,     // worth knowing; no reason for alarm
  problem,  // wrong
};
std::string_view outcome_name(Outcome);

struct Finding {
  Outcome outcome = Outcome::good;
  std::string section;    // "machine", "files", "weights", "text", "model"
  std::string cause;      // of a problem: a fixed word for programs, "scale-inverted"
  std::string text;       // one sentence
  std::string advice;     // of a problem: what to do
  bool left_out = false;  // a note: there was no time to look at what `text` names
};

class Report {
 public:
  void good(std::string_view section, std::string text);
  void note(std::string_view section, std::string text);
  /// A note, "not looked at, for lack of time: `what`", which the verdict repeats.
  void left_out(std::string_view section, std::string_view what);
  void problem(std::string_view section, std::string_view cause, std::string text, std::string advice);

  const std::vector<Finding>& findings() const { return findings_; }
  int problems() const;
  bool has(std::string_view cause) const;
  /// One sentence: all is right, what was not looked at, or the first problem in the order of likely causes.
  std::string verdict() const;

 private:
  const Finding* worst() const;
  std::string good_verdict() const;
  std::vector<Finding> findings_;
};

/// The time that doctor may take.
class Deadline {
 public:
  explicit Deadline(double seconds)
      : end_(Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds))) {}
  double left() const { return std::chrono::duration<double>(end_ - Clock::now()).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point end_;
};

}  // namespace lancet
