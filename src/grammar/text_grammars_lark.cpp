// A subset of Lark (lark-parser/lark: docs/grammar.md) with llguidance's %json, read by recursive descent. There is no
// lexer: a terminal matches any of its texts, and what %ignore names may stand before, between and behind the terminals
// of rules (Lark's dynamic Earley lexer without priorities). Not read, refused by name: priorities, templates,
// %declare, %override, %extend, imports other than from "common", references to tokens.
#include <algorithm>

#include <fmt/format.h>

#include "base/json.h"
#include "base/utf8.h"
#include "grammar/json_schema.h"
#include "grammar/lark_terminals.h"
#include "grammar/regex_syntax.h"
#include "grammar/text_grammar_scanner.h"
#include "grammar/text_grammars.h"

namespace lancet {
namespace {

constexpr std::string_view kComment = "//";
constexpr std::string_view kIgnored = "%ignore";  // the definition of everything ignored; no name looks like it

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_name_char(char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '_'; }
bool is_terminal_name(std::string_view name) {
  const size_t at = name.find_first_not_of('_');
  return at != std::string_view::npos && name[at] >= 'A' && name[at] <= 'Z';
}

class LarkReader {
 public:
  LarkReader(GrammarTree& tree, Rules& rules) : tree_(tree), rules_(rules), scan_(tree) {}

  /// Everything; the result is the definition of "start" with what is ignored before it.
  uint32_t read() {
    skip_lines();
    while (!scan_.at_end()) {
      if (scan_.peek() == '%')
        directive();
      else
        definition();
      end_of_statement();
    }
    const size_t end = scan_.at();
    const uint32_t start = tree_.named("start", end);
    if (!tree_.definitions()[start].body) tree_.fail(end, "there is no rule \"start\", where a grammar begins");
    tree_.define(tree_.named(kIgnored, end), ignored(), end);
    const uint32_t whole = tree_.named("%whole", tree_.definitions()[start].offset);
    tree_.define(whole, pair(name_node(kIgnored, end), name_node("start", end)), tree_.definitions()[start].offset);
    return whole;
  }

  /// Terminals are regular: none may refer to itself.
  void check_terminals(const GrammarReferences& references) const {
    for (uint32_t i = 0; i < tree_.definitions().size(); i++) {
      const GrammarDefinition& definition = tree_.definitions()[i];
      if (references.recursive[i] && is_terminal_name(definition.name))
        tree_.fail(definition.offset, fmt::format("terminal {} refers to itself; only rules, whose names are in lower "
                                                  "case, may be recursive",
                                                  quoted(definition.name)));
    }
  }

 private:
  void skip() { scan_.skip_space(false, kComment); }
  void skip_lines() {
    do scan_.skip_space(true, kComment);
    while (scan_.peek() == '#' && (scan_.skip_space(true, "#"), true));
  }

  void end_of_statement() {
    skip();
    if (!scan_.at_end() && scan_.peek() != '\n' && scan_.peek() != '\r') scan_.fail_wanted("the end of the line");
    skip_lines();
  }

  uint32_t name_node(std::string_view name, size_t offset) {
    return tree_.add({.kind = GrammarNode::Kind::name, .name = tree_.named(name, offset)});
  }

  uint32_t pair(uint32_t first, uint32_t second) {
    return tree_.add({.kind = GrammarNode::Kind::sequence, .parts = {first, second}});
  }

  uint32_t ignored() {
    if (ignored_.empty()) return tree_.add_literal("");
    return tree_.add_repeat(tree_.add({.kind = GrammarNode::Kind::either, .parts = ignored_}), 0, std::nullopt);
  }

  std::string_view name(std::string_view wanted) {
    if (scan_.peek() != '_' && !is_letter(scan_.peek())) scan_.fail_wanted(wanted);
    return scan_.take_while(is_name_char);
  }

  void refuse(size_t offset, std::string_view what) const {
    tree_.fail(offset, fmt::format("{} are not supported", what), Fault::unsupported);
  }

