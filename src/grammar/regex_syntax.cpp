// The text of a regular expression -> a tree. ECMA-262 with flag u, and of its Annex B what Python reads alike.
#include "grammar/regex_syntax.h"

#include <fmt/format.h>

#include "base/utf8.h"
#include "grammar/regex_ast.h"

namespace lancet {

namespace {

constexpr int kDeepest = 200;  // groups in groups
using Kind = RegexNode::Kind;

/// A member of a character class, or an escape: one character or a set.
struct Atom {
  bool is_set = false;
  char32_t c = 0;
  CharSet set;
};

class Parser {
 public:
  Parser(TermPool& pool, std::string_view pattern, Budget& budget) : pool_(pool), text_(pattern), budget_(budget) {}

  RegexTree parse() {
    if (!utf8_valid(text_)) fail("is not well-formed UTF-8", 0);
    tree_.root = alternation(0);
    if (!at_end()) fail("has a \")\" without \"(\"", at_);
    return std::move(tree_);
  }

 private:
  [[noreturn]] void fail(std::string_view what, size_t offset) const {
    throw pattern_error(Fault::bad_request, text_, what, offset);
  }
  [[noreturn]] void refuse(std::string_view what, size_t offset) const {
    throw pattern_error(Fault::unsupported, text_, what, offset);
  }
  bool at_end() const { return at_ >= text_.size(); }
  bool looking_at(std::string_view s) const { return text_.substr(at_, s.size()) == s; }
  bool take(std::string_view s) {
    if (!looking_at(s)) return false;
    at_ += s.size();
    return true;
  }
  char32_t take_char() {
    const Utf8Step step = utf8_next(text_.substr(at_));
    at_ += step.length;
    return step.code_point;
  }
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }

  uint32_t add(RegexNode node) {
    for (uint32_t part : node.parts) {
      node.anchored = node.anchored || tree_.nodes[part].anchored;
      node.looks = node.looks || tree_.nodes[part].looks;
    }
    tree_.nodes.push_back(std::move(node));
    return static_cast<uint32_t>(tree_.nodes.size() - 1);
  }
  uint32_t add_set(const CharSet& set, size_t offset) {
    return add({.kind = Kind::chars, .offset = offset, .term = pool_.chars(set)});
  }

  uint32_t alternation(int depth) {
    const size_t offset = at_;
    std::vector<uint32_t> branches{sequence(depth)};
    while (take("|")) branches.push_back(sequence(depth));
    if (branches.size() == 1) return branches[0];
    return add({.kind = Kind::alternate, .offset = offset, .parts = std::move(branches)});
  }

  uint32_t sequence(int depth) {
    const size_t offset = at_;
    std::vector<uint32_t> parts;
    while (!at_end() && !looking_at("|") && !looking_at(")")) {
      budget_.step();
      const uint32_t part = element(depth);
      parts.push_back(quantified(part));
    }
    if (parts.size() == 1) return parts[0];
    return add({.kind = Kind::concat, .offset = offset, .parts = std::move(parts)});
  }

  uint32_t element(int depth) {
    const size_t offset = at_;
    const char first = text_[at_];
    switch (first) {
      case '^': ++at_; return add({.kind = Kind::begin, .anchored = true, .offset = offset});
      case '$': ++at_; return add({.kind = Kind::end, .anchored = true, .offset = offset});
      case '.': ++at_; return add_set(~CharSet::of(U"\n\r\u2028\u2029"), offset);
      case '(': return group(depth);
      case '[': ++at_; return add_set(char_class(), offset);
      case '\\': return escape_element();
      case '*':
      case '+':
      case '?': fail("has nothing to repeat", offset);
      case '{':
        if (quantifier_length() > 0) fail("has nothing to repeat", offset);
        if (looking_at("{,")) refuse("has \"{,n}\", which engines read differently,", offset);
        break;
      default: break;
    }
    const char32_t c = take_char();
    return add_set(CharSet::of(std::u32string_view(&c, 1)), offset);
  }

  uint32_t group(int depth) {
    const size_t offset = at_++;
    if (depth >= kDeepest) fail("has groups nested deeper than 200", offset);
    Kind look = Kind::concat;
    if (take("?=")) {
      look = Kind::ahead;
    } else if (take("?!")) {
      look = Kind::not_ahead;
    } else if (looking_at("?<=") || looking_at("?<!")) {
      refuse("has a look-behind, which is not supported,", offset);
    } else if (take("?<") || take("?P<")) {
      group_name(offset);
    } else if (!take("?:") && looking_at("?")) {
      refuse("has a group of a kind that is not supported", offset);
    }
    const uint32_t inner = alternation(depth + 1);
    if (!take(")")) fail("has a \"(\" without \")\"", offset);
    if (look == Kind::concat) return inner;
    return add({.kind = look, .looks = true, .offset = offset, .parts = {inner}});
  }

