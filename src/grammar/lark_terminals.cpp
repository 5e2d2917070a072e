#include "grammar/lark_terminals.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/utf8.h"

namespace lancet {
namespace {

// Written from the documentation of Lark's library: what each terminal is, as one expression.
constexpr std::pair<std::string_view, std::string_view> kCommon[] = {
    {"DIGIT", "[0-9]"},
    {"HEXDIGIT", "[0-9A-Fa-f]"},
    {"INT", "[0-9]+"},
    {"SIGNED_INT", "[+\\-]?[0-9]+"},
    {"DECIMAL", "[0-9]+\\.[0-9]*|\\.[0-9]+"},
    {"FLOAT", "[0-9]+[eE][+\\-]?[0-9]+|(?:[0-9]+\\.[0-9]*|\\.[0-9]+)(?:[eE][+\\-]?[0-9]+)?"},
    {"SIGNED_FLOAT", "[+\\-]?(?:[0-9]+[eE][+\\-]?[0-9]+|(?:[0-9]+\\.[0-9]*|\\.[0-9]+)(?:[eE][+\\-]?[0-9]+)?)"},
    {"NUMBER", "[0-9]+(?:[eE][+\\-]?[0-9]+)?|(?:[0-9]+\\.[0-9]*|\\.[0-9]+)(?:[eE][+\\-]?[0-9]+)?"},
    {"SIGNED_NUMBER", "[+\\-]?(?:[0-9]+(?:[eE][+\\-]?[0-9]+)?|(?:[0-9]+\\.[0-9]*|\\.[0-9]+)(?:[eE][+\\-]?[0-9]+)?)"},
    {"ESCAPED_STRING", "\"(?:[^\"\\\\\\n]|\\\\[^\\n])*\""},
    {"LCASE_LETTER", "[a-z]"},
    {"UCASE_LETTER", "[A-Z]"},
    {"LETTER", "[A-Za-z]"},
    {"WORD", "[A-Za-z]+"},
    {"CNAME", "[A-Za-z_][A-Za-z0-9_]*"},
    {"WS_INLINE", "[ \\t]+"},
    {"WS", "[ \\t\\f\\r\\n]+"},
    {"CR", "\\r"},
    {"LF", "\\n"},
    {"NEWLINE", "(?:\\r?\\n)+"},
    {"SH_COMMENT", "#[^\\n]*"},
    {"CPP_COMMENT", "\\/\\/[^\\n]*"},
    {"C_COMMENT", "\\/\\*(?:[^*]|\\*+[^*\\/])*\\*+\\/"},
    {"SQL_COMMENT", "--[^\\n]*"},
};

bool is_letter(char32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_alphanumeric(char32_t c) { return is_letter(c) || (c >= '0' && c <= '9'); }
char32_t other_case(char32_t letter) { return letter ^ 0x20; }

/// Walks over a pattern once and writes what it means.
class RegexWriter {
 public:
  RegexWriter(std::string_view pattern, std::string_view flags)
      : rest_(pattern), any_case_(has(flags, 'i')), dot_all_(has(flags, 's')), verbose_(has(flags, 'x')) {
    for (const char flag : flags)
      if (flag == 'm' || flag == 'l')
        throw Error(Fault::unsupported, fmt::format("the flag {} of regular expressions is not supported", flag));
  }

  std::string run() {
    while (!rest_.empty()) {
      const char32_t c = take();
      if (c == '\\')
        escape(false);
      else if (c == '[')
        char_class();
      else if (c == '.')
        out_ += dot_all_ ? "[\\s\\S]" : "[^\\n]";
      else if (c == '(' && rest_.starts_with("?P<"))
        rest_.remove_prefix(2), out_ += "(?";
      else if (c == '(' && rest_.starts_with("?"))
        group_head();
      else if (c == '{')
        brace();
      else if (c == '}' || c == ']')
        out_ += {'\\', static_cast<char>(c)};
      else if (verbose_ && is_space(c))
        continue;
      else if (verbose_ && c == '#')
        rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
      else
        plain(c);
    }
    return std::move(out_);
  }

 private:
  static bool has(std::string_view flags, char flag) { return flags.find(flag) != std::string_view::npos; }
  static bool is_space(char32_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

  char32_t take() {
    const Utf8Step step = utf8_next(rest_);
    rest_.remove_prefix(step.length);
    return step.code_point;
  }

  void refuse_case(char32_t c) const {
    if (any_case_ && c > 0x7f)
      throw Error(Fault::unsupported, "the flag i is supported for ASCII letters only, and the text has others");
  }

  void plain(char32_t c) {
    refuse_case(c);
    if (any_case_ && is_letter(c)) {
      out_ += {'[', static_cast<char>(c), static_cast<char>(other_case(c)), ']'};
    } else {
      utf8_append(out_, c);
    }
  }

  /// "(?:", "(?=", "(?<name>", "(?i:": the head is no text.
  void group_head() {
    out_ += '(';
    while (!rest_.empty() && rest_[0] != ':' && rest_[0] != '=' && rest_[0] != '!' && rest_[0] != '>' &&
           rest_[0] != ')')
      utf8_append(out_, take());
    if (!rest_.empty()) utf8_append(out_, take());
  }

  /// A brace that is no quantifier is itself; {,n} is {0,n}.
  void brace() {
    size_t at = 0;
    const auto digits = [&] {
      const size_t start = at;
      while (at < rest_.size() && rest_[at] >= '0' && rest_[at] <= '9') at++;
      return at - start;
    };
    const size_t low = digits();
    size_t high = 0;
    const bool comma = at < rest_.size() && rest_[at] == ',';
    if (comma) at++, high = digits();
    if (at < rest_.size() && rest_[at] == '}' && (low || high)) {
      out_ += low ? "{" : "{0";
      out_ += rest_.substr(0, at + 1);
      rest_.remove_prefix(at + 1);
    } else {
      out_ += "\\{";
    }
  }

  /// What follows a backslash.
  void escape(bool in_class) {
    if (rest_.empty()) {
      out_ += '\\';
      return;
    }
    const char32_t c = take();
    if (any_case_ && (c == 'x' || c == 'u' || c == 'U')) refuse_escape();
    if (c == 'a')
      out_ += "\\x07";
    else if (c == 'U')
      out_ += fmt::format("\\u{{{}}}", take_digits(8));
    else if (std::u32string_view(U"^$\\.*+?()[]{}|/-").find(c) != std::u32string_view::npos && (c != '-' || in_class))
      out_ += {'\\', static_cast<char>(c)};
    else if (is_alphanumeric(c))
      out_ += {'\\', static_cast<char>(c)};
    else
      plain(c);
  }

  std::string take_digits(size_t count) {
    const std::string digits(rest_.substr(0, count));
    rest_.remove_prefix(digits.size());
    return digits;
  }

  [[noreturn]] static void refuse_escape() {
    throw Error(Fault::unsupported, "the flag i is not supported with characters by code or escaped ends of ranges");
  }

  /// The range in the other case too, as far as it has letters.
  void add_other_case(char32_t first, char32_t last) {
    for (const auto& [a, z] : {std::pair(U'a', U'z'), std::pair(U'A', U'Z')}) {
      const char32_t low = std::max(first, a), high = std::min(last, z);
      if (low > high) continue;
      out_ += {static_cast<char>(other_case(low)), '-', static_cast<char>(other_case(high))};
    }
  }

  void char_class() {
    out_ += '[';
    if (rest_.starts_with("^")) out_ += '^', rest_.remove_prefix(1);
    if (rest_.starts_with("]")) out_ += "\\]", rest_.remove_prefix(1);
    while (!rest_.empty()) {
      const char32_t c = take();
      if (c == ']') {
        out_ += ']';
        return;
      }
      if (c == '\\') {
        escape(true);
        continue;
      }
      refuse_case(c);
      utf8_append(out_, c);
      char32_t last = c;
      if (rest_.size() >= 2 && rest_[0] == '-' && rest_[1] != ']' && rest_[1] != '\\') {
        take();
        last = take();
        refuse_case(last);
        out_ += '-';
        utf8_append(out_, last);
      }
      if (any_case_ && rest_.starts_with("-\\")) refuse_escape();
      if (any_case_) add_other_case(c, last);
    }
  }

  std::string_view rest_;
  bool any_case_, dot_all_, verbose_;
  std::string out_;
};

}  // namespace

std::optional<std::string_view> lark_common_terminal(std::string_view name) {
  for (const auto& [known, pattern] : kCommon)
    if (known == name) return pattern;
  return std::nullopt;
}

std::string lark_regex(std::string_view pattern, std::string_view flags) { return RegexWriter(pattern, flags).run(); }

}  // namespace lancet
