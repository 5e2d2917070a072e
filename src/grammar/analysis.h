// What must be known about rules before they run.
#pragma once

#include "base/budget.h"
#include "grammar/lexemes.h"
#include "grammar/plans.h"
#include "grammar/rules_state.h"
#include "grammar/token_trie.h"

namespace lancet {

/// Fills the tables of objects and arrays, and returns each rule's cost. Throws Error{bad_request} for left recursion
/// and Error{budget}.
RuleCosts analyse(Rules::State&, const TokenTrie&, Lexemes&, Budget&);

}  // namespace lancet
