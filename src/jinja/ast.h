// The tree of a template. Chains of the same precedence (a + b - c, a and b and c, a < b < c) are one node with many
// children, so the tree is never deeper than the parser's depth limit times a small constant.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "jinja/value.h"

namespace lancet {

using JinjaFilter = JinjaValue (*)(JinjaRun&, const JinjaValue& input, const JinjaArguments&);
using JinjaTest = bool (*)(JinjaRun&, const JinjaValue& input, const JinjaArguments&);

enum class JinjaOperator {
  add,
  subtract,
  concatenate,
  multiply,
  divide,
  floor_divide,
  modulo,
  power,
  negate,
  plus,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  contained,
  not_contained,
};

struct JinjaExpression;
using JinjaExpressionPointer = std::unique_ptr<JinjaExpression>;

struct JinjaExpression {
  enum class Kind {
    constant,
    name,
    list,
    tuple,
    dict,  // dict: key, value, key, value...
    attribute,
    index,
    slice,  // slice: object, start, stop, step (each may be null)
    call,
    filter,
    test,  // the first child, then the positional arguments
    unary,
    chain,
    compare,  // chain: operators[i] stands between children i and i + 1
    both,
    either,
    negation,
    conditional,  // conditional: then, condition, otherwise (may be null)
  };
  Kind kind = Kind::constant;
  size_t offset = 0;  // in the source
  std::string name;   // of a variable, attribute, filter or test
  JinjaValue constant;
  std::vector<JinjaExpressionPointer> children;
  std::vector<std::pair<std::string, JinjaExpressionPointer>> named;  // keyword arguments
  std::vector<JinjaOperator> operators;
  JinjaFilter filter = nullptr;
  JinjaTest test = nullptr;
  bool negated = false;  // is not
};

struct JinjaStatement;
using JinjaBody = std::vector<JinjaStatement>;

/// What a set or a for assigns to: a name, ns.attribute, or several names.
struct JinjaTarget {
  std::string name;
  std::string attribute;           // of a namespace, or empty
  std::vector<JinjaTarget> parts;  // not empty: unpacking
};

struct JinjaParameter {
  std::string name;
  JinjaExpressionPointer fallback;  // null: none
};

struct JinjaStatement {
  enum class Kind {
    text,
    output,
    set,
    set_block,
    with,
    for_loop,
    if_else,
    macro,
    call_block,
    filter_block,
    block,
    break_loop,
    continue_loop,
  };
  Kind kind = Kind::text;
  size_t offset = 0;
  JinjaValue text;                   // text
  std::string name;                  // macro
  JinjaTarget target;                // set, set_block, for_loop
  std::vector<JinjaTarget> targets;  // with
  /// output and set: the value; for_loop: the sequence, its filter or null; if_else: the conditions; call_block: the
  /// call; filter_block and set_block: a chain of filters on a hole (or null); with: the values.
  std::vector<JinjaExpressionPointer> expressions;
  std::vector<JinjaParameter> parameters;  // macro, call_block
  /// if_else: one for each condition and perhaps one more; for_loop: body, else; the others: the body.
  std::vector<JinjaBody> bodies;
};

}  // namespace lancet
