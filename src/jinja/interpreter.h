// Walks the tree of a template once.
#pragma once

#include <string>
#include <string_view>

#include "jinja/ast.h"
#include "jinja/run.h"

namespace lancet {

/// One render. The tree and the source must outlive it.
class JinjaInterpreter final : public JinjaRun {
 public:
  /// `variables` are what the caller gives the template: messages, tools, bos_token...
  JinjaInterpreter(std::string_view source, std::vector<std::pair<std::string, JinjaValue>> variables, Budget& budget,
                   const JinjaLimits& limits, std::function<std::tm()> now);

  MarkedText render(const JinjaBody& body);
  JinjaValue call(const JinjaValue& callee, const JinjaArguments& arguments) override;

 private:
  friend struct JinjaMacro;
  enum class Flow { normal, break_loop, continue_loop };

  /// Where evaluation stands; counts nesting while it lives.
  class At {
   public:
    At(JinjaInterpreter& interpreter, size_t offset);
    ~At();
    At(const At&) = delete;

   private:
    JinjaInterpreter& interpreter_;
    size_t outer_offset_;
  };
  /// Makes a scope the current one while it lives.
  class Inside;

  std::string place() const override;

  // interpret_statements.cpp
  Flow execute(const JinjaBody& body);
  Flow execute(const JinjaStatement& statement);
  Flow execute_for(const JinjaStatement& statement);
  Flow execute_if(const JinjaStatement& statement);
  void execute_set(const JinjaStatement& statement);
  void execute_with(const JinjaStatement& statement);
  void execute_call_block(const JinjaStatement& statement);
  std::vector<JinjaValue> loop_items(const JinjaStatement& statement);
  MarkedText captured(const JinjaBody& body);
  JinjaValue run_macro(const JinjaStatement& macro, const std::shared_ptr<JinjaScope>& outer,
                       const JinjaArguments& arguments);
  JinjaValue macro_value(const JinjaStatement& macro);
  void assign(const JinjaTarget& target, const JinjaValue& value);
  void emit(const MarkedText& text);

  // interpret_expressions.cpp
  JinjaValue evaluate(const JinjaExpression& expression);
  JinjaValue evaluate_name(const JinjaExpression& expression) const;
  JinjaValue evaluate_sequence(const JinjaExpression& expression);
  JinjaValue evaluate_dict(const JinjaExpression& expression);
  JinjaValue evaluate_slice(const JinjaExpression& expression);
  JinjaValue evaluate_call(const JinjaExpression& expression, const JinjaValue* caller);
  JinjaValue evaluate_compare(const JinjaExpression& expression);
  JinjaValue evaluate_chain(const JinjaExpression& expression);
  JinjaValue evaluate_conditional(const JinjaExpression& expression);
  JinjaValue apply_filters(const JinjaExpression& expression, const JinjaValue& hole);
  JinjaArguments evaluate_arguments(const JinjaExpression& expression);

  std::string_view source_;
  std::shared_ptr<JinjaScope> scope_;
  MarkedText output_;
  size_t offset_ = 0;
  int nesting_ = 0;
  int calls_ = 0;
};

}  // namespace lancet
