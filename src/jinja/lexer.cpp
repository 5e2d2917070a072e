// The lexer. Rules of jinja2/lexer.py (Jinja 3.1), written anew without regular expressions. See lexer.h.
#include "jinja/lexer.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/utf8.h"

namespace lancet {
namespace {

using Kind = JinjaToken::Kind;

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool starts_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

// Longest first where one begins another.
constexpr std::array<std::string_view, 25> kSymbols = {"//", "**", "==", "!=", "<=", ">=", "+", "-", "*",
                                                       "/",  "%",  "~",  "<",  ">",  "=",  "(", ")", "[",
                                                       "]",  "{",  "}",  ",",  ".",  ":",  "|"};

class Lexer {
 public:
  Lexer(std::string_view source, Budget& budget) : source_(source), budget_(budget) {}

  std::vector<JinjaToken> run() {
    while (at_ < source_.size()) data();
    add(Kind::end, source_.size(), "");
    return std::move(tokens_);
  }

 private:
  char peek(size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }
  bool looking_at(std::string_view text) const { return source_.substr(at_).starts_with(text); }
  void add(Kind kind, size_t offset, std::string text) {
    budget_.step();
    tokens_.push_back({kind, offset, std::move(text)});
  }
  void skip_space() {
    while (at_ < source_.size() && is_space(source_[at_])) at_++;
  }

  /// Text up to the next tag, then the tag.
  void data() {
    const size_t begin = at_;
    size_t tag = begin;
    for (;; tag++) {
      tag = source_.find('{', tag);
      if (tag == std::string_view::npos || tag + 1 >= source_.size()) {
        add_data(begin, source_.size());
        at_ = source_.size();
        return;
      }
      const char next = source_[tag + 1];
      if (next == '{' || next == '%' || next == '#') break;
    }
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    add_data(begin, stripped_end(begin, tag, sign));
    at_ = tag + 2 + (sign == '-' || sign == '+');
    switch (source_[tag + 1]) {
      case '#': comment(tag); break;
      case '%':
        if (!raw_block(tag)) tokens_of_tag(tag, Kind::block_begin);
        break;
      default: tokens_of_tag(tag, Kind::variable_begin);
    }
  }

  /// Where the text [begin, tag) ends once whitespace in front of the tag is dropped.
  size_t stripped_end(size_t begin, size_t tag, char sign) const {
    size_t end = tag;
    if (sign == '-') {
      while (end > begin && is_space(source_[end - 1])) end--;
      return end;
    }
    if (sign == '+' || source_[tag + 1] == '{') return tag;
    while (end > begin && is_space(source_[end - 1]) && source_[end - 1] != '\n') end--;
    const bool from_line_start = end > begin ? source_[end - 1] == '\n' : line_starting_;
    return from_line_start ? end : tag;
  }

  void add_data(size_t begin, size_t end) {
    if (begin < end) add(Kind::data, begin, std::string(source_.substr(begin, end - begin)));
  }

  /// After the closing mark of a tag: eats the whitespace it asks for.
  void after_tag(char sign, bool trims_line_break) {
    const size_t begin = at_;
    if (sign == '-') {
      skip_space();
    } else if (trims_line_break && sign != '+' && peek() == '\n') {
      at_++;
    }
    line_starting_ = at_ > begin && source_[at_ - 1] == '\n';
  }

  void comment(size_t tag) {
    const size_t close = source_.find("#}", at_);
    if (close == std::string_view::npos) fail_template(source_, tag, "this comment is not closed by #}");
    const char sign = close > at_ ? source_[close - 1] : '\0';
    at_ = close + 2;
    after_tag(sign, true);
  }

  /// {% raw %} ... {% endraw %}: returns false if the tag is another one.
  bool raw_block(size_t tag) {
    const size_t saved = at_;
    char sign = '\0';
    if (!closes_word("raw", sign)) {
      at_ = saved;
      return false;
    }
    if (sign == '-') skip_space();
    line_starting_ = false;
    const size_t begin = at_;
    for (size_t end = source_.find("{%", at_); end != std::string_view::npos; end = source_.find("{%", end + 1)) {
      budget_.step();
      const char open = end + 2 < source_.size() ? source_[end + 2] : '\0';
      at_ = end + 2 + (open == '-' || open == '+');
      if (!closes_word("endraw", sign)) continue;
      add_data(begin, std::max(begin, stripped_end(begin, end, open)));
      after_tag(sign, true);
      return true;
    }
    fail_template(source_, tag, "this raw block is not closed by endraw");
  }

  /// Reads `word` and the end of the tag; gives the sign of the end.
  bool closes_word(std::string_view word, char& sign) {
    skip_space();
    if (!looking_at(word)) return false;
    at_ += word.size();
    skip_space();
    sign = peek() == '-' || peek() == '+' ? peek() : '\0';
    if (sign) at_++;
    if (!looking_at("%}")) return false;
    at_ += 2;
    return true;
  }

  void tokens_of_tag(size_t tag, Kind begin) {
    add(begin, tag, "");
    const std::string_view close = begin == Kind::block_begin ? "%}" : "}}";
    std::vector<char> open;  // brackets: a }} inside a dict literal does not close the tag
    for (;;) {
      skip_space();
      if (at_ >= source_.size()) fail_template(source_, tag, "this tag is not closed by " + std::string(close));
      if (open.empty() && end_of_tag(begin, close)) return;
      token(open);
    }
  }

