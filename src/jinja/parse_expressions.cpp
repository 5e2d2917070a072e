// Expressions of a template, in the order of jinja2/parser.py: conditional, or, and, not, comparison, + -, ~, * / // %,
// **, unary, then attributes, calls, filters and tests.
#include <array>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "jinja/builtins.h"
#include "jinja/parser_state.h"

namespace lancet {
namespace {

using ExpressionKind = JinjaExpression::Kind;

struct Symbol {
  std::string_view text;
  JinjaOperator meaning;
};
constexpr std::array<Symbol, 6> kComparisons = {{{"==", JinjaOperator::equal},
                                                 {"!=", JinjaOperator::not_equal},
                                                 {"<", JinjaOperator::less},
                                                 {"<=", JinjaOperator::less_equal},
                                                 {">", JinjaOperator::greater},
                                                 {">=", JinjaOperator::greater_equal}}};
struct ChainSymbol {
  std::string_view text;
  int level;  // 0 binds loosest
  JinjaOperator meaning;
};
constexpr int kChainLevels = 4;
constexpr std::array<ChainSymbol, 8> kChainSymbols = {{{"+", 0, JinjaOperator::add},
                                                       {"-", 0, JinjaOperator::subtract},
                                                       {"~", 1, JinjaOperator::concatenate},
                                                       {"*", 2, JinjaOperator::multiply},
                                                       {"/", 2, JinjaOperator::divide},
                                                       {"//", 2, JinjaOperator::floor_divide},
                                                       {"%", 2, JinjaOperator::modulo},
                                                       {"**", 3, JinjaOperator::power}}};

}  // namespace

JinjaExpressionPointer JinjaParser::make(ExpressionKind kind, size_t offset) const {
  auto expression = std::make_unique<JinjaExpression>();
  expression->kind = kind;
  expression->offset = offset;
  return expression;
}

JinjaExpressionPointer JinjaParser::parse_expression(bool conditional) {
  const Deeper deeper(*this);
  JinjaExpressionPointer value = parse_or();
  // A loop, not a recursion, in Jinja too: a if b else c if d else e nests to the left of the next if.
  while (conditional && at_name("if")) {
    JinjaExpressionPointer choice = make(ExpressionKind::conditional, take().offset);
    choice->children.push_back(std::move(value));
    choice->children.push_back(parse_or());
    choice->children.push_back(take_name("else") ? parse_expression() : nullptr);
    value = std::move(choice);
    if (at_name("if")) fail("put brackets around one of these two conditional expressions");
  }
  return value;
}

JinjaExpressionPointer JinjaParser::parse_tuple(bool conditional) {
  const size_t offset = now().offset;
  JinjaExpressionPointer first = parse_expression(conditional);
  if (!at_symbol(",")) return first;
  JinjaExpressionPointer tuple = make(ExpressionKind::tuple, offset);
  tuple->children.push_back(std::move(first));
  while (take_symbol(",")) {
    if (at(Kind::block_end) || at(Kind::variable_end) || at_symbol(")")) break;
    tuple->children.push_back(parse_expression(conditional));
  }
  return tuple;
}

JinjaExpressionPointer JinjaParser::parse_or() {
  JinjaExpressionPointer first = parse_and();
  if (!at_name("or")) return first;
  JinjaExpressionPointer either = make(ExpressionKind::either, now().offset);
  either->children.push_back(std::move(first));
  while (take_name("or")) either->children.push_back(parse_and());
  return either;
}

JinjaExpressionPointer JinjaParser::parse_and() {
  JinjaExpressionPointer first = parse_not();
  if (!at_name("and")) return first;
  JinjaExpressionPointer both = make(ExpressionKind::both, now().offset);
  both->children.push_back(std::move(first));
  while (take_name("and")) both->children.push_back(parse_not());
  return both;
}

JinjaExpressionPointer JinjaParser::parse_not() {
  if (!at_name("not")) return parse_compare();
  const Deeper deeper(*this);
  JinjaExpressionPointer negation = make(ExpressionKind::negation, take().offset);
  negation->children.push_back(parse_not());
  return negation;
}

JinjaExpressionPointer JinjaParser::parse_compare() {
  const size_t offset = now().offset;
  JinjaExpressionPointer first = parse_chain(0);
  JinjaExpressionPointer compare = make(ExpressionKind::compare, offset);
  for (;;) {
    if (at_name("in")) {
      take();
      compare->operators.push_back(JinjaOperator::contained);
    } else if (at_name("not") && next().kind == Kind::name && next().text == "in") {
      take();
      take();
      compare->operators.push_back(JinjaOperator::not_contained);
    } else {
      bool found = false;
      for (const Symbol& symbol : kComparisons) {
        if (found || !take_symbol(symbol.text)) continue;
        compare->operators.push_back(symbol.meaning);
        found = true;
      }
      if (!found) break;
    }
    compare->children.push_back(parse_chain(0));
  }
  if (compare->operators.empty()) return first;
  compare->children.insert(compare->children.begin(), std::move(first));
  return compare;
}

JinjaExpressionPointer JinjaParser::parse_chain(int level) {
  if (level == kChainLevels) return parse_unary(true);
  JinjaExpressionPointer first = parse_chain(level + 1);
  JinjaExpressionPointer chain;
  for (;;) {
    const ChainSymbol* found = nullptr;
    for (const ChainSymbol& symbol : kChainSymbols)
      if (symbol.level == level && at_symbol(symbol.text)) found = &symbol;
    if (!found) break;
    if (!chain) {
      chain = make(ExpressionKind::chain, now().offset);
      chain->children.push_back(std::move(first));
    }
    take();
    chain->operators.push_back(found->meaning);
    chain->children.push_back(parse_chain(level + 1));
  }
  return chain ? std::move(chain) : std::move(first);
}

JinjaExpressionPointer JinjaParser::parse_unary(bool with_filters) {
  JinjaExpressionPointer value;
  if (at_symbol("-") || at_symbol("+")) {
    const Deeper deeper(*this);
    value = make(ExpressionKind::unary, now().offset);
    value->operators.push_back(take().text == "-" ? JinjaOperator::negate : JinjaOperator::plus);
    value->children.push_back(parse_unary(false));
  } else {
    value = parse_primary();
  }
  value = parse_postfix(std::move(value));
  return with_filters ? parse_filters(std::move(value)) : std::move(value);
}

JinjaExpressionPointer JinjaParser::parse_primary() {
  const size_t offset = now().offset;
  if (at(Kind::integer) || at(Kind::real)) return parse_number();
  if (at(Kind::string)) {
    std::string text;
    while (at(Kind::string)) text += take().text;  // neighbours join, as in Python
    JinjaExpressionPointer constant = make(ExpressionKind::constant, offset);
    constant->constant = JinjaValue::string(text, true);
    return constant;
  }
  if (at_symbol("(") || at_symbol("[")) return parse_brackets();
  if (at_symbol("{")) return parse_dict();
  if (!at(Kind::name)) fail_unexpected("an expression");
  const std::string name = take().text;
  JinjaExpressionPointer constant = make(ExpressionKind::constant, offset);
  if (name == "true" || name == "True") {
    constant->constant = JinjaValue::boolean(true);
  } else if (name == "false" || name == "False") {
    constant->constant = JinjaValue::boolean(false);
  } else if (name == "none" || name == "None") {
    constant->constant = JinjaValue::none();
  } else {
    constant->kind = ExpressionKind::name;
    constant->name = name;
  }
  return constant;
}

JinjaExpressionPointer JinjaParser::parse_number() {
  const JinjaToken token = now();
  JinjaExpressionPointer constant = make(ExpressionKind::constant, token.offset);
  const char* end = token.text.data() + token.text.size();
  if (token.kind == Kind::real) {
    double value = 0;
    const auto result = std::from_chars(token.text.data(), end, value);
    if (result.ec != std::errc() || !std::isfinite(value)) fail("this number is out of range");
    constant->constant = JinjaValue::real(value);
  } else {
    const bool prefixed = token.text.size() > 1 && token.text[0] == '0' && token.text[1] > '9';
    const int base = !prefixed ? 10 : token.text[1] == 'x' ? 16 : token.text[1] == 'o' ? 8 : 2;
    int64_t value = 0;
    const auto result = std::from_chars(token.text.data() + (prefixed ? 2 : 0), end, value, base);
    if (result.ec != std::errc() || result.ptr != end) fail("this is no integer of 64 bits");
    constant->constant = JinjaValue::integer(value);
  }
  take();
  return constant;
}

JinjaExpressionPointer JinjaParser::parse_brackets() {
  const bool is_list = at_symbol("[");
  const std::string_view close = is_list ? "]" : ")";
  JinjaExpressionPointer sequence = make(is_list ? ExpressionKind::list : ExpressionKind::tuple, take().offset);
  bool comma = false;
  while (!take_symbol(close)) {
    if (!sequence->children.empty() && !comma) fail_unexpected("',' or '" + std::string(close) + "'");
    sequence->children.push_back(parse_expression());
    comma = take_symbol(",");
  }
  const bool only_grouping = !is_list && sequence->children.size() == 1 && !comma;
  return only_grouping ? std::move(sequence->children[0]) : std::move(sequence);
}

JinjaExpressionPointer JinjaParser::parse_dict() {
  JinjaExpressionPointer dict = make(ExpressionKind::dict, take().offset);
  while (!take_symbol("}")) {
    if (!dict->children.empty()) {
      expect_symbol(",");
      if (take_symbol("}")) break;
    }
    dict->children.push_back(parse_expression());
    expect_symbol(":");
    dict->children.push_back(parse_expression());
  }
  return dict;
}

JinjaExpressionPointer JinjaParser::parse_postfix(JinjaExpressionPointer value) {
  int links = 0;
  for (;; links++) {
    const Deeper deeper(*this, links);  // a.b.c.d nests to the left
    if (at_symbol(".")) {
      take();
      const size_t offset = now().offset;
      JinjaExpressionPointer access = make(ExpressionKind::attribute, offset);
      access->children.push_back(std::move(value));
      if (at(Kind::integer)) {  // x.0 is x[0]
        access->kind = ExpressionKind::index;
        access->children.push_back(parse_number());
      } else {
        access->name = expect_name("an attribute's name");
      }
      value = std::move(access);
    } else if (at_symbol("[")) {
      value = parse_subscript(std::move(value));
    } else if (at_symbol("(")) {
      value = parse_call(std::move(value));
    } else {
      return value;
    }
  }
}

JinjaExpressionPointer JinjaParser::parse_filters(JinjaExpressionPointer value, bool filters_only) {
  int links = 0;
  for (;; links++) {
    const Deeper deeper(*this, links);
    if (take_symbol("|")) {
      value = parse_filter(std::move(value));
    } else if (!filters_only && at_name("is")) {
      take();
      value = parse_test(std::move(value));
    } else if (!filters_only && at_symbol("(")) {
      value = parse_call(std::move(value));
    } else {
      return value;
    }
  }
}

JinjaExpressionPointer JinjaParser::parse_filter(JinjaExpressionPointer input) {
  JinjaExpressionPointer filter = make(ExpressionKind::filter, now().offset);
  if (!at(Kind::name)) fail_unexpected("a filter's name");
  filter->filter = find_jinja_filter(now().text);
  if (!filter->filter) fail("unknown filter " + quoted(now().text, 40));
  filter->name = take().text;
  filter->children.push_back(std::move(input));
  if (take_symbol("(")) parse_arguments(*filter);
  return filter;
}

JinjaExpressionPointer JinjaParser::parse_test(JinjaExpressionPointer input) {
  JinjaExpressionPointer test = make(ExpressionKind::test, now().offset);
  test->negated = take_name("not");
  if (!at(Kind::name)) fail_unexpected("a test's name");
  test->test = find_jinja_test(now().text);
  if (!test->test) fail("unknown test " + quoted(now().text, 40));
  test->name = take().text;
  test->children.push_back(std::move(input));
  if (take_symbol("(")) {
    parse_arguments(*test);
    return test;
  }
  const bool argument =
      at(Kind::name) || at(Kind::string) || at(Kind::integer) || at(Kind::real) || at_symbol("[") || at_symbol("{");
  if (!argument || at_any_name({"else", "or", "and", "if", "in", "not", "recursive"})) return test;
  if (at_name("is")) fail("chained tests need brackets");
  test->children.push_back(parse_postfix(parse_primary()));
  return test;
}

JinjaExpressionPointer JinjaParser::parse_subscript(JinjaExpressionPointer object) {
  JinjaExpressionPointer index = make(ExpressionKind::index, take().offset);
  index->children.push_back(std::move(object));
  JinjaExpressionPointer bounds[3];
  size_t colons = 0;
  while (!at_symbol("]")) {
    if (take_symbol(":")) {
      if (++colons > 2) fail("a slice has at most two colons");
      continue;
    }
    if (bounds[colons]) fail_unexpected("']'");
    bounds[colons] = parse_expression();
  }
  take();
  if (colons > 0) {
    index->kind = ExpressionKind::slice;
    for (JinjaExpressionPointer& bound : bounds) index->children.push_back(std::move(bound));
    return index;
  }
  if (!bounds[0]) fail("an index stands in these brackets");
  index->children.push_back(std::move(bounds[0]));
  return index;
}

JinjaExpressionPointer JinjaParser::parse_call(JinjaExpressionPointer callee) {
  JinjaExpressionPointer call = make(ExpressionKind::call, now().offset);
  expect_symbol("(");
  call->children.push_back(std::move(callee));
  parse_arguments(*call);
  return call;
}

/// After the opening bracket: positional arguments, then named ones.
void JinjaParser::parse_arguments(JinjaExpression& into) {
  bool first = true;
  while (!take_symbol(")")) {
    if (!first) {
      expect_symbol(",");
      if (take_symbol(")")) return;
    }
    first = false;
    if (at_symbol("*") || at_symbol("**")) fail("unpacked arguments are not supported");
    if (at(Kind::name) && next().kind == Kind::symbol && next().text == "=") {
      std::string name = take().text;
      take();
      into.named.emplace_back(std::move(name), parse_expression());
    } else {
      if (!into.named.empty()) fail("a positional argument follows a named one");
      into.children.push_back(parse_expression());
    }
  }
}

}  // namespace lancet
