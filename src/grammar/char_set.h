// A set of Unicode code points as sorted, disjoint, non-adjacent ranges. Surrogates (U+D800..U+DFFF) are no code points
// of text and never members.
#pragma once

#include <compare>
#include <string_view>
#include <vector>

namespace lancet {

struct CharRange {
  char32_t first = 0, last = 0;  // inclusive
  auto operator<=>(const CharRange&) const = default;
};

class CharSet {
 public:
  CharSet() = default;                              // empty
  explicit CharSet(std::vector<CharRange> ranges);  // in any order, may overlap; first <= last
  static CharSet all();
  static CharSet of(std::u32string_view chars);

  bool contains(char32_t) const;
  bool empty() const { return ranges_.empty(); }
  const std::vector<CharRange>& ranges() const { return ranges_; }

  CharSet operator|(const CharSet&) const;
  CharSet operator&(const CharSet&) const;
  CharSet operator~() const;  // in all()
  auto operator<=>(const CharSet&) const = default;

 private:
  std::vector<CharRange> ranges_;
};

}  // namespace lancet
