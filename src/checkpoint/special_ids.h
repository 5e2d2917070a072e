// What the three tokenizer readers share about special ids and about the invariants of a Vocabulary.
#pragma once

#include <string>
#include <string_view>

#include "checkpoint/vocabulary.h"

namespace lancet {

/// Token counts beyond this are refused before memory is taken; the largest published vocabularies have 262,144.
inline constexpr int64_t kMostTokens = int64_t{1} << 21;
/// Bytes in one token or its name.
inline constexpr size_t kLongestToken = 64 * 1024;

/// The control or added token with this text.
std::optional<TokenId> find_named(const Vocabulary&, std::string_view name);

/// Appends to end_of_generation what is not there yet: eos, and control tokens whose names end a turn in every model
/// that has them (<|im_end|>, <|eot_id|>, </s> ...).
void add_usual_ends(Vocabulary&);

/// Throws Error{bad_file} if two normal tokens have the same bytes, or two control or added tokens the same text.
void refuse_repeated_tokens(const Vocabulary&, const std::string& source);

}  // namespace lancet
