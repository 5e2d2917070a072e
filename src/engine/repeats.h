// How the end of a token sequence repeats what came before it: what DRY weighs and what RepetitionRule ends.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "backend/batch.h"
#include "engine/generation.h"

namespace lancet {

/// Element d (0 <= d < count) is how many of the last tokens equal those d places before them: the largest n with
/// tokens[size-n..size) == tokens[size-n-d..size-d). Element 0 is the size. count <= tokens.size(). Linear in the size.
std::vector<int> suffix_matches(std::span<const TokenId> tokens, size_t count);

/// Whether the answer's last tokens are rule.count times the same pattern of rule.min_pattern to rule.max_pattern
/// tokens. Exact; O(max_pattern * count), however long the answer is.
bool repeats(std::span<const TokenId> answer, const RepetitionRule& rule);

}  // namespace lancet
