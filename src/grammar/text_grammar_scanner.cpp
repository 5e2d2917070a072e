#include "grammar/text_grammar_scanner.h"

#include <fmt/format.h>

#include "base/utf8.h"

namespace lancet {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

bool GrammarScanner::take(std::string_view text) {
  if (!looks_at(text)) return false;
  at_ += text.size();
  tree_.budget().step();
  return true;
}

void GrammarScanner::expect(std::string_view text, std::string_view wanted_for) {
  if (!take(text)) fail_wanted(fmt::format("{} {}", quoted(text), wanted_for));
}

void GrammarScanner::skip_space(bool lines, std::string_view comment) {
  while (at_ < source_.size()) {
    tree_.budget().step();
    const char c = source_[at_];
    if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
      at_++;
    } else if (looks_at(comment)) {
      while (at_ < source_.size() && source_[at_] != '\n' && source_[at_] != '\r') at_++;
    } else {
      return;
    }
  }
}

char32_t GrammarScanner::take_char() {
  if (at_end()) fail_wanted("a character");
  const Utf8Step step = utf8_next(source_.substr(at_));
  at_ += step.length;
  tree_.budget().step();
  return step.code_point;
}

uint64_t GrammarScanner::take_number(std::string_view wanted_for) {
  constexpr size_t kDigits = 18;
  const size_t start = at_;
  const std::string_view digits = take_while(is_digit);
  if (digits.empty()) fail_wanted(fmt::format("a number {}", wanted_for));
  if (digits.size() > kDigits) tree_.fail(start, fmt::format("the number {} is too large", quoted(digits, 30)));
  uint64_t value = 0;
  for (const char c : digits) value = value * 10 + static_cast<uint64_t>(c - '0');
  return value;
}

std::optional<char32_t> GrammarScanner::take_escape(char32_t escaped, size_t start) {
  switch (escaped) {
    case 'x': return take_hex(2, start);
    case 'u': return take_hex(4, start);
    case 'U': return take_hex(8, start);
    case 't': return '\t';
    case 'r': return '\r';
    case 'n': return '\n';
    default: return std::nullopt;
  }
}

char32_t GrammarScanner::take_hex(int digits, size_t start) {
  char32_t value = 0;
  for (int i = 0; i < digits; i++) {
    const int digit = hex_value(peek());
    if (digit < 0) fail_wanted(fmt::format("{} hexadecimal digits in the escape", digits));
    value = value * 16 + static_cast<char32_t>(digit);
    at_++;
  }
  if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
    tree_.fail(start,
               fmt::format("U+{:04X} is no character; beyond U+FFFF \\U takes 8 digits", static_cast<uint32_t>(value)));
  return value;
}

void GrammarScanner::fail_wanted(std::string_view wanted) const {
  if (at_end()) tree_.fail(at_, fmt::format("expected {}, found the end of the grammar", wanted));
  const std::string_view rest = source_.substr(at_);
  const std::string found = rest[0] == '\n' || rest[0] == '\r' ? "the end of the line"
                                                               : quoted(rest.substr(0, rest.find_first_of("\r\n")), 20);
  tree_.fail(at_, fmt::format("expected {}, found {}", wanted, found));
}

std::string_view checked_grammar_source(std::string_view what, std::string_view source, Budget& budget) {
  budget.step(source.size() / 8);
  if (!utf8_valid(source)) throw Error(Fault::bad_request, fmt::format("{} is not well-formed UTF-8", what));
  if (source.find('\0') != std::string_view::npos)
    throw Error(Fault::bad_request, fmt::format("{} has a NUL character", what));
  if (source.starts_with("\xef\xbb\xbf")) source.remove_prefix(3);
  return source;
}

}  // namespace lancet
