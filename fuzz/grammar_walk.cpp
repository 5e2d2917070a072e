// A constraint and a walk of random tokens. First byte: the kind of constraint and how long to walk; then the
// constraint's text, a NUL, and the choices. What must hold wherever the walk comes: every allowed token is accepted
// and no other one; there is always a way on; within tokens_to_end() tokens the answer can end, and what allowed_within
// offers keeps it so.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "grammar/grammar.h"
#include "grammar/json_schema.h"
#include "grammar/text_grammars.h"
#include "grammar_vocabulary.h"

namespace {

using namespace lancet;

void require(bool condition) {
  if (!condition) std::abort();
}

std::shared_ptr<Grammar> compile(int kind, std::string_view text, const std::shared_ptr<const TokenTrie>& trie) {
  Budget budget("compiling", fuzz_limits());
  Rules rules;
  RuleId start = 0;
  if (kind == 0) {
    const auto schema = parse_json(text, "schema", {.fault = Fault::bad_request}, budget);
    start = add_json_schema(rules, schema, {}, budget);
  } else if (kind == 1) {
    start = add_gbnf(rules, text, budget);
  } else if (kind == 2) {
    start = add_lark(rules, text, budget);
  } else {
    start = add_regex(rules, text, budget);
  }
  return Grammar::make(std::move(rules), start, trie, budget);
}

/// A member of the mask, the nth of them; nothing if it is empty.
std::optional<TokenId> member(const TokenMask& mask, uint64_t n) {
  const int count = mask.count();
  if (count == 0) return std::nullopt;
  auto left = static_cast<int>(n % static_cast<uint64_t>(count));
  for (TokenId id = 0; id < mask.size(); id++)
    if (mask.test(id) && left-- == 0) return id;
  return std::nullopt;
}

/// The mask says the same as trying: a few tokens are tried on copies.
void check_mask(const GrammarState& state, const TokenMask& mask, Random& random, Budget& budget) {
  for (int i = 0; i < 6; i++) {
    const auto id = static_cast<TokenId>(random.below(static_cast<uint64_t>(mask.size())));
    GrammarState copy = state;
    require(copy.accept(id, budget) == mask.test(id));
  }
}

void finish(GrammarState state, Random& random, Budget& budget) {
  int64_t left = state.tokens_to_end(budget);
  require(left >= 0);
  if (left > 200) return;
  while (!state.may_end()) {
    require(left > 0);
    const auto id = member(state.allowed_within(left, budget), random.next());
    require(id.has_value());
    require(state.accept(*id, budget));
    left--;
    require(state.ended() || state.tokens_to_end(budget) <= left);
    if (state.ended()) return;
  }
}

void walk(const std::shared_ptr<Grammar>& grammar, uint64_t seed, int steps) {
  Budget budget("walking", {.steps = 5'000'000});
  Random random(seed);
  GrammarState state(grammar);
  for (int i = 0; i < steps && !state.ended(); i++) {
    const TokenMask mask = state.allowed(budget);
    check_mask(state, mask, random, budget);
    const auto id = member(mask, random.next());
    require(id.has_value());
    require(state.accept(*id, budget));
    if (i % 4 == 0 && !state.ended()) finish(state, random, budget);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto trie = fuzz_vocabulary();
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string_view text = rest.substr(0, rest.find('\0'));
  uint64_t seed = data[0];
  for (const char c : rest.substr(text.size())) seed = seed * 31 + static_cast<unsigned char>(c);
  try {
    walk(compile(data[0] & 3, text, trie), seed, 4 + (data[0] >> 2));
  } catch (const Error& error) {
    require(!error.message().empty());
  }
  return 0;
}
