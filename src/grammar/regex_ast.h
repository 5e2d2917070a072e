// A parsed regular expression, between regex_syntax.cpp (text to tree) and regex_translate.cpp (tree to term).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "grammar/regex_syntax.h"

namespace lancet {

inline constexpr uint64_t kUnbounded = UINT64_MAX;

struct RegexNode {
  enum class Kind : uint8_t {
    chars,      // one character of `term`
    concat,     // parts
    alternate,  // parts
    repeat,     // parts[0]{min,max}
    begin,      // ^
    end,        // $
    ahead,      // (?=parts[0])
    not_ahead,  // (?!parts[0])
  };
  Kind kind = Kind::concat;
  bool anchored = false;  // ^ or $ is within
  bool looks = false;     // a look-ahead is within
  size_t offset = 0;      // bytes into the pattern
  Term term;
  uint64_t min = 0, max = 0;
  std::vector<uint32_t> parts;
};

struct RegexTree {
  std::vector<RegexNode> nodes;
  uint32_t root = 0;
};

/// An error at an offset of a pattern.
Error pattern_error(Fault, std::string_view pattern, std::string_view what, size_t offset);
RegexTree parse_regex_tree(TermPool&, std::string_view pattern, Budget&);
Term translate_regex(TermPool&, const RegexTree&, std::string_view pattern, RegexUse, Budget&);

/// The characters of \d \w \s (lower-case letter).
const CharSet& regex_class(char letter);
/// The characters of \p{name}; null for properties that are not known.
const CharSet* regex_property(std::string_view name);

}  // namespace lancet
