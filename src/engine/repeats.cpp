#include "engine/repeats.h"

#include <algorithm>

namespace lancet {

std::vector<int> suffix_matches(std::span<const TokenId> tokens, size_t count) {
  // The Z function (Gusfield, Algorithms on Strings, Trees and Sequences, 1.3) of the sequence read backwards.
  const size_t size = tokens.size();
  const auto back = [&](size_t i) { return tokens[size - 1 - i]; };
  std::vector<int> matches(count);
  if (count > 0) matches[0] = static_cast<int>(size);
  size_t left = 0, right = 0;  // the match that reaches furthest back: [left, right) equals [0, right - left)
  for (size_t d = 1; d < count; d++) {
    size_t n = d < right ? std::min(right - d, static_cast<size_t>(matches[d - left])) : 0;
    while (d + n < size && back(n) == back(d + n)) n++;
    if (d + n > right) {
      left = d;
      right = d + n;
    }
    matches[d] = static_cast<int>(n);
  }
  return matches;
}

bool repeats(std::span<const TokenId> answer, const RepetitionRule& rule) {
  if (rule.count < 2 || rule.max_pattern < 1) return false;
  const auto count = static_cast<size_t>(rule.count);
  const size_t shortest = static_cast<size_t>(std::max(rule.min_pattern, 1));
  const size_t longest = std::min(static_cast<size_t>(rule.max_pattern), answer.size() / count);
  if (longest < shortest) return false;
  const auto matches = suffix_matches(answer.last(longest * count), longest + 1);
  for (size_t pattern = shortest; pattern <= longest; pattern++)
    if (static_cast<size_t>(matches[pattern]) >= pattern * (count - 1)) return true;
  return false;
}

}  // namespace lancet
