// What the two halves of the parser (statements, expressions) share. Private to the parser.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "jinja/ast.h"
#include "jinja/lexer.h"
#include "jinja/parser.h"

namespace lancet {

class JinjaParser {
 public:
  JinjaParser(std::string_view source, std::vector<JinjaToken> tokens) : source_(source), tokens_(std::move(tokens)) {}

  JinjaBody parse_template();

 private:
  using Kind = JinjaToken::Kind;
  using Names = std::vector<std::string_view>;

  /// Counts nesting while it lives.
  class Deeper {
   public:
    explicit Deeper(JinjaParser& parser, int levels = 1);
    ~Deeper() { parser_.depth_ -= levels_; }
    Deeper(const Deeper&) = delete;

   private:
    JinjaParser& parser_;
    int levels_;
  };

  const JinjaToken& now() const { return tokens_[at_]; }
  const JinjaToken& next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  bool at(Kind kind) const { return now().kind == kind; }
  bool at_symbol(std::string_view text) const { return at(Kind::symbol) && now().text == text; }
  bool at_name(std::string_view text) const { return at(Kind::name) && now().text == text; }
  bool at_any_name(const Names& names) const;
  JinjaToken take();
  bool take_symbol(std::string_view text);
  bool take_name(std::string_view text);
  void expect_symbol(std::string_view text);
  void expect_end_of_block();
  std::string expect_name(std::string_view what);
  [[noreturn]] void fail(const std::string& problem) const;
  [[noreturn]] void fail_unexpected(std::string_view wanted) const;

  // Statements (parse_statements.cpp).
  /// Statements until a block that begins with one of `ends`; its name is left as the current token. No ends: to the
  /// end.
  JinjaBody parse_body(const Names& ends);
  JinjaStatement parse_statement();
  JinjaStatement parse_for(JinjaStatement statement);
  JinjaStatement parse_if(JinjaStatement statement);
  JinjaStatement parse_set(JinjaStatement statement);
  JinjaStatement parse_with(JinjaStatement statement);
  JinjaStatement parse_macro(JinjaStatement statement);
  JinjaStatement parse_call_block(JinjaStatement statement);
  JinjaStatement parse_filter_block(JinjaStatement statement);
  JinjaBody parse_block_of(std::string_view end);
  std::vector<JinjaParameter> parse_parameters();
  JinjaTarget parse_target(bool may_be_attribute);
  JinjaTarget parse_one_target(bool may_be_attribute);

  // Expressions (parse_expressions.cpp).
  JinjaExpressionPointer make(JinjaExpression::Kind kind, size_t offset) const;
  JinjaExpressionPointer parse_expression(bool conditional = true);
  JinjaExpressionPointer parse_tuple(bool conditional = true);  // a, b without brackets
  JinjaExpressionPointer parse_or();
  JinjaExpressionPointer parse_and();
  JinjaExpressionPointer parse_not();
  JinjaExpressionPointer parse_compare();
  JinjaExpressionPointer parse_chain(int level);
  JinjaExpressionPointer parse_unary(bool with_filters);
  JinjaExpressionPointer parse_primary();
  JinjaExpressionPointer parse_brackets();
  JinjaExpressionPointer parse_dict();
  JinjaExpressionPointer parse_number();
  JinjaExpressionPointer parse_postfix(JinjaExpressionPointer value);
  JinjaExpressionPointer parse_filters(JinjaExpressionPointer value, bool filters_only = false);
  JinjaExpressionPointer parse_filter(JinjaExpressionPointer input);
  JinjaExpressionPointer parse_test(JinjaExpressionPointer input);
  JinjaExpressionPointer parse_subscript(JinjaExpressionPointer object);
  JinjaExpressionPointer parse_call(JinjaExpressionPointer callee);
  void parse_arguments(JinjaExpression& into);

  std::string_view source_;
  std::vector<JinjaToken> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  int loops_ = 0;  // for bodies around the current statement
};

}  // namespace lancet
