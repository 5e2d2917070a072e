// What `lancet schema` does with a compiled constraint: judges texts token by token, and writes random ones.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "grammar/grammar.h"
#include "text/tokenizer.h"

namespace lancet {

/// Time spent in masks and steps.
struct WalkTimes {
  int64_t steps = 0;
  double total_us = 0, longest_us = 0;
  double mean_us() const { return steps ? total_us / static_cast<double>(steps) : 0; }
};

/// True if every token of the text is allowed where it stands and the answer may end after the last one.
bool walk_text(const std::shared_ptr<Grammar>&, const Tokenizer&, std::string_view text, Budget&, WalkTimes&);

struct RandomText {
  std::string text;
  int64_t tokens = 0;
  bool ended = false;  // validly, in time
};

/// An answer of at most max_tokens tokens chosen at random among those that allow it to end in time, half of them among
/// single bytes, so that structure occurs as well as long words. max_tokens must be at least the grammar's
/// shortest_tokens().
RandomText random_text(const std::shared_ptr<Grammar>&, const Tokenizer&, uint64_t seed, int64_t max_tokens, Budget&);

}  // namespace lancet
