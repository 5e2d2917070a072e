// The vocabulary of the grammar targets: every byte, some words that span the borders of JSON's tokens, an end token.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "grammar/token_trie.h"

inline std::shared_ptr<const lancet::TokenTrie> fuzz_vocabulary() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; byte++) tokens.emplace_back(1, static_cast<char>(byte));
  for (const char* word :
       {"{\"",   "\":",      "\": ",     "\", \"",   "\"}",      "},", "}]",  "]}", "[]",  "{}",  "[{",  "true",
        "false", "null",     "  ",       "\n  ",     "10",       "00", ".5",  "ab", "the", " th", "\\n", "\\\"",
        "\\u00", "\xc3\xa9", "\xe4\xbd", "\xf0\x9f", "\xa0\xe4", "-1", "::=", "()", "((",  "))"})
    tokens.emplace_back(word);
  tokens.emplace_back();  // the end; no bytes spell it
  const auto end = static_cast<lancet::TokenId>(tokens.size() - 1);
  return std::make_shared<const lancet::TokenTrie>(std::move(tokens), std::vector<lancet::TokenId>{end});
}

/// What a target may spend; whatever is cut off by it was refused, not wrong.
inline lancet::BudgetLimits fuzz_limits() { return {.steps = 200'000, .bytes = size_t{64} << 20}; }
