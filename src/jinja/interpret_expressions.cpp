// Expressions. See interpreter.h.
#include "jinja/builtins.h"
#include "jinja/interpreter.h"
#include "jinja/operators.h"

namespace lancet {

JinjaValue JinjaInterpreter::evaluate(const JinjaExpression& expression) {
  using Kind = JinjaExpression::Kind;
  const auto child = [&](size_t i) { return evaluate(*expression.children[i]); };
  const At at(*this, expression.offset);
  switch (expression.kind) {
    case Kind::constant: return expression.constant;
    case Kind::name: return evaluate_name(expression);
    case Kind::list:
    case Kind::tuple: return evaluate_sequence(expression);
    case Kind::dict: return evaluate_dict(expression);
    case Kind::attribute: return jinja_attribute(*this, child(0), expression.name);
    case Kind::index: {
      const JinjaValue object = child(0);
      return jinja_index(*this, object, child(1));
    }
    case Kind::slice: return evaluate_slice(expression);
    case Kind::call: return evaluate_call(expression, nullptr);
    case Kind::filter: return apply_filters(expression, JinjaValue());
    case Kind::test: {
      const JinjaValue input = child(0);
      return JinjaValue::boolean(expression.test(*this, input, evaluate_arguments(expression)) != expression.negated);
    }
    case Kind::unary: {
      const JinjaValue value = child(0);
      if (expression.operators[0] == JinjaOperator::negate) return jinja_negate(*this, value);
      return jinja_binary(*this, JinjaOperator::add, JinjaValue::integer(0), value);
    }
    case Kind::chain: return evaluate_chain(expression);
    case Kind::compare: return evaluate_compare(expression);
    case Kind::both:
    case Kind::either: {
      JinjaValue value;
      for (const auto& part : expression.children) {
        value = evaluate(*part);
        if (value.truth() == (expression.kind == Kind::either)) break;
      }
      return value;
    }
    case Kind::negation: return JinjaValue::boolean(!child(0).truth());
    case Kind::conditional: return evaluate_conditional(expression);
  }
  return {};
}

JinjaValue JinjaInterpreter::evaluate_name(const JinjaExpression& expression) const {
  if (const JinjaValue* value = scope_->find(expression.name)) return *value;
  if (const JinjaValue* value = find_jinja_global(expression.name)) return *value;
  return JinjaValue::undefined("'" + expression.name + "' is undefined");
}

JinjaValue JinjaInterpreter::evaluate_sequence(const JinjaExpression& expression) {
  charge_items(expression.children.size());
  std::vector<JinjaValue> items;
  items.reserve(expression.children.size());
  for (const auto& item : expression.children) items.push_back(evaluate(*item));
  return JinjaValue::list(std::move(items), expression.kind == JinjaExpression::Kind::tuple);
}

JinjaValue JinjaInterpreter::evaluate_dict(const JinjaExpression& expression) {
  charge_items(expression.children.size());
  JinjaDict dict;
  for (size_t i = 0; i < expression.children.size(); i += 2) {
    const JinjaValue key = evaluate(*expression.children[i]);
    if (key.is(JinjaValue::Kind::list) || key.is(JinjaValue::Kind::dict)) {
      fail("unhashable type: '" + std::string(key.type_name()) + "'");
    }
    step(dict.entries.size() / 8);
    dict.set(key, evaluate(*expression.children[i + 1]));
  }
  return JinjaValue::dict(std::move(dict.entries));
}

JinjaValue JinjaInterpreter::evaluate_slice(const JinjaExpression& expression) {
  const JinjaValue object = evaluate(*expression.children[0]);
  JinjaValue bounds[3];
  for (size_t i = 0; i < 3; i++) {
    const auto& bound = expression.children[i + 1];
    bounds[i] = bound ? evaluate(*bound) : JinjaValue::none();
  }
  return jinja_slice(*this, object, bounds);
}

JinjaArguments JinjaInterpreter::evaluate_arguments(const JinjaExpression& expression) {
  JinjaArguments arguments;
  for (size_t i = 1; i < expression.children.size(); i++)
    arguments.positional.push_back(evaluate(*expression.children[i]));
  for (const auto& [name, value] : expression.named) arguments.named.emplace_back(name, evaluate(*value));
  return arguments;
}

JinjaValue JinjaInterpreter::evaluate_call(const JinjaExpression& expression, const JinjaValue* caller) {
  const At at(*this, expression.offset);
  const JinjaValue callee = evaluate(*expression.children[0]);
  JinjaArguments arguments = evaluate_arguments(expression);
  if (caller) arguments.named.emplace_back("caller", *caller);
  return call(callee, arguments);
}

JinjaValue JinjaInterpreter::call(const JinjaValue& callee, const JinjaArguments& arguments) {
  step();
  if (callee.is_undefined()) fail(callee.hint());
  if (!callee.is(JinjaValue::Kind::object)) fail("'" + std::string(callee.type_name()) + "' object is not callable");
  return callee.object_pointer()->call(*this, arguments);
}

JinjaValue JinjaInterpreter::evaluate_compare(const JinjaExpression& expression) {
  JinjaValue left = evaluate(*expression.children[0]);
  for (size_t i = 0; i < expression.operators.size(); i++) {
    JinjaValue right = evaluate(*expression.children[i + 1]);
    bool holds = false;
    switch (expression.operators[i]) {
      case JinjaOperator::equal: holds = jinja_equal(*this, left, right); break;
      case JinjaOperator::not_equal: holds = !jinja_equal(*this, left, right); break;
      case JinjaOperator::less: holds = jinja_compare(*this, left, right) < 0; break;
      case JinjaOperator::less_equal: holds = jinja_compare(*this, left, right) <= 0; break;
      case JinjaOperator::greater: holds = jinja_compare(*this, left, right) > 0; break;
      case JinjaOperator::greater_equal: holds = jinja_compare(*this, left, right) >= 0; break;
      case JinjaOperator::contained: holds = jinja_contains(*this, left, right); break;
      default: holds = !jinja_contains(*this, left, right); break;
    }
    if (!holds) return JinjaValue::boolean(false);
    left = std::move(right);
  }
  return JinjaValue::boolean(true);
}

JinjaValue JinjaInterpreter::evaluate_chain(const JinjaExpression& expression) {
  // ** binds to the left here as in Jinja's compiler: 2 ** 3 ** 2 is 64.
  JinjaValue value = evaluate(*expression.children[0]);
  for (size_t i = 0; i < expression.operators.size(); i++)
    value = jinja_binary(*this, expression.operators[i], value, evaluate(*expression.children[i + 1]));
  return value;
}

JinjaValue JinjaInterpreter::evaluate_conditional(const JinjaExpression& expression) {
  if (evaluate(*expression.children[1]).truth()) return evaluate(*expression.children[0]);
  if (expression.children[2]) return evaluate(*expression.children[2]);
  return JinjaValue::undefined("the conditional expression has no else");
}

/// A filter applied to its input; at the bottom of a chain on a filter block, that is the hole.
JinjaValue JinjaInterpreter::apply_filters(const JinjaExpression& expression, const JinjaValue& hole) {
  const JinjaExpression& input = *expression.children[0];
  JinjaValue value;
  if (input.kind == JinjaExpression::Kind::filter) {
    const At at(*this, input.offset);
    value = apply_filters(input, hole);
  } else {
    const bool is_hole = input.kind == JinjaExpression::Kind::constant && input.constant.is_undefined();
    value = is_hole ? hole : evaluate(input);
  }
  return expression.filter(*this, value, evaluate_arguments(expression));
}

}  // namespace lancet
