// Inside a JSON string: which tokens stay, which close it and which go on behind it, for every vocabulary once.

#include <algorithm>

#include "grammar/lexemes.h"
#include "grammar/token_trie.h"

namespace lancet {

void TokenTrie::find_string_tokens() {
  Budget endless("a vocabulary");
  TermPool terms;
  Lexemes lexemes(terms);
  struct Place {
    Lexemes::State state = 0;
    uint16_t chars = 0;
  };
  std::vector<Place> path(static_cast<size_t>(longest_) + 1);
  const Lexemes::State inside = lexemes.free_string();
  path[0].state = inside;
  strings_.inside.assign((bytes_.size() + 63) / 64, 0);
  for (uint32_t i = 0; i < nodes_.size();) {
    const Node& node = nodes_[i];
    const Place& from = path[node.depth - 1u];
    const Lexemes::State to = lexemes.next(from.state, node.byte, endless);
    if (to == 0) {
      i = node.end;
      continue;
    }
    const bool done = lexemes.is_done(to);
    const auto chars = static_cast<uint16_t>(from.chars + (from.state == inside && !done ? 1 : 0));
    for (uint32_t t = node.first; t < node.last; ++t) {
      (done ? strings_.closing : strings_.by_length).push_back({ids_[t], chars});
      const auto id = static_cast<size_t>(ids_[t]);
      if (!done) strings_.inside[id / 64] |= uint64_t{1} << (id % 64);
    }
    if (done && node.end > i + 1) strings_.exits.push_back({i, chars});
    path[node.depth] = {to, chars};
    i = done ? node.end : i + 1;
  }
  std::stable_sort(strings_.by_length.begin(), strings_.by_length.end(),
                   [](const auto& a, const auto& b) { return a.chars > b.chars; });
}

}  // namespace lancet