  void definition() {
    scan_.take_while([](char c) { return c == '?' || c == '!'; });
    const size_t start = scan_.at();
    const std::string_view defined = name("the name of a rule or terminal");
    if (scan_.peek() == '.') refuse(scan_.at(), "priorities");
    if (scan_.peek() == '{') refuse(scan_.at(), "templates");
    skip();
    if (scan_.peek() == '[') refuse(scan_.at(), "attributes of rules");
    scan_.expect(":", "after the name of a rule or terminal");
    in_terminal_ = is_terminal_name(defined);
    const uint32_t definition = tree_.named(defined, start);
    skip();
    const size_t body_at = scan_.at();
    const uint32_t body = alternatives(0);
    if (tree_.node(body).kind == GrammarNode::Kind::sequence && tree_.node(body).parts.empty() && body_at == scan_.at())
      tree_.fail(start, fmt::format("{} has no body; the empty text is written \"\"", quoted(defined)));
    tree_.define(definition, body, start);
  }

  /// At a line break: whether the next line goes on with "|". Steps to it.
  bool continues() {
    const size_t start = scan_.at();
    skip_lines();
    if (scan_.peek() == '|') return true;
    scan_.go_to(start);
    return false;
  }

  uint32_t alternatives(int depth) {
    std::vector<uint32_t> parts = {sequence(depth)};
    while (scan_.peek() == '|' || continues()) {
      scan_.take("|");
      skip_lines();
      parts.push_back(sequence(depth));
    }
    if (parts.size() == 1) return parts[0];
    return tree_.add({.kind = GrammarNode::Kind::either, .parts = std::move(parts)});
  }

  bool sequence_ends() const {
    return scan_.at_end() || std::string_view("|)]\r\n").find(scan_.peek()) != std::string_view::npos ||
           scan_.looks_at("->");
  }

  uint32_t sequence(int depth) {
    std::vector<uint32_t> parts;
    const auto skip_inside = [&] { depth > 0 ? skip_lines() : skip(); };
    for (skip_inside(); !sequence_ends(); skip_inside()) parts.push_back(repetitions(item(depth)));
    if (scan_.take("->")) {
      skip();
      name("the alias of an alternative");
      skip_inside();
    }
    if (parts.size() == 1) return parts[0];
    return tree_.add({.kind = GrammarNode::Kind::sequence, .parts = std::move(parts)});
  }

  uint32_t repetitions(uint32_t part) {
    for (int count = 0;; count++) {
      skip();
      if (count > kGrammarNesting) tree_.fail(scan_.at(), "too many repetitions of repetitions");
      const size_t start = scan_.at();
      std::pair<uint64_t, std::optional<uint64_t>> times;
      if (scan_.take("?"))
        times = {0, 1};
      else if (scan_.take("*"))
        times = {0, std::nullopt};
      else if (scan_.take("+"))
        times = {1, std::nullopt};
      else if (scan_.take("~"))
        times = counts("..");
      else if (scan_.take("{"))
        times = counts(","), scan_.expect("}", "after the number of repetitions");
      else
        return part;
      if (times.second && *times.second < times.first)
        tree_.fail(start, fmt::format("the repetition {} to {} times has no count", times.first, *times.second));
      part = tree_.add_repeat(part, times.first, times.second);
    }
  }

  std::pair<uint64_t, std::optional<uint64_t>> counts(std::string_view separator) {
    skip();
    const bool open_below = separator == "," && scan_.peek() == ',';
    const uint64_t min = open_below ? 0 : scan_.take_number("of repetitions");
    skip();
    if (!scan_.take(separator)) return {min, min};
    skip();
    if (separator == "," && scan_.peek() == '}') return {min, std::nullopt};
    const uint64_t max = scan_.take_number("of repetitions");
    skip();
    return {min, max};
  }

