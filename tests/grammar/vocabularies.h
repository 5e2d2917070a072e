// Small vocabularies for tests of the grammar engine.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "grammar/token_trie.h"

namespace lancet {

/// Every byte, the pieces, and last an end token.
inline std::shared_ptr<const TokenTrie> make_trie(const std::vector<std::string>& pieces) {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(std::string(1, static_cast<char>(byte)));
  tokens.insert(tokens.end(), pieces.begin(), pieces.end());
  tokens.push_back("<end>");
  const auto end = static_cast<TokenId>(tokens.size() - 1);
  return std::make_shared<TokenTrie>(std::move(tokens), std::vector<TokenId>{end});
}

/// Pieces that span several JSON tokens, break characters and come near each other.
inline std::shared_ptr<const TokenTrie> json_trie() {
  return make_trie({"{\"",          "\":",      "\": ",       "\": \"",
                    "\",",          "\", \"",   "\"}",        "\"}]",
                    "}}",           "],",       "], [",       "[[",
                    "[]",           "{}",       "{\"a\":",    "true",
                    "tru",          "false",    "null",       "nul",
                    "12",           "123",      "1,",         "0.5",
                    "-1",           "1e5",      "name",       "na",
                    "me\"",         "a\"",      "\"a\"",      "\"a\": 1",
                    "ab",           "abc",      "\"ab\"",     "  ",
                    "\n",           "\n  ",     " \"",        ", ",
                    ", \"",         ": ",       "\\n",        "\\\"",
                    "\\u00",        "\xC3\xA9", "\xE2\x82",   "\xE2\x82\xAC x",
                    "\xF0\x9F\x98", "\":\"",    "\":\"\",\"", "\"x\":1,\"x\"",
                    "hello",        " world",   "\xC3"});
}

}  // namespace lancet
