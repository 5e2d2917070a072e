// The character properties that pre-tokenizer patterns speak of (\p{Lu}, \p{N}, \s ...), from Unicode 15.0. The version
// is pinned: a letter that a newer Unicode adds would be cut differently than by the software that made the vocabulary.
#pragma once

#include <cstdint>

namespace lancet {

/// Disjoint classes of code points. The order is that of tools/unicode_tables.py.
enum class CharClass : uint8_t {
  other,         // punctuation, symbols, controls, unassigned
  white_space,   // property White_Space: also U+0085, U+00A0, U+3000; not U+200B, U+FEFF
  upper,         // Lu
  title,         // Lt
  lower,         // Ll
  modifier,      // Lm
  other_letter,  // Lo
  mark,          // M: Mn, Mc, Me
  digit,         // Nd
  number,        // Nl, No
};

/// The class of a code point; U+FFFD and everything beyond U+10FFFF are `other`.
CharClass char_class(char32_t code_point);

}  // namespace lancet