  uint32_t item(int depth) {
    const size_t start = scan_.at();
    for (const auto& [opening, closing] : {std::pair("(", ")"), std::pair("[", "]")}) {
      if (!scan_.take(opening)) continue;
      if (depth == kGrammarNesting)
        tree_.fail(start, fmt::format("groups nest deeper than {} levels", kGrammarNesting));
      const uint32_t inner = alternatives(depth + 1);
      skip_lines();
      scan_.expect(closing, "at the end of a group");
      return *opening == '(' ? inner : tree_.add_repeat(inner, 0, 1);
    }
    if (scan_.peek() == '"' || scan_.peek() == '/') return terminal(scan_.peek() == '"' ? string_or_range() : regex());
    if (scan_.take("%json")) return terminal(json(start));
    if (scan_.peek() == '<') refuse(start, "references to tokens (<...>)");
    const std::string_view used = name("a string, a regular expression, a group or a name");
    if (scan_.peek() == '{' && !(scan_.peek(1) >= '0' && scan_.peek(1) <= '9') && scan_.peek(1) != ',')
      refuse(scan_.at(), "templates");
    const bool of_terminal = is_terminal_name(used);
    if (in_terminal_ && !of_terminal)
      tree_.fail(start, fmt::format("a terminal may not refer to the rule {}", quoted(used)));
    const uint32_t node = name_node(used, start);
    return of_terminal ? terminal(node) : node;
  }

  /// In rules, what is ignored may follow a terminal.
  uint32_t terminal(uint32_t node) { return in_terminal_ ? node : pair(node, name_node(kIgnored, scan_.at())); }

  std::string string_text() {
    const size_t start = scan_.at();
    scan_.expect("\"", "to begin a string");
    std::string text;
    while (!scan_.take("\"")) {
      if (scan_.at_end() || scan_.peek() == '\n') tree_.fail(start, "the string that begins here has no closing quote");
      utf8_append(text, character());
    }
    return text;
  }

  char32_t character() {
    const size_t start = scan_.at();
    if (!scan_.take("\\")) return scan_.take_char();
    const char32_t escaped = scan_.take_char();
    if (const auto common = scan_.take_escape(escaped, start)) return *common;
    switch (escaped) {
      case 'f': return '\f';
      case '\\':
      case '/':
      case '\'':
      case '"': return escaped;
      default: break;
    }
    tree_.fail(start, "unknown escape; known are \\n \\r \\t \\f \\\\ \\\" \\xNN \\uNNNN \\UNNNNNNNN");
  }

  uint32_t string_or_range() {
    const size_t start = scan_.at();
    std::string text = string_text();
    if (scan_.take("..")) {
      const std::string last = string_text();
      const auto single = [](const std::string& s) { return !s.empty() && utf8_next(s).length == s.size(); };
      if (!single(text) || !single(last)) tree_.fail(start, "the ends of a range are one character each");
      const CharRange range{utf8_next(text).code_point, utf8_next(last).code_point};
      if (range.last < range.first) tree_.fail(start, "the range runs backwards");
      return tree_.add_term(rules_.terms().chars(CharSet({range})), 1, false);
    }
    if (scan_.peek() == 'i' && !is_name_char(scan_.peek(1))) {
      scan_.take("i");
      return any_case(text, start);
    }
    return tree_.add_literal(std::move(text));
  }

  uint32_t any_case(const std::string& text, size_t start) {
    std::vector<Term> letters;
    for (const char c : text) {
      if (static_cast<unsigned char>(c) > 0x7f)
        tree_.fail(start, "the flag i is supported for ASCII letters only", Fault::unsupported);
      const auto code = static_cast<char32_t>(c);
      const char32_t both[] = {code, is_letter(c) ? code ^ 0x20 : code};
      letters.push_back(rules_.terms().chars(CharSet::of(std::u32string_view(both, 2))));
    }
    return tree_.add_term(rules_.terms().concat(letters), text.size(), text.empty());
  }

  uint32_t regex() {
    const size_t start = scan_.at();
    scan_.expect("/", "to begin a regular expression");
    const size_t first = scan_.at();
    while (scan_.peek() != '/') {
      scan_.take("\\");
      if (scan_.at_end() || scan_.peek() == '\n')
        tree_.fail(start, "the regular expression that begins here has no closing slash");
      scan_.take_char();
    }
    const std::string_view pattern = tree_.source().substr(first, scan_.at() - first);
    scan_.take("/");
    const std::string_view flags = scan_.take_while([](char c) { return std::string_view("imslux").find(c) < 6; });
    return regex_node(pattern, flags, start);
  }