  bool end_of_tag(Kind begin, std::string_view close) {
    const bool block = begin == Kind::block_begin;
    char sign = '\0';
    if ((peek() == '-' || (block && peek() == '+')) && source_.substr(at_ + 1).starts_with(close)) sign = peek();
    if (!sign && !looking_at(close)) return false;
    add(block ? Kind::block_end : Kind::variable_end, at_, "");
    at_ += close.size() + (sign != '\0');
    after_tag(sign, block);
    return true;
  }

  void token(std::vector<char>& open) {
    const char c = peek();
    const size_t begin = at_;
    if (starts_name(c)) {
      while (starts_name(peek()) || is_digit(peek())) at_++;
      return add(Kind::name, begin, std::string(source_.substr(begin, at_ - begin)));
    }
    if (is_digit(c)) return number();
    if (c == '"' || c == '\'') return string(c);
    for (const std::string_view symbol : kSymbols) {
      if (!looking_at(symbol)) continue;
      balance(symbol[0], open);
      at_ += symbol.size();
      return add(Kind::symbol, begin, std::string(symbol));
    }
    fail_template(source_, at_, "unexpected character " + quoted(source_.substr(at_, 1)));
  }

  void balance(char symbol, std::vector<char>& open) const {
    if (symbol == '(' || symbol == '[' || symbol == '{') open.push_back(symbol);
    if (symbol != ')' && symbol != ']' && symbol != '}') return;
    const char wanted = symbol == ')' ? '(' : symbol == ']' ? '[' : '{';
    if (open.empty() || open.back() != wanted) {
      fail_template(source_, at_, std::string("unexpected '") + symbol + "', no such bracket is open here");
    }
    open.pop_back();
  }

  void digits(std::string& text, bool (*accept)(char)) {
    while (accept(peek()) || (peek() == '_' && accept(peek(1)))) {
      if (peek() != '_') text += peek();
      at_++;
    }
  }

  void number() {
    const size_t begin = at_;
    std::string text;
    const char base = static_cast<char>(peek(1) | 0x20);
    if (peek() == '0' && (base == 'x' || base == 'o' || base == 'b')) {
      text = std::string("0") + base;
      at_ += 2;
      digits(text, is_hex);
      return add(Kind::integer, begin, text);
    }
    digits(text, is_digit);
    Kind kind = Kind::integer;
    if (peek() == '.' && is_digit(peek(1))) {
      kind = Kind::real;
      text += '.';
      at_++;
      digits(text, is_digit);
    }
    const bool sign = peek(1) == '+' || peek(1) == '-';
    if ((peek() == 'e' || peek() == 'E') && is_digit(peek(sign ? 2 : 1))) {
      kind = Kind::real;
      text += 'e';
      if (sign) text += peek(1);
      at_ += sign ? 2 : 1;
      digits(text, is_digit);
    }
    add(kind, begin, text);
  }

  void string(char quote) {
    const size_t begin = at_++;
    std::string text;
    while (peek() != quote || at_ >= source_.size()) {
      if (at_ >= source_.size()) fail_template(source_, begin, "this string is not closed");
      if (peek() == '\\' && at_ + 1 < source_.size()) {
        escape(text);
      } else {
        text += source_[at_++];
      }
    }
    at_++;
    add(Kind::string, begin, std::move(text));
  }

  /// Python's escapes; an unknown one stays as it is written.
  void escape(std::string& text) {
    constexpr std::string_view kLetters = "abfnrtv\\'\"";
    constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
    const char c = peek(1);
    if (const size_t known = kLetters.find(c); known != std::string_view::npos) {
      text += kMeanings[known];
      at_ += 2;
    } else if (c == '\n') {
      at_ += 2;
    } else if (c >= '0' && c <= '7') {
      at_++;
      uint32_t code = 0;
      for (int i = 0; i < 3 && peek() >= '0' && peek() <= '7'; i++)
        code = code * 8 + static_cast<uint32_t>(source_[at_++] - '0');
      utf8_append(text, code);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      hex_escape(text, c == 'x' ? 2 : c == 'u' ? 4 : 8);
    } else {
      text += '\\';
      at_++;
    }
  }

  void hex_escape(std::string& text, size_t length) {
    const std::string_view written = source_.substr(at_ + 2, length);
    const bool good = written.size() == length && std::all_of(written.begin(), written.end(), is_hex);
    const uint64_t code = good ? std::stoull(std::string(written), nullptr, 16) : UINT64_MAX;
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
      fail_template(source_, at_, "this escape names no character");
    }
    utf8_append(text, static_cast<char32_t>(code));
    at_ += 2 + length;
  }

  std::string_view source_;
  Budget& budget_;
  size_t at_ = 0;
  bool line_starting_ = true;  // whether what follows the last tag is at the beginning of a line
  std::vector<JinjaToken> tokens_;
};

}  // namespace

std::string jinja_place(std::string_view source, size_t offset) {
  const std::string_view before = source.substr(0, std::min(offset, source.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
  return std::to_string(line) + ":" + std::to_string(before.size() - line_begin + 1);
}

void fail_template(std::string_view source, size_t offset, const std::string& problem) {
  const std::string place = jinja_place(source, offset);
  throw Error(Fault::bad_file, "chat template, " + place + ": " + problem, place);
}

std::vector<JinjaToken> lex_jinja(std::string_view source, Budget& budget) { return Lexer(source, budget).run(); }

std::string normalise_line_ends(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); i++) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    text += source[i] == '\r' ? '\n' : source[i];
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace lancet
