// Cutting text into the pieces that merging never crosses. The patterns are regular expressions in the tokenizer files;
// here they are rows of one table that one scanner walks: no backtracking beyond what a row's form needs (constant
// stack, linear time), because regex engines overflowed their stacks on exactly this input in other servers.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/budget.h"
#include "checkpoint/vocabulary.h"

namespace lancet {

/// The end of the piece that begins at byte `at` < text.size() (a piece border). Every text is covered without gaps.
/// Ill-formed UTF-8 is data: each maximal ill-formed subpart counts as one U+FFFD, its bytes stay together.
/// Spends a budget step for each byte looked at; over a whole text that is linear.
size_t next_piece(SplitPattern, std::string_view text, size_t at, Budget&);

}  // namespace lancet