  uint32_t regex_node(std::string_view pattern, std::string_view flags, size_t start) {
    try {
      const Term term = parse_regex(rules_.terms(), lark_regex(pattern, flags), RegexUse::whole, tree_.budget());
      return tree_.add_term(term, pattern.size(), rules_.terms().nullable(term));
    } catch (const Error& error) {
      if (error.fault() != Fault::bad_request && error.fault() != Fault::unsupported) throw;
      tree_.fail(start, error.message(), error.fault());
    }
  }

  /// The JSON object after %json.
  uint32_t json(size_t start) {
    skip_lines();
    const size_t first = scan_.at();
    if (scan_.peek() != '{') scan_.fail_wanted("a JSON object after %json");
    int depth = 0;
    do {
      const char32_t c = scan_.take_char();
      if (c == '"') {
        while (!scan_.take("\"")) scan_.take("\\"), scan_.take_char();
      }
      depth += c == '{' ? 1 : c == '}' ? -1 : 0;
    } while (depth > 0);
    const std::string_view text = tree_.source().substr(first, scan_.at() - first);
    try {
      const auto schema = parse_json(text, "the schema", {.fault = Fault::bad_request}, tree_.budget());
      const RuleId rule = add_json_schema(rules_, schema, {}, tree_.budget());
      return tree_.add({.kind = GrammarNode::Kind::rule, .rule = rule});
    } catch (const Error& error) {
      if (error.fault() != Fault::bad_request && error.fault() != Fault::unsupported) throw;
      const std::string where = error.param().empty() ? "" : fmt::format(" at {}", error.param());
      tree_.fail(start, fmt::format("%json{}: {}", where, error.message()), error.fault());
    }
  }

  void directive() {
    const size_t start = scan_.at();
    scan_.take("%");
    const std::string_view word = scan_.take_while(is_name_char);
    skip();
    if (word == "ignore") {
      in_terminal_ = true;
      ignored_.push_back(alternatives(0));
    } else if (word == "import") {
      import();
    } else if (word == "llguidance") {
      scan_.expect("{", "after %llguidance");
      skip();
      if (!scan_.take("}")) refuse(scan_.at(), "options of llguidance");
    } else {
      refuse(start, fmt::format("directives like {}", quoted("%" + std::string(word))));
    }
  }

  void import() {
    const size_t start = scan_.at();
    const std::string_view library = scan_.take_while(is_name_char);
    if (library != "common") tree_.fail(start, "imports are supported from \"common\" only", Fault::unsupported);
    skip();
    scan_.take(".");
    skip();
    if (!scan_.take("(")) {
      import_terminal(true);
      return;
    }
    do {
      skip_lines();
      import_terminal(false);
      skip_lines();
    } while (scan_.take(","));
    scan_.expect(")", "after the imported names");
  }

  void import_terminal(bool may_rename) {
    const size_t start = scan_.at();
    const std::string_view imported = name("the name of a terminal");
    const auto pattern = lark_common_terminal(imported);
    if (!pattern) tree_.fail(start, fmt::format("\"common\" has no terminal {}", quoted(imported)));
    std::string_view known_as = imported;
    skip();
    if (may_rename && scan_.take("->")) {
      skip();
      known_as = name("the new name of the terminal");
      if (!is_terminal_name(known_as)) tree_.fail(start, "a terminal's name is in upper case");
    }
    const Term term = parse_regex(rules_.terms(), *pattern, RegexUse::whole, tree_.budget());
    tree_.define(tree_.named(known_as, start), tree_.add_term(term, pattern->size(), false), start);
  }

  GrammarTree& tree_;
  Rules& rules_;
  GrammarScanner scan_;
  bool in_terminal_ = false;
  std::vector<uint32_t> ignored_;  // nodes
};

}  // namespace

RuleId add_lark(Rules& rules, std::string_view source, Budget& budget) {
  GrammarTree tree("Lark grammar", checked_grammar_source("Lark grammar", source, budget), budget);
  LarkReader reader(tree, rules);
  const uint32_t start = reader.read();
  const GrammarReferences references = grammar_references(tree);
  reader.check_terminals(references);
  check_grammar(tree, references, start);
  return lower_grammar(tree, references, start, rules);
}

}  // namespace lancet
