// A Jinja template: compiled once, rendered often. Jinja as far as chat templates use it (docs/chat.md has the list);
// whatever else a template asks for is refused when it is compiled, with line and column.
#pragma once

#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/budget.h"
#include "jinja/run.h"
#include "jinja/value.h"

namespace lancet {

/// Immutable; any thread may render.
class JinjaTemplate {
 public:
  using Variables = std::vector<std::pair<std::string, JinjaValue>>;

  /// Throws Error{bad_file} "chat template, 12:5: ..."; Error{budget}.
  JinjaTemplate(std::string_view source, Budget&);
  ~JinjaTemplate();
  JinjaTemplate(JinjaTemplate&&) noexcept;

  struct Options {
    JinjaLimits limits;
    std::function<std::tm()> now;  // what strftime_now shows; must be set if the template may ask
  };
  /// Throws Error{bad_request} if the template raises (the message is its own) or cannot work with these variables;
  /// param is the place, "line:column". Throws Error{budget} when a limit or the budget is passed.
  MarkedText render(Variables variables, const Options& options, Budget& budget) const;

 private:
  struct Parsed;
  std::unique_ptr<const Parsed> parsed_;
};

}  // namespace lancet
