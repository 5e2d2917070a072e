// UTF-8: one decoder that everything shares. Ill-formed input is data, never an error: each maximal ill-formed
// subpart counts as one replacement character (Unicode 15, section 3.9, "U+FFFD Substitution of Maximal Subparts").
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lancet {

struct Utf8Step {
  char32_t code_point;  // U+FFFD when !valid
  size_t length;        // bytes used: 1..4; for ill-formed input the maximal subpart
  bool valid;
};

/// The first code point of a non-empty text.
Utf8Step utf8_next(std::string_view text);

/// True if the whole text is well-formed.
bool utf8_valid(std::string_view text);

/// The text with each maximal ill-formed subpart replaced by U+FFFD.
std::string utf8_lossy(std::string_view text);

/// Length of the longest prefix that does not end inside a character that more bytes could still complete.
/// Ill-formed bytes that nothing can complete count as whole.
size_t utf8_complete_prefix(std::string_view text);

/// Appends one code point (a scalar value).
void utf8_append(std::string& out, char32_t code_point);

}  // namespace lancet
