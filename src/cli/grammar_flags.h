// The flags that constrain an answer, and the grammar that comes of them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/flags.h"
#include "grammar/grammar.h"
#include "text/tokenizer.h"

namespace lancet {

struct GrammarFlags {
  std::string schema, grammar, lark;  // files
  std::string regex;
  std::vector<std::string> choice;
  std::string spacing = "flexible";
  void declare(Flags&);
  /// Null if no flag constrains the answer. Throws Error for a constraint that cannot be enforced.
  std::shared_ptr<Grammar> make(const Tokenizer&) const;
};

}  // namespace lancet
