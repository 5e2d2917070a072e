// What a Grammar holds, for the grammar's own files.
#pragma once

#include <memory>

#include "grammar/analysis.h"
#include "grammar/grammar.h"
#include "grammar/machine.h"
#include "grammar/masks.h"

namespace lancet {

/// The machine that answers run on, with its masks. When it has grown large a new answer gets a new one; the old one
/// lives as long as answers that began on it.
struct GrammarSession {
  Machine machine;
  Masks masks;
  StateId start = 0;

  GrammarSession(Rules::State& rules, const RuleCosts& costs, const TokenTrie& trie, Lexemes& lexemes,
                 size_t cache_bytes)
      : machine(rules, costs, trie, lexemes), masks(machine, cache_bytes) {}
};

struct Grammar::State {
  Rules rules;
  RuleId start = 0;
  std::shared_ptr<const TokenTrie> trie;
  GrammarLimits limits;
  Lexemes lexemes;
  RuleCosts costs;
  std::shared_ptr<GrammarSession> session;

  State(Rules given, RuleId first, std::shared_ptr<const TokenTrie> tokens, GrammarLimits bounds)
      : rules(std::move(given)), start(first), trie(std::move(tokens)), limits(bounds), lexemes(rules.terms()) {}
  std::shared_ptr<GrammarSession> make_session(Budget&);
};

}  // namespace lancet
