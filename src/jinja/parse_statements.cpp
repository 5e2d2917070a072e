// Statements of a template, and the parser's handling of tokens. See parser.h.
#include <algorithm>

#include "base/error.h"
#include "jinja/parser_state.h"

namespace lancet {

JinjaBody parse_jinja(std::string_view source, Budget& budget) {
  return JinjaParser(source, lex_jinja(source, budget)).parse_template();
}

JinjaParser::Deeper::Deeper(JinjaParser& parser, int levels) : parser_(parser), levels_(levels) {
  if (parser.depth_ + levels > kJinjaMaxParseDepth) {
    parser.fail("nested deeper than " + std::to_string(kJinjaMaxParseDepth));
  }
  parser.depth_ += levels;
}

void JinjaParser::fail(const std::string& problem) const { fail_template(source_, now().offset, problem); }

void JinjaParser::fail_unexpected(std::string_view wanted) const {
  std::string found = "the end of the template";
  if (at(Kind::block_end) || at(Kind::variable_end)) {
    found = "the end of the tag";
  } else if (!at(Kind::end)) {
    found = quoted(now().text, 40);
  }
  fail("expected " + std::string(wanted) + ", found " + found);
}

bool JinjaParser::at_any_name(const Names& names) const {
  return at(Kind::name) && std::find(names.begin(), names.end(), now().text) != names.end();
}

JinjaToken JinjaParser::take() {
  JinjaToken token = now();
  if (at_ + 1 < tokens_.size()) at_++;
  return token;
}

bool JinjaParser::take_symbol(std::string_view text) {
  if (!at_symbol(text)) return false;
  take();
  return true;
}

bool JinjaParser::take_name(std::string_view text) {
  if (!at_name(text)) return false;
  take();
  return true;
}

void JinjaParser::expect_symbol(std::string_view text) {
  if (!take_symbol(text)) fail_unexpected("'" + std::string(text) + "'");
}

void JinjaParser::expect_end_of_block() {
  if (!at(Kind::block_end)) fail_unexpected("the end of the tag");
  take();
}

std::string JinjaParser::expect_name(std::string_view what) {
  if (!at(Kind::name)) fail_unexpected(what);
  return take().text;
}

JinjaBody JinjaParser::parse_template() { return parse_body({}); }

JinjaBody JinjaParser::parse_body(const Names& ends) {
  const Deeper deeper(*this);
  JinjaBody body;
  while (!at(Kind::end)) {
    JinjaStatement statement;
    statement.offset = now().offset;
    if (at(Kind::data)) {
      statement.text = JinjaValue::string(take().text, true);
    } else if (at(Kind::variable_begin)) {
      take();
      statement.kind = JinjaStatement::Kind::output;
      statement.expressions.push_back(parse_tuple());
      if (!at(Kind::variable_end)) fail_unexpected("'}}'");
      take();
    } else {
      take();  // block_begin: the lexer gives nothing else here
      if (at_any_name(ends)) return body;
      statement = parse_statement();
    }
    body.push_back(std::move(statement));
  }
  if (!ends.empty()) fail_unexpected("'" + std::string(ends.back()) + "'");
  return body;
}

JinjaStatement JinjaParser::parse_statement() {
  using StatementKind = JinjaStatement::Kind;
  JinjaStatement statement;
  statement.offset = now().offset;
  if (!at(Kind::name)) fail_unexpected("a statement");
  const std::string word = now().text;
  if (word == "for") return parse_for(std::move(statement));
  if (word == "if") return parse_if(std::move(statement));
  if (word == "set") return parse_set(std::move(statement));
  if (word == "with") return parse_with(std::move(statement));
  if (word == "macro") return parse_macro(std::move(statement));
  if (word == "call") return parse_call_block(std::move(statement));
  if (word == "filter") return parse_filter_block(std::move(statement));
  if (word == "generation") {  // transformers marks the assistant's text with it; it prints its body
    take();
    expect_end_of_block();
    statement.kind = StatementKind::block;
    statement.bodies.push_back(parse_block_of("endgeneration"));
    return statement;
  }
  if (word != "break" && word != "continue") fail("unknown statement " + quoted(word, 40));
  if (loops_ == 0) fail("'" + word + "' stands outside of a loop");
  statement.kind = word == "break" ? StatementKind::break_loop : StatementKind::continue_loop;
  take();
  expect_end_of_block();
  return statement;
}

/// The rest of a block: its body, its end tag.
JinjaBody JinjaParser::parse_block_of(std::string_view end) {
  JinjaBody body = parse_body({end});
  take();
  expect_end_of_block();
  return body;
}

JinjaStatement JinjaParser::parse_for(JinjaStatement statement) {
  take();
  statement.kind = JinjaStatement::Kind::for_loop;
  statement.target = parse_target(false);
  if (!take_name("in")) fail_unexpected("'in'");
  statement.expressions.push_back(parse_tuple(false));
  statement.expressions.push_back(take_name("if") ? parse_expression() : nullptr);
  if (at_name("recursive")) fail("recursive loops are not supported");
  expect_end_of_block();
  loops_++;
  statement.bodies.push_back(parse_body({"else", "endfor"}));
  loops_--;
  if (take_name("else")) {
    expect_end_of_block();
    statement.bodies.push_back(parse_body({"endfor"}));
  } else {
    statement.bodies.emplace_back();
  }
  take();
  expect_end_of_block();
  return statement;
}

JinjaStatement JinjaParser::parse_if(JinjaStatement statement) {
  statement.kind = JinjaStatement::Kind::if_else;
  do {
    take();  // if or elif
    statement.expressions.push_back(parse_tuple(false));
    expect_end_of_block();
    statement.bodies.push_back(parse_body({"elif", "else", "endif"}));
  } while (at_name("elif"));
  if (take_name("else")) {
    expect_end_of_block();
    statement.bodies.push_back(parse_body({"endif"}));
  }
  take();
  expect_end_of_block();
  return statement;
}

JinjaStatement JinjaParser::parse_set(JinjaStatement statement) {
  take();
  statement.target = parse_target(true);
  if (take_symbol("=")) {
    statement.kind = JinjaStatement::Kind::set;
    statement.expressions.push_back(parse_tuple());
    expect_end_of_block();
    return statement;
  }
  if (!statement.target.parts.empty()) fail_unexpected("'='");
  statement.kind = JinjaStatement::Kind::set_block;
  JinjaExpressionPointer hole = make(JinjaExpression::Kind::constant, now().offset);
  statement.expressions.push_back(at_symbol("|") ? parse_filters(std::move(hole), true) : nullptr);
  expect_end_of_block();
  statement.bodies.push_back(parse_block_of("endset"));
  return statement;
}

JinjaStatement JinjaParser::parse_with(JinjaStatement statement) {
  take();
  statement.kind = JinjaStatement::Kind::with;
  while (!at(Kind::block_end)) {
    if (!statement.targets.empty()) expect_symbol(",");
    statement.targets.push_back(parse_one_target(false));
    expect_symbol("=");
    statement.expressions.push_back(parse_expression());
  }
  expect_end_of_block();
  statement.bodies.push_back(parse_block_of("endwith"));
  return statement;
}

JinjaStatement JinjaParser::parse_macro(JinjaStatement statement) {
  take();
  statement.kind = JinjaStatement::Kind::macro;
  statement.name = expect_name("the macro's name");
  if (!at_symbol("(")) fail_unexpected("'('");
  statement.parameters = parse_parameters();
  expect_end_of_block();
  const int loops = std::exchange(loops_, 0);  // a break in a macro does not end its caller's loop
  statement.bodies.push_back(parse_block_of("endmacro"));
  loops_ = loops;
  return statement;
}

JinjaStatement JinjaParser::parse_call_block(JinjaStatement statement) {
  take();
  statement.kind = JinjaStatement::Kind::call_block;
  if (at_symbol("(")) statement.parameters = parse_parameters();
  JinjaExpressionPointer call = parse_expression();
  if (call->kind != JinjaExpression::Kind::call) fail("a call block needs a call");
  statement.expressions.push_back(std::move(call));
  expect_end_of_block();
  const int loops = std::exchange(loops_, 0);
  statement.bodies.push_back(parse_block_of("endcall"));
  loops_ = loops;
  return statement;
}

JinjaStatement JinjaParser::parse_filter_block(JinjaStatement statement) {
  take();
  statement.kind = JinjaStatement::Kind::filter_block;
  JinjaExpressionPointer filters = parse_filter(make(JinjaExpression::Kind::constant, now().offset));
  statement.expressions.push_back(parse_filters(std::move(filters), true));
  expect_end_of_block();
  statement.bodies.push_back(parse_block_of("endfilter"));
  return statement;
}

std::vector<JinjaParameter> JinjaParser::parse_parameters() {
  std::vector<JinjaParameter> parameters;
  expect_symbol("(");
  while (!take_symbol(")")) {
    if (!parameters.empty()) expect_symbol(",");
    JinjaParameter parameter{expect_name("a parameter's name"), nullptr};
    if (take_symbol("=")) {
      parameter.fallback = parse_expression();
    } else if (!parameters.empty() && parameters.back().fallback) {
      fail("a parameter without a default follows one that has a default");
    }
    parameters.push_back(std::move(parameter));
  }
  return parameters;
}

JinjaTarget JinjaParser::parse_target(bool may_be_attribute) {
  JinjaTarget first = parse_one_target(may_be_attribute);
  if (!at_symbol(",")) return first;
  JinjaTarget tuple;
  tuple.parts.push_back(std::move(first));
  while (take_symbol(",")) {
    if (!at(Kind::name) && !at_symbol("(")) break;
    tuple.parts.push_back(parse_one_target(false));
  }
  return tuple;
}

JinjaTarget JinjaParser::parse_one_target(bool may_be_attribute) {
  if (take_symbol("(")) {
    const Deeper deeper(*this);
    JinjaTarget target = parse_target(false);
    expect_symbol(")");
    return target;
  }
  JinjaTarget target;
  const size_t begin = at_;
  target.name = expect_name("a variable's name");
  for (const std::string_view reserved : {"true", "false", "none", "True", "False", "None", "loop"}) {
    if (target.name != reserved) continue;
    at_ = begin;
    fail("cannot assign to '" + target.name + "'");
  }
  if (may_be_attribute && take_symbol(".")) target.attribute = expect_name("an attribute's name");
  return target;
}

}  // namespace lancet
