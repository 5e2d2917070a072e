// What filters and methods of texts share: cases, stripping, replacing, joining. Marks ride along (marked_text.h).
// Upper and lower case are known for ASCII, Latin-1, Latin Extended-A, Greek and Cyrillic; other letters stay.
#include <algorithm>

#include <fmt/format.h>

#include "base/utf8.h"
#include "jinja/builtins.h"
#include "jinja/operators.h"

namespace lancet {
namespace {

bool between(char32_t c, char32_t low, char32_t high) { return c >= low && c <= high; }

/// Latin Extended-A pairs an even capital with the next odd letter, except in two ranges where it is odd and even.
bool pairs_from_odd(char32_t c) { return between(c, 0x139, 0x148) || between(c, 0x179, 0x17e); }
bool is_extended_pair(char32_t c) {
  return between(c, 0x100, 0x17e) && c != 0x130 && c != 0x131 && c != 0x138 && c != 0x149 && c != 0x178;
}

constexpr std::u32string_view kSmallAccents = U"\u03ac\u03ad\u03ae\u03af\u03cc\u03cd\u03ce";
constexpr std::u32string_view kCapitalAccents = U"\u0386\u0388\u0389\u038a\u038c\u038e\u038f";

/// Greek vowels with tonos stand in no order; 0 for everything else.
char32_t greek_accent(char32_t c, std::u32string_view from, std::u32string_view to) {
  const size_t at = from.find(c);
  return at == std::u32string_view::npos ? 0 : to[at];
}

}  // namespace

char32_t upper_character(char32_t c) {
  if (between(c, 'a', 'z') || (between(c, 0xe0, 0xfe) && c != 0xf7)) return c - 0x20;
  if (c == 0xff) return 0x178;
  if (is_extended_pair(c)) return pairs_from_odd(c) ? c - (c % 2 == 0) : c & ~char32_t{1};
  if (between(c, 0x3b1, 0x3c9) && c != 0x3c2) return c - 0x20;
  if (const char32_t accented = greek_accent(c, kSmallAccents, kCapitalAccents)) return accented;
  if (between(c, 0x430, 0x44f)) return c - 0x20;
  if (between(c, 0x450, 0x45f)) return c - 0x50;
  return c;
}

char32_t lower_character(char32_t c) {
  if (between(c, 'A', 'Z') || (between(c, 0xc0, 0xde) && c != 0xd7)) return c + 0x20;
  if (c == 0x178) return 0xff;
  if (is_extended_pair(c)) return pairs_from_odd(c) ? c + (c % 2) : c | 1;
  if (between(c, 0x391, 0x3a9) && c != 0x3a2) return c + 0x20;
  if (const char32_t accented = greek_accent(c, kCapitalAccents, kSmallAccents)) return accented;
  if (between(c, 0x410, 0x42f)) return c + 0x20;
  if (between(c, 0x400, 0x40f)) return c + 0x50;
  return c;
}

bool is_letter(char32_t c) { return upper_character(c) != c || lower_character(c) != c || c == 0xdf; }

bool is_python_space(char32_t c) {
  return between(c, 0x09, 0x0d) || between(c, 0x1c, 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         between(c, 0x2000, 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

MarkedText upper_text(const MarkedText& text) { return text.map_characters(upper_character); }
MarkedText lower_text(const MarkedText& text) { return text.map_characters(lower_character); }

MarkedText capitalized_text(const MarkedText& text) {
  return text.map_characters([first = true](char32_t c) mutable {
    return std::exchange(first, false) ? upper_character(c) : lower_character(c);
  });
}

MarkedText titled_text(const MarkedText& text, bool (*is_boundary)(char32_t)) {
  return text.map_characters([begins = true, is_boundary](char32_t c) mutable {
    const bool first = std::exchange(begins, is_boundary(c));
    return first ? upper_character(c) : lower_character(c);
  });
}

MarkedText stripped_text(const MarkedText& text, const JinjaValue* set, bool left, bool right) {
  const auto offsets = character_offsets(text.str());
  const bool whitespace = !set || set->is_none() || set->is_undefined();
  const auto goes = [&](size_t i) {
    const std::string_view character = std::string_view(text.str()).substr(offsets[i], offsets[i + 1] - offsets[i]);
    if (whitespace) return is_python_space(utf8_next(character).code_point);
    return set->is_string() && set->str().find(character) != std::string::npos;
  };
  size_t begin = 0, end = offsets.size() - 1;
  while (left && begin < end && goes(begin)) begin++;
  while (right && begin < end && goes(end - 1)) end--;
  return text.slice(offsets[begin], offsets[end]);
}

MarkedText replaced_text(JinjaRun& run, const MarkedText& text, const std::string& from, const MarkedText& to,
                         int64_t count) {
  MarkedText result;
  size_t begin = 0, search = 0;
  const std::string& whole = text.str();
  while (count != 0) {
    const size_t found = whole.find(from, search);
    if (found == std::string::npos) break;
    result.append_slice(text, begin, found);
    result.append(to);
    run.charge_text(result.size());
    begin = found + from.size();
    // An empty pattern matches before every character and at the end.
    search = from.empty() ? found + (found < whole.size() ? utf8_next(std::string_view(whole).substr(found)).length : 1)
                          : begin;
    if (count > 0) count--;
    run.step(1 + (found - std::min(found, begin)) / 256);
  }
  result.append_slice(text, begin, whole.size());
  run.charge_text(result.size());
  return result;
}

MarkedText joined_text(JinjaRun& run, const MarkedText& separator, const std::vector<JinjaValue>& items) {
  MarkedText result;
  bool first = true;
  for (const JinjaValue& item : items) {
    if (!first) result.append(separator);
    first = false;
    const MarkedText text = jinja_text(run, item);
    result.append(text);
    run.charge(text.size() + separator.size());
    if (result.size() > run.limits().output_bytes) run.charge_text(result.size());
    run.step();
  }
  return result;
}

std::vector<const JinjaValue*> bind_arguments(JinjaRun& run, std::string_view function, const JinjaArguments& given,
                                              std::initializer_list<std::string_view> names, size_t required) {
  std::vector<const JinjaValue*> bound(names.size(), nullptr);
  if (given.positional.size() > names.size()) {
    run.fail(fmt::format("{} takes at most {} argument(s), got {}", function, names.size(), given.positional.size()));
  }
  for (size_t i = 0; i < given.positional.size(); i++) bound[i] = &given.positional[i];
  for (const auto& [name, value] : given.named) {
    const auto known = std::find(names.begin(), names.end(), name);
    if (known == names.end()) run.fail(fmt::format("{} has no argument '{}'", function, name));
    const JinjaValue*& place = bound[static_cast<size_t>(known - names.begin())];
    if (place) run.fail(fmt::format("{} got two values for '{}'", function, name));
    place = &value;
  }
  for (size_t i = 0; i < required; i++)
    if (!bound[i]) run.fail(fmt::format("{} needs the argument '{}'", function, *(names.begin() + i)));
  return bound;
}

int64_t argument_integer(JinjaRun& run, const JinjaValue* value, int64_t fallback) {
  if (!value || value->is_none()) return fallback;
  if (value->is_undefined()) run.fail(value->hint());
  if (!value->is_integral()) run.fail(fmt::format("an integer is required, not {}", value->type_name()));
  return value->as_integer();
}

bool argument_truth(const JinjaValue* value, bool fallback) { return value ? value->truth() : fallback; }

}  // namespace lancet
