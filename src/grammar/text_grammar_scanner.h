// The characters of a grammar, one after the other, with what GBNF and Lark have in common: names, numbers, escapes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "grammar/text_grammar_tree.h"

namespace lancet {

class GrammarScanner {
 public:
  explicit GrammarScanner(const GrammarTree& tree) : tree_(tree), source_(tree.source()) {}

  size_t at() const { return at_; }
  void go_to(size_t at) { at_ = at; }
  bool at_end() const { return at_ == source_.size(); }
  char peek(size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }
  bool looks_at(std::string_view text) const { return source_.substr(at_).starts_with(text); }
  /// Steps over the text if it is next.
  bool take(std::string_view text);
  /// The same, or an error that says what it was wanted for.
  void expect(std::string_view text, std::string_view wanted_for);
  /// Spaces and tabs; with `lines` line breaks as well; comments, which reach to the end of the line.
  void skip_space(bool lines, std::string_view comment);
  /// The characters for which `is` holds; maybe none.
  template <typename Is>
  std::string_view take_while(Is is) {
    const size_t start = at_;
    while (at_ < source_.size() && is(source_[at_])) at_++;
    tree_.budget().step(1 + (at_ - start) / 8);
    return source_.substr(start, at_ - start);
  }
  /// One code point; the source is well-formed.
  char32_t take_char();
  /// An unsigned decimal number of at most 18 digits.
  uint64_t take_number(std::string_view wanted_for);
  /// Exactly `digits` hexadecimal digits, as a scalar value. `start` is where the escape began, for messages.
  char32_t take_hex(int digits, size_t start);
  /// The rest of an escape that both notations have, \n \r \t \xNN \uNNNN \UNNNNNNNN, behind its first character;
  /// nothing for others.
  std::optional<char32_t> take_escape(char32_t escaped, size_t start);
  /// "expected X, found "y"" at the present place.
  [[noreturn]] void fail_wanted(std::string_view wanted) const;

 private:
  const GrammarTree& tree_;
  std::string_view source_;
  size_t at_ = 0;
};

/// Throws unless the source is UTF-8 of a size that a grammar may have; without a byte order mark.
std::string_view checked_grammar_source(std::string_view what, std::string_view source, Budget&);

}  // namespace lancet
