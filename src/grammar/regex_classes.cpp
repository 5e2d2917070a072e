// The character classes that patterns name: \d, \w, \s as ECMA-262 has them, and general categories of Unicode.
#include <map>

#include "base/check.h"
#include "grammar/regex_ast.h"
#include "text/unicode.h"

namespace lancet {

namespace {

constexpr uint32_t bit(CharClass c) { return 1U << static_cast<uint32_t>(c); }

/// All characters of some classes.
CharSet of_classes(uint32_t classes) {
  std::vector<CharRange> ranges;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if ((classes & bit(char_class(c))) == 0) continue;
    if (!ranges.empty() && ranges.back().last + 1 == c) {
      ranges.back().last = c;
    } else {
      ranges.push_back({c, c});
    }
  }
  return CharSet(std::move(ranges));
}

constexpr uint32_t kCased = bit(CharClass::upper) | bit(CharClass::lower) | bit(CharClass::title);
constexpr uint32_t kLetter = kCased | bit(CharClass::modifier) | bit(CharClass::other_letter);
constexpr uint32_t kNumber = bit(CharClass::digit) | bit(CharClass::number);

/// Names as in Unicode's PropertyValueAliases.txt, short, long and other.
const std::map<std::string_view, uint32_t>& categories() {
  static const std::map<std::string_view, uint32_t> names = {
      {"L", kLetter},
      {"Letter", kLetter},
      {"LC", kCased},
      {"Cased_Letter", kCased},
      {"Lu", bit(CharClass::upper)},
      {"Uppercase_Letter", bit(CharClass::upper)},
      {"Ll", bit(CharClass::lower)},
      {"Lowercase_Letter", bit(CharClass::lower)},
      {"Lt", bit(CharClass::title)},
      {"Titlecase_Letter", bit(CharClass::title)},
      {"Lm", bit(CharClass::modifier)},
      {"Modifier_Letter", bit(CharClass::modifier)},
      {"Lo", bit(CharClass::other_letter)},
      {"Other_Letter", bit(CharClass::other_letter)},
      {"M", bit(CharClass::mark)},
      {"Mark", bit(CharClass::mark)},
      {"Combining_Mark", bit(CharClass::mark)},
      {"N", kNumber},
      {"Number", kNumber},
      {"Nd", bit(CharClass::digit)},
      {"Decimal_Number", bit(CharClass::digit)},
      {"digit", bit(CharClass::digit)},
      {"White_Space", bit(CharClass::white_space)},
      {"space", bit(CharClass::white_space)},
  };
  return names;
}

}  // namespace

const CharSet& regex_class(char letter) {
  static const CharSet digits({{'0', '9'}});
  static const CharSet words({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}});
  // ECMA-262, WhiteSpace and LineTerminator.
  static const CharSet spaces({{0x9, 0xD},
                               {' ', ' '},
                               {0xA0, 0xA0},
                               {0x1680, 0x1680},
                               {0x2000, 0x200A},
                               {0x2028, 0x2029},
                               {0x202F, 0x202F},
                               {0x205F, 0x205F},
                               {0x3000, 0x3000},
                               {0xFEFF, 0xFEFF}});
  CHECK(letter == 'd' || letter == 'w' || letter == 's');
  return letter == 'd' ? digits : letter == 'w' ? words : spaces;
}

const CharSet* regex_property(std::string_view name) {
  static const CharSet all = CharSet::all(), ascii({{0, 0x7F}});
  if (name == "Any") return &all;
  if (name == "ASCII") return &ascii;
  for (std::string_view prefix : {"General_Category=", "gc="}) {
    if (name.substr(0, prefix.size()) == prefix) name.remove_prefix(prefix.size());
  }
  const auto found = categories().find(name);
  if (found == categories().end()) return nullptr;
  // One set a name, made when a pattern of this thread first asks for it.
  thread_local std::map<std::string_view, CharSet> made;
  auto [set, added] = made.try_emplace(found->first);
  if (added) set->second = of_classes(found->second);
  return &set->second;
}

}  // namespace lancet
