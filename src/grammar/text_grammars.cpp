#include "grammar/text_grammars.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/utf8.h"
#include "grammar/regex_syntax.h"

namespace lancet {

RuleId add_regex(Rules& rules, std::string_view pattern, Budget& budget) {
  if (!utf8_valid(pattern)) throw Error(Fault::bad_request, "the regular expression is not well-formed UTF-8");
  return rules.text(parse_regex(rules.terms(), pattern, RegexUse::whole, budget), Encoding::utf8);
}

RuleId add_choice(Rules& rules, std::span<const std::string> choices, Budget& budget) {
  if (choices.empty()) throw Error(Fault::bad_request, "there must be at least one choice, and there is none");
  for (size_t i = 0; i < choices.size(); i++) {
    budget.step(1 + choices[i].size() / 8);
    budget.charge(sizeof(std::string) + choices[i].size());
    if (!utf8_valid(choices[i])) throw Error(Fault::bad_request, fmt::format("choice {} is not well-formed UTF-8", i));
  }
  return rules.texts(std::vector<std::string>(choices.begin(), choices.end()));
}

}  // namespace lancet