  void group_name(size_t offset) {
    size_t length = 0;
    while (!at_end() && text_[at_] != '>' && text_[at_] != ')') {
      take_char();
      ++length;
    }
    if (length == 0 || !take(">")) fail("has a group whose name is not closed", offset);
  }

  /// Length of a quantifier in braces at the current position; 0: there is none.
  size_t quantifier_length() const {
    size_t i = at_ + 1;
    const size_t digits = i;
    while (i < text_.size() && is_digit(text_[i])) ++i;
    if (i == digits) return 0;
    if (i < text_.size() && text_[i] == ',') {
      ++i;
      while (i < text_.size() && is_digit(text_[i])) ++i;
    }
    return i < text_.size() && text_[i] == '}' ? i + 1 - at_ : 0;
  }

  uint64_t number() {
    uint64_t value = 0;
    for (; !at_end() && is_digit(text_[at_]); ++at_) {
      value = value > kUnbounded / 16 ? kUnbounded / 2 : value * 10 + static_cast<uint64_t>(text_[at_] - '0');
    }
    return value;
  }

  uint32_t quantified(uint32_t part) {
    const size_t offset = at_;
    uint64_t min = 0, max = kUnbounded;
    if (at_end()) return part;
    if (take("*")) {
    } else if (take("+")) {
      min = 1;
    } else if (take("?")) {
      max = 1;
    } else if (looking_at("{") && quantifier_length() > 0) {
      ++at_;
      min = max = number();
      if (take(",")) max = looking_at("}") ? kUnbounded : number();
      ++at_;
      if (max < min) fail("has a repetition whose bounds are out of order", offset);
    } else {
      return part;
    }
    take("?");  // lazy: the same language
    const RegexNode& repeated = tree_.nodes[part];
    const bool anchor = repeated.kind == Kind::begin || repeated.kind == Kind::end;
    if (anchor && repeated.offset + 1 == offset) fail("repeats an anchor", offset);
    return add({.kind = Kind::repeat, .offset = offset, .min = min, .max = max, .parts = {part}});
  }

  uint32_t escape_element() {
    const size_t offset = at_++;
    if (at_end()) fail("ends with a backslash", offset);
    const char c = text_[at_];
    if (c >= '1' && c <= '9') refuse("has a back-reference, which is not regular,", offset);
    if (c == 'k') refuse("has a back-reference, which is not regular,", offset);
    if (c == 'b' || c == 'B') refuse("has a word boundary, which is not supported,", offset);
    Atom atom = escape(offset);
    return add_set(atom.is_set ? atom.set : CharSet::of(std::u32string_view(&atom.c, 1)), offset);
  }

  Atom escape(size_t offset);
  char32_t control_escape(size_t offset);
  char32_t unicode_escape(size_t offset);
  char32_t hex(int digits, size_t offset);
  CharSet property(bool negated, size_t offset);
  CharSet char_class();
  Atom class_atom();

  TermPool& pool_;
  std::string_view text_;
  Budget& budget_;
  size_t at_ = 0;
  RegexTree tree_;
};

/// Behind the backslash.
Atom Parser::escape(size_t offset) {
  const char32_t c = take_char();
  switch (c) {
    case 'd':
    case 'w':
    case 's': return {.is_set = true, .set = regex_class(static_cast<char>(c))};
    case 'D':
    case 'W':
    case 'S': return {.is_set = true, .set = ~regex_class(static_cast<char>(c - 'A' + 'a'))};
    case 'p':
    case 'P': return {.is_set = true, .set = property(c == 'P', offset)};
    case 't': return {.c = '\t'};
    case 'n': return {.c = '\n'};
    case 'r': return {.c = '\r'};
    case 'f': return {.c = '\f'};
    case 'v': return {.c = '\v'};
    case 'x': return {.c = hex(2, offset)};
    case 'u': return {.c = unicode_escape(offset)};
    case 'c': return {.c = control_escape(offset)};
    case '0':
      if (!at_end() && is_digit(text_[at_])) fail("has an octal escape", offset);
      return {.c = 0};
    default: break;
  }
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  if (letter) fail("has an unknown escape", offset);
  return {.c = c};
}

char32_t Parser::control_escape(size_t offset) {
  const char c = at_end() ? '\0' : text_[at_];
  if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) fail("has \"\\c\" without a letter", offset);
  ++at_;
  return static_cast<char32_t>(c) % 32;
}

