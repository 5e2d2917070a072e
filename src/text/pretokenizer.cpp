// The pattern table and the scanner. Alternatives are tried in the pattern's order and the first that matches wins, as
// in a backtracking engine; tests/text/pretokenizer_test.cpp compares with PCRE2. Each form below has a closed answer
// for what backtracking would find, so nothing is retried character by character:
//   run          a? B{1,n} C*     a and B, B and C disjoint or greedy is final; only the optional a is retried
//   overlapping  a? B* C+         B and C share characters: the greedy B* gives back up to the last of C in its run
//   spaces       \s+(?!X)         the run, or all but its last character if one of X follows
//   contraction  's|'t|'re|...    literals
#include "text/pretokenizer.h"

#include <array>
#include <climits>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "base/utf8.h"
#include "text/unicode.h"

namespace lancet {
namespace {

using Set = uint16_t;  // bit i: CharClass i; the bits above it: ASCII characters that patterns name one by one

constexpr Set bit(CharClass c) { return static_cast<Set>(1u << static_cast<int>(c)); }
constexpr Set kSpace = 1u << 10;    // U+0020
constexpr Set kNewline = 1u << 11;  // \r \n
constexpr Set kSlash = 1u << 12;    // '/'

constexpr Set join(auto... sets) { return static_cast<Set>((0u | ... | sets)); }

constexpr Set kWhite = join(bit(CharClass::white_space), kSpace, kNewline);
constexpr Set kNumber = join(bit(CharClass::digit), bit(CharClass::number));
constexpr Set kCaseless = join(bit(CharClass::modifier), bit(CharClass::other_letter));
constexpr Set kLetter = join(bit(CharClass::upper), bit(CharClass::title), bit(CharClass::lower), kCaseless);
constexpr Set kMark = bit(CharClass::mark);
constexpr Set kAll = (1u << 13) - 1;
constexpr Set without(Set from, Set what) { return static_cast<Set>(from & ~what); }

constexpr Set kSymbol = without(kAll, join(kWhite, kLetter, kNumber));  // [^\s\p{L}\p{N}]
constexpr Set kLead = without(kAll, join(kNewline, kLetter, kNumber));  // [^\r\n\p{L}\p{N}]
constexpr Set kUpperish = join(bit(CharClass::upper), bit(CharClass::title), kCaseless, kMark);
constexpr Set kLowerish = join(bit(CharClass::lower), kCaseless, kMark);

struct Alternative {
  enum class Form : uint8_t { contraction, run, overlapping, spaces };
  Form form;
  Set lead = 0;        // run, overlapping: at most one of these may come first
  Set first = 0;       // B
  int most = INT_MAX;  // run: how many of B
  Set second = 0;      // C; spaces: X
  bool fold = false;   // contraction: either case
};
using Form = Alternative::Form;

constexpr Alternative kTekken[] = {
    {Form::overlapping, kLead, kUpperish, INT_MAX, kLowerish},      // [^\r\n\p{L}\p{N}]?[Lu Lt Lm Lo M]*[Ll Lm Lo M]+
    {Form::run, kLead, kUpperish, INT_MAX, kLowerish},              // [^\r\n\p{L}\p{N}]?[Lu Lt Lm Lo M]+[Ll Lm Lo M]*
    {Form::run, 0, kNumber, 1},                                     // \p{N}
    {Form::run, kSpace, kSymbol, INT_MAX, join(kNewline, kSlash)},  //  ?[^\s\p{L}\p{N}]+[\r\n/]*
    {Form::overlapping, 0, kWhite, INT_MAX, kNewline},              // \s*[\r\n]+
    {Form::spaces, 0, kWhite, INT_MAX, without(kAll, kWhite)},      // \s+(?!\S)
    {Form::run, 0, kWhite},                                         // \s+
};
constexpr Alternative kGpt2[] = {
    {Form::contraction},                                        // 's|'t|'re|'ve|'m|'ll|'d
    {Form::run, kSpace, kLetter},                               //  ?\p{L}+
    {Form::run, kSpace, kNumber},                               //  ?\p{N}+
    {Form::run, kSpace, kSymbol},                               //  ?[^\s\p{L}\p{N}]+
    {Form::spaces, 0, kWhite, INT_MAX, without(kAll, kWhite)},  // \s+(?!\S)
    {Form::run, 0, kWhite},                                     // \s+
};
constexpr Alternative kLlama3[] = {
    {.form = Form::contraction, .fold = true},                  // (?i:'s|'t|'re|'ve|'m|'ll|'d)
    {Form::run, kLead, kLetter},                                // [^\r\n\p{L}\p{N}]?\p{L}+
    {Form::run, 0, kNumber, 3},                                 // \p{N}{1,3}
    {Form::run, kSpace, kSymbol, INT_MAX, kNewline},            //  ?[^\s\p{L}\p{N}]+[\r\n]*
    {Form::overlapping, 0, kWhite, INT_MAX, kNewline},          // \s*[\r\n]+
    {Form::spaces, 0, kWhite, INT_MAX, without(kAll, kWhite)},  // \s+(?!\S)
    {Form::run, 0, kWhite},                                     // \s+
};
// Digits first, each alone, then GPT-2's pattern on what lies between: a number ends the text as far as it can see.
constexpr Alternative kSmollm[] = {
    {Form::contraction},
    {Form::run, kSpace, kLetter},
    {Form::run, 0, kNumber, 1},
    {Form::run, kSpace, kSymbol},
    {Form::spaces, 0, kWhite, INT_MAX, without(kAll, join(kWhite, kNumber))},
    {Form::run, 0, kWhite},
};

/// In the order of enum class SplitPattern.
constexpr std::span<const Alternative> kPatterns[] = {kTekken, kGpt2, kLlama3, kSmollm};
static_assert(static_cast<int>(SplitPattern::smollm) + 1 == std::size(kPatterns));

constexpr std::array<Set, 128> make_ascii() {
  std::array<Set, 128> sets{};
  for (int c = 0; c < 128; c++) sets[static_cast<size_t>(c)] = bit(CharClass::other);
  for (int c = 'a'; c <= 'z'; c++) sets[static_cast<size_t>(c)] = bit(CharClass::lower);
  for (int c = 'A'; c <= 'Z'; c++) sets[static_cast<size_t>(c)] = bit(CharClass::upper);
  for (int c = '0'; c <= '9'; c++) sets[static_cast<size_t>(c)] = bit(CharClass::digit);
  for (const char c : {'\t', '\v', '\f'}) sets[static_cast<size_t>(c)] = bit(CharClass::white_space);
  sets['\r'] = sets['\n'] = kNewline;
  sets[' '] = kSpace;
  sets['/'] = kSlash;
  return sets;
}
constexpr std::array<Set, 128> kAscii = make_ascii();

struct Char {
  Set set;        // one bit; 0 at the end of the text
  size_t length;  // bytes
};

constexpr size_t kNoMatch = SIZE_MAX;

/// One piece's search. Positions are byte offsets; `work` counts the bytes looked at.
struct Scanner {
  std::string_view text;
  size_t work = 0;

