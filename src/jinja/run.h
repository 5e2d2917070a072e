// One render in progress, as the built-in functions see it: what it may still spend, where it stands in the template,
// and how to call back into it.
#pragma once

#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/budget.h"
#include "jinja/value.h"

namespace lancet {

struct JinjaScope;

/// What one render may take, besides the caller's Budget (docs/chat.md, "Limits").
struct JinjaLimits {
  uint64_t steps = 2'000'000;
  uint64_t output_bytes = 16u << 20;   // of the result, and of every single text on the way
  uint64_t memory_bytes = 512u << 20;  // everything a render ever builds, freed or not
  int call_depth = 200;                // macros calling macros
  int nesting = 1'000;                 // statements and expressions being evaluated at once
};

class JinjaRun {
 public:
  JinjaRun(Budget& budget, const JinjaLimits& limits, std::function<std::tm()> now)
      : budget_(budget),
        limits_(limits),
        now_(std::move(now)),
        steps_left_(limits.steps),
        memory_left_(limits.memory_bytes) {}
  JinjaRun(const JinjaRun&) = delete;
  virtual ~JinjaRun();

  /// Spends steps of this render and of the caller's budget: Error{budget}.
  void step(uint64_t count = 1) {
    if (count > steps_left_) fail_budget("steps", limits_.steps);
    steps_left_ -= count;
    budget_.step(count);
  }
  /// Announces memory that is about to be taken; big pieces cost steps too.
  void charge(uint64_t bytes);
  /// Announces a text of this size: charge(), and no text may be larger than the whole output.
  void charge_text(uint64_t bytes);
  /// Announces a list of this many values.
  void charge_items(uint64_t count) {
    if (count > UINT64_MAX / sizeof(JinjaValue)) fail_budget("bytes", limits_.memory_bytes);
    charge(count * sizeof(JinjaValue));
    step(1 + count / 16);
  }

  /// Error{bad_request} for what the template does wrong with these values; param is "line:column".
  [[noreturn]] void fail(const std::string& message) const;
  /// The template's own refusal: its message alone, param is "line:column".
  [[noreturn]] void raise(const std::string& message) const;

  virtual JinjaValue call(const JinjaValue& callee, const JinjaArguments& arguments) = 0;

  std::tm now() const { return now_(); }
  const JinjaLimits& limits() const { return limits_; }

  // Values that can be made to contain themselves are emptied when the render ends, or they would never be freed.
  void keep(std::shared_ptr<JinjaList> list) { lists_.push_back(std::move(list)); }
  void keep(std::shared_ptr<JinjaDict> dict) { dicts_.push_back(std::move(dict)); }
  void keep(std::shared_ptr<JinjaNamespace> space) { spaces_.push_back(std::move(space)); }
  void keep(std::shared_ptr<JinjaScope> scope) { scopes_.push_back(std::move(scope)); }

 protected:
  /// "line:column" of the node now being evaluated.
  virtual std::string place() const = 0;
  [[noreturn]] void fail_budget(std::string_view what, uint64_t limit) const;

 private:
  Budget& budget_;
  JinjaLimits limits_;
  std::function<std::tm()> now_;
  uint64_t steps_left_, memory_left_;
  std::vector<std::shared_ptr<JinjaList>> lists_;
  std::vector<std::shared_ptr<JinjaDict>> dicts_;
  std::vector<std::shared_ptr<JinjaNamespace>> spaces_;
  std::vector<std::shared_ptr<JinjaScope>> scopes_;
};

/// Names of variables -> values; a for body and a macro have one of their own (Jinja's scoping rules).
struct JinjaScope {
  std::shared_ptr<JinjaScope> parent;
  std::vector<std::pair<std::string, JinjaValue>> variables;

  /// The value in this scope or the nearest outer one, or null.
  const JinjaValue* find(std::string_view name) const;
  void set(std::string_view name, JinjaValue value);  // in this scope
};

}  // namespace lancet
