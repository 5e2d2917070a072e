// Any bytes as a pattern, a zero byte and a text: a term or an Error with an offset; then the promises of terms.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"
#include "grammar/regex_syntax.h"

namespace lancet {

namespace {

void walk(TermPool& pool, Term term, std::string_view text, Budget& budget) {
  for (; !text.empty() && term != pool.nothing(); text.remove_prefix(utf8_next(text).length)) {
    const Term clipped = pool.clip(term, 1);
    const char32_t c = utf8_next(text).code_point;
    CHECK(pool.nullable(clipped) == pool.nullable(term));
    term = pool.next(term, c, budget);
    CHECK(term == pool.nothing() || !pool.is_empty(term, budget));
    CHECK((pool.next(clipped, c, budget) == pool.nothing()) == (term == pool.nothing()));
  }
}

void examine(std::string_view pattern, std::string_view text, RegexUse use) {
  TermPool pool;
  Budget budget("fuzzing", {.steps = 30'000, .bytes = 1 << 20});
  const Term term = parse_regex(pool, pattern, use, budget);
  const Term others = pool.complement(term);
  if (utf8_valid(text)) CHECK(pool.matches(term, text, budget) != pool.matches(others, text, budget));
  walk(pool, term, text, budget);
  const Term bounded = pool.both({term, pool.repeat(pool.any_char(), 2, 9)});
  const std::optional<std::string> shortest = pool.shortest(bounded, budget);
  CHECK(shortest.has_value() == !pool.is_empty(bounded, budget));
  if (shortest) CHECK(pool.matches(term, *shortest, budget));
  pool.count(bounded, 100, budget);
}

}  // namespace

}  // namespace lancet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t cut = std::min(input.find('\0'), size);
  const std::string_view pattern = input.substr(0, cut), text = input.substr(std::min(cut + 1, size));
  for (lancet::RegexUse use : {lancet::RegexUse::search, lancet::RegexUse::whole}) {
    try {
      lancet::examine(pattern, text, use);
    } catch (const lancet::Error&) {}
  }
  return 0;
}