  Char look(size_t at) const {
    if (at >= text.size()) return {0, 0};
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < 0x80) return {kAscii[byte], 1};
    const Utf8Step step = utf8_next(text.substr(at));
    return {bit(char_class(step.code_point)), step.length};
  }

  /// The end of the longest run of at most `most` characters of `set`.
  size_t run(size_t at, Set set, int most = INT_MAX) {
    const size_t begin = at;
    for (; most > 0; most--) {
      const Char c = look(at);
      if (!(c.set & set)) break;
      at += c.length;
    }
    work += at - begin + 1;
    return at;
  }

  size_t match_run(size_t at, const Alternative& a) {
    const size_t end = run(at, a.first, a.most);
    if (end == at) return kNoMatch;
    return a.second ? run(end, a.second) : end;
  }

  size_t match_overlapping(size_t at, const Alternative& a) {
    const size_t begin = at;
    size_t after_last = kNoMatch;  // the end of the last character of C inside the run of B
    for (Char c = look(at); c.set & a.first; c = look(at)) {
      at += c.length;
      if (c.set & a.second) after_last = at;
    }
    work += at - begin + 1;
    const size_t end = run(at, a.second);
    return end > at ? end : after_last;
  }

  size_t match_spaces(size_t at, const Alternative& a) {
    const size_t begin = at;
    size_t last = at;
    for (Char c = look(at); c.set & a.first; c = look(at)) {
      last = at;
      at += c.length;
    }
    work += at - begin + 1;
    if (!(look(at).set & a.second)) return at;
    return last > begin ? last : kNoMatch;
  }

  size_t match_contraction(size_t at, bool fold) const {
    const auto letter = [&](size_t i) {
      const char c = i < text.size() ? text[i] : '\0';
      return fold && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    };
    if (letter(at) != '\'') return kNoMatch;
    // U+017F, the long s, is an s of either case under Unicode's simple case folding.
    if (fold && text.substr(at + 1).starts_with("\xc5\xbf")) return at + 3;
    const char one = letter(at + 1), two = letter(at + 2);
    if (one == 's' || one == 't' || one == 'm' || one == 'd') return at + 2;
    if (((one == 'r' || one == 'v') && two == 'e') || (one == 'l' && two == 'l')) return at + 3;
    return kNoMatch;
  }

  size_t match_led(size_t at, const Alternative& a, Char c) {
    const auto body = [&](size_t from) {
      return a.form == Form::run ? match_run(from, a) : match_overlapping(from, a);
    };
    if (c.set & a.lead) {
      const size_t end = body(at + c.length);
      if (end != kNoMatch) return end;
    }
    return body(at);
  }

  size_t match(size_t at, const Alternative& a, Char c) {
    switch (a.form) {
      case Form::contraction: return match_contraction(at, a.fold);
      case Form::spaces: return c.set & a.first ? match_spaces(at, a) : kNoMatch;
      case Form::run: return c.set & (a.lead | a.first) ? match_led(at, a, c) : kNoMatch;
      case Form::overlapping: return c.set & (a.lead | a.first | a.second) ? match_led(at, a, c) : kNoMatch;
    }
    return kNoMatch;
  }
};

}  // namespace

size_t next_piece(SplitPattern pattern, std::string_view text, size_t at, Budget& budget) {
  Scanner scanner{text};
  const Char c = scanner.look(at);
  for (const Alternative& alternative : kPatterns[static_cast<size_t>(pattern)]) {
    const size_t end = scanner.match(at, alternative, c);
    if (end == kNoMatch) continue;
    budget.step(scanner.work + 1);
    return end;
  }
  CHECK(false);  // every pattern's alternatives cover every character
  return text.size();
}

}  // namespace lancet