char32_t Parser::hex(int digits, size_t offset) {
  char32_t value = 0;
  for (int i = 0; i < digits; ++i, ++at_) {
    const char c = at_end() ? '\0' : text_[at_];
    if (is_digit(c)) {
      value = value * 16 + static_cast<char32_t>(c - '0');
    } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
      value = value * 16 + static_cast<char32_t>((c | 32) - 'a' + 10);
    } else {
      fail("has an escape with too few hexadecimal digits", offset);
    }
  }
  return value;
}

char32_t Parser::unicode_escape(size_t offset) {
  if (take("{")) {
    char32_t value = 0;
    const size_t start = at_;
    while (!at_end() && text_[at_] != '}' && value <= 0x10FFFF) value = value * 16 + hex(1, offset);
    if (at_ == start || !take("}") || value > 0x10FFFF) fail("has an escape that names no code point", offset);
    return value;
  }
  const char32_t high = hex(4, offset);
  if (high < 0xD800 || high > 0xDBFF || !looking_at("\\u")) return high;
  const size_t before = at_;
  at_ += 2;
  if (looking_at("{")) {
    at_ = before;
    return high;
  }
  const char32_t low = hex(4, offset);
  if (low >= 0xDC00 && low <= 0xDFFF) return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
  at_ = before;
  return high;
}

CharSet Parser::property(bool negated, size_t offset) {
  const size_t close = text_.find('}', at_);
  if (!take("{") || close == std::string_view::npos) fail("has \"\\p\" without \"{name}\"", offset);
  const std::string_view name = text_.substr(at_, close - at_);
  at_ = close + 1;
  const CharSet* set = regex_property(name);
  if (set == nullptr) refuse(fmt::format("names the property {}, which is not supported,", quoted(name, 40)), offset);
  return negated ? ~*set : *set;
}

Atom Parser::class_atom() {
  const size_t offset = at_;
  if (!take("\\")) return {.c = take_char()};
  if (at_end()) fail("ends with a backslash", offset);
  if (take("b")) return {.c = '\b'};
  if (text_[at_] == 'B' || (text_[at_] >= '1' && text_[at_] <= '9')) fail("has an unknown escape", offset);
  return escape(offset);
}

/// Behind the opening bracket.
CharSet Parser::char_class() {
  const size_t offset = at_ - 1;
  const bool negated = take("^");
  std::vector<CharRange> ranges;
  auto add_atom = [&](const Atom& atom) {
    if (atom.is_set) {
      ranges.insert(ranges.end(), atom.set.ranges().begin(), atom.set.ranges().end());
    } else {
      ranges.push_back({atom.c, atom.c});
    }
  };
  while (!take("]")) {
    if (at_end()) fail("has a \"[\" without \"]\"", offset);
    budget_.step();
    const size_t start = at_;
    const Atom from = class_atom();
    const bool range = looking_at("-") && !looking_at("-]") && at_ + 1 < text_.size();
    if (!range) {
      add_atom(from);
      continue;
    }
    ++at_;
    const Atom to = class_atom();
    if (from.is_set || to.is_set) {  // Annex B: the hyphen is one
      add_atom(from);
      add_atom(to);
      ranges.push_back({'-', '-'});
    } else {
      if (to.c < from.c) fail("has a range whose ends are out of order", start);
      ranges.push_back({from.c, to.c});
    }
  }
  const CharSet set(std::move(ranges));
  return negated ? ~set : set;
}

}  // namespace

Error pattern_error(Fault fault, std::string_view pattern, std::string_view what, size_t offset) {
  return Error(fault, fmt::format("pattern {} {} at offset {}", quoted(pattern), what, offset));
}

RegexTree parse_regex_tree(TermPool& pool, std::string_view pattern, Budget& budget) {
  return Parser(pool, pattern, budget).parse();
}

Term parse_regex(TermPool& pool, std::string_view pattern, RegexUse use, Budget& budget) {
  const RegexTree tree = parse_regex_tree(pool, pattern, budget);
  return translate_regex(pool, tree, pattern, use, budget);
}

}  // namespace lancet
