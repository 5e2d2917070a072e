// GBNF, the notation of llama.cpp's grammars (ggml-org/llama.cpp: grammars/README.md), read by recursive descent.
// More is allowed where it cannot be mistaken: names with '_', line breaks inside a rule as long as no new one begins,
// escaped punctuation. Not read: references to tokens (<[1000]>, <name>), which are refused by name.
#include <fmt/format.h>

#include "base/utf8.h"
#include "grammar/text_grammar_scanner.h"
#include "grammar/text_grammars.h"

namespace lancet {
namespace {

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

class GbnfReader {
 public:
  GbnfReader(GrammarTree& tree, TermPool& terms) : tree_(tree), terms_(terms), scan_(tree) {}

  void read() {
    skip();
    while (!scan_.at_end()) rule();
  }

 private:
  void skip() { scan_.skip_space(true, "#"); }

  /// Whether a new rule begins here: a name and "::=".
  bool rule_begins() {
    const size_t start = scan_.at();
    const bool named = !scan_.take_while(is_name_char).empty();
    skip();
    const bool begins = named && scan_.looks_at("::=");
    scan_.go_to(start);
    return begins;
  }

  void rule() {
    const size_t start = scan_.at();
    const std::string_view name = scan_.take_while(is_name_char);
    if (name.empty()) scan_.fail_wanted("the name of a rule");
    skip();
    scan_.expect("::=", "after the name of a rule");
    skip();
    const uint32_t definition = tree_.named(name, start);
    if (scan_.at_end() || rule_begins())
      tree_.fail(start, fmt::format("rule {} has no body; the empty text is written \"\"", quoted(name)));
    const uint32_t body = alternatives(0);
    if (!scan_.at_end() && !rule_begins()) scan_.fail_wanted("a rule or the end of the grammar");
    tree_.define(definition, body, start);
  }

  uint32_t alternatives(int depth) {
    std::vector<uint32_t> parts = {sequence(depth)};
    while (scan_.take("|")) {
      skip();
      parts.push_back(sequence(depth));
    }
    if (parts.size() == 1) return parts[0];
    return tree_.add({.kind = GrammarNode::Kind::either, .parts = std::move(parts)});
  }

  uint32_t sequence(int depth) {
    std::vector<uint32_t> parts;
    while (!scan_.at_end() && scan_.peek() != '|' && scan_.peek() != ')') {
      if (is_name_char(scan_.peek()) && depth == 0 && rule_begins()) break;
      uint32_t part = item(depth);
      skip();
      while (const auto counts = repetition()) {
        part = tree_.add_repeat(part, counts->first, counts->second);
        skip();
        if (++repetitions_ > kGrammarNesting) tree_.fail(scan_.at(), "too many repetitions of repetitions");
      }
      repetitions_ = 0;
      parts.push_back(part);
    }
    if (parts.size() == 1) return parts[0];
    return tree_.add({.kind = GrammarNode::Kind::sequence, .parts = std::move(parts)});
  }

  uint32_t item(int depth) {
    const size_t start = scan_.at();
    if (scan_.take("\"")) return literal(start);
    if (scan_.take("[")) return char_class(start);
    if (scan_.take(".")) return tree_.add_term(terms_.any_char(), 1, false);
    if (scan_.take("(")) {
      if (depth == kGrammarNesting)
        tree_.fail(start, fmt::format("groups nest deeper than {} levels", kGrammarNesting));
      skip();
      const uint32_t inner = alternatives(depth + 1);
      scan_.expect(")", "at the end of a group");
      return inner;
    }
    if (scan_.peek() == '<' || scan_.looks_at("!<"))
      tree_.fail(start, "references to tokens (<...>) are not supported in grammars", Fault::unsupported);
    const std::string_view name = scan_.take_while(is_name_char);
    if (name.empty()) scan_.fail_wanted("a literal, a character class, a group or the name of a rule");
    return tree_.add({.kind = GrammarNode::Kind::name, .name = tree_.named(name, start)});
  }

  using Counts = std::pair<uint64_t, std::optional<uint64_t>>;

  std::optional<Counts> repetition() {
    if (scan_.take("*")) return Counts(0, std::nullopt);
    if (scan_.take("+")) return Counts(1, std::nullopt);
    if (scan_.take("?")) return Counts(0, 1);
    const size_t start = scan_.at();
    if (!scan_.take("{")) return std::nullopt;
    skip();
    const uint64_t min = scan_.peek() == ',' ? 0 : scan_.take_number("of repetitions");
    std::optional<uint64_t> max = min;
    skip();
    if (scan_.take(",")) {
      skip();
      max = scan_.peek() == '}' ? std::nullopt : std::optional(scan_.take_number("of repetitions"));
      skip();
    }
    scan_.expect("}", "after the number of repetitions");
    if (max && *max < min) tree_.fail(start, fmt::format("the repetition {{{},{}}} has no count", min, *max));
    return Counts(min, max);
  }

  uint32_t literal(size_t start) {
    std::string text;
    while (!scan_.take("\"")) {
      if (scan_.at_end()) tree_.fail(start, "the literal that begins here has no closing quote");
      utf8_append(text, character());
    }
    return tree_.add_literal(std::move(text));
  }

  uint32_t char_class(size_t start) {
    const bool negated = scan_.take("^");
    std::vector<CharRange> ranges;
    while (!scan_.take("]")) {
      if (scan_.at_end()) tree_.fail(start, "the character class that begins here has no closing bracket");
      const size_t at = scan_.at();
      CharRange range;
      range.first = range.last = character();
      if (scan_.peek() == '-' && scan_.peek(1) != ']' && scan_.peek(1) != '\0') {
        scan_.take("-");
        range.last = character();
      }
      if (range.last < range.first)
        tree_.fail(at, fmt::format("the range U+{:04X} to U+{:04X} runs backwards", static_cast<uint32_t>(range.first),
                                   static_cast<uint32_t>(range.last)));
      ranges.push_back(range);
      tree_.budget().charge(sizeof range);
    }
    if (ranges.empty() && !negated) tree_.fail(start, "the character class [] has no character");
    const CharSet set(std::move(ranges));
    const CharSet chosen = negated ? ~set : set;
    return tree_.add_term(terms_.chars(chosen), 1 + chosen.ranges().size() / 4, false);
  }

  char32_t character() {
    const size_t start = scan_.at();
    if (!scan_.take("\\")) return scan_.take_char();
    const char32_t escaped = scan_.take_char();
    if (const auto common = scan_.take_escape(escaped, start)) return *common;
    const bool punctuation = escaped > ' ' && escaped < 0x7f && !is_name_char(static_cast<char>(escaped));
    if (!punctuation && escaped != '-' && escaped != '_')
      tree_.fail(start, "unknown escape; known are \\n \\r \\t \\xNN \\uNNNN \\UNNNNNNNN and escaped punctuation");
    return escaped;
  }

  GrammarTree& tree_;
  TermPool& terms_;
  GrammarScanner scan_;
  int repetitions_ = 0;  // of the present item
};

}  // namespace

RuleId add_gbnf(Rules& rules, std::string_view source, Budget& budget) {
  GrammarTree tree("GBNF grammar", checked_grammar_source("GBNF grammar", source, budget), budget);
  GbnfReader(tree, rules.terms()).read();
  const size_t size = tree.source().size();
  const uint32_t start = tree.named("root", size);
  if (!tree.definitions()[start].body) tree.fail(size, "there is no rule \"root\", where a grammar begins");
  const GrammarReferences references = grammar_references(tree);
  check_grammar(tree, references, start);
  return lower_grammar(tree, references, start, rules);
}

}  // namespace lancet
