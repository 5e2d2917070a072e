// Any bytes as GBNF: compiled, or refused with a place.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "grammar/grammar.h"
#include "grammar/text_grammars.h"
#include "grammar_vocabulary.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto trie = fuzz_vocabulary();
  lancet::Budget budget("compiling the grammar", fuzz_limits());
  try {
    lancet::Rules rules;
    const auto start = lancet::add_gbnf(rules, std::string_view(reinterpret_cast<const char*>(data), size), budget);
    lancet::Grammar::make(std::move(rules), start, trie, budget);
  } catch (const lancet::Error&) {}
  return 0;
}
