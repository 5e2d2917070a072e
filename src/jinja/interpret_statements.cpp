// Statements: output, loops, scopes, macros. See interpreter.h.
#include <fmt/format.h>

#include "base/error.h"
#include "jinja/builtins.h"
#include "jinja/interpreter.h"
#include "jinja/lexer.h"
#include "jinja/operators.h"

namespace lancet {
namespace {

/// `loop` inside a for.
struct LoopVariable final : JinjaObject {
  std::shared_ptr<const std::vector<JinjaValue>> items;
  size_t index = 0;
  std::shared_ptr<std::optional<JinjaValue>> last_changed;

  std::string_view type_name() const override { return "LoopContext"; }

  std::optional<JinjaValue> attribute(std::string_view name) const override {
    const auto at = static_cast<int64_t>(index), length = static_cast<int64_t>(items->size());
    if (name == "index") return JinjaValue::integer(at + 1);
    if (name == "index0") return JinjaValue::integer(at);
    if (name == "first") return JinjaValue::boolean(index == 0);
    if (name == "last") return JinjaValue::boolean(at + 1 == length);
    if (name == "length") return JinjaValue::integer(length);
    if (name == "revindex") return JinjaValue::integer(length - at);
    if (name == "revindex0") return JinjaValue::integer(length - at - 1);
    // Jinja counts depth in recursive loops only, which are refused.
    if (name == "depth") return JinjaValue::integer(1);
    if (name == "depth0") return JinjaValue::integer(0);
    if (name == "previtem") return index > 0 ? (*items)[index - 1] : JinjaValue::undefined("there is no previous item");
    if (name == "nextitem") {
      return at + 1 < length ? (*items)[index + 1] : JinjaValue::undefined("there is no next item");
    }
    if (name == "cycle") return cycle();
    if (name == "changed") return changed();
    return std::nullopt;
  }

 private:
  JinjaValue cycle() const {
    return jinja_function([at = index](JinjaRun& run, const JinjaArguments& arguments) {
      if (arguments.positional.empty()) run.fail("no items for cycling given");
      return arguments.positional[at % arguments.positional.size()];
    });
  }
  JinjaValue changed() const {
    return jinja_function([last = last_changed](JinjaRun& run, const JinjaArguments& arguments) {
      JinjaValue now = JinjaValue::list(arguments.positional);
      const bool changed = !*last || !jinja_equal(run, **last, now);
      *last = std::move(now);
      return JinjaValue::boolean(changed);
    });
  }
};

}  // namespace

/// A macro, or the caller() of a call block, with the scope where it was defined.
struct JinjaMacro final : JinjaObject {
  const JinjaStatement* statement = nullptr;
  std::shared_ptr<JinjaScope> scope;

  std::string_view type_name() const override { return "Macro"; }
  bool callable() const override { return true; }
  std::optional<JinjaValue> attribute(std::string_view name) const override {
    if (name == "name") return JinjaValue::string(statement->name, true);
    return std::nullopt;
  }
  JinjaValue call(JinjaRun& run, const JinjaArguments& arguments) const override {
    return static_cast<JinjaInterpreter&>(run).run_macro(*statement, scope, arguments);  // there is no other run
  }
};

class JinjaInterpreter::Inside {
 public:
  Inside(JinjaInterpreter& interpreter, std::shared_ptr<JinjaScope> parent) : interpreter_(interpreter) {
    auto scope = std::make_shared<JinjaScope>();
    scope->parent = std::move(parent);
    outer_ = std::exchange(interpreter_.scope_, std::move(scope));
  }
  ~Inside() { interpreter_.scope_ = std::move(outer_); }
  Inside(const Inside&) = delete;

 private:
  JinjaInterpreter& interpreter_;
  std::shared_ptr<JinjaScope> outer_;
};

JinjaInterpreter::At::At(JinjaInterpreter& interpreter, size_t offset)
    : interpreter_(interpreter), outer_offset_(std::exchange(interpreter.offset_, offset)) {
  interpreter_.step();
  if (++interpreter_.nesting_ > interpreter_.limits().nesting) {
    interpreter_.nesting_--;  // the destructor of an unfinished object does not run
    interpreter_.fail_budget("nested evaluations", static_cast<uint64_t>(interpreter_.limits().nesting));
  }
}

JinjaInterpreter::At::~At() {
  interpreter_.nesting_--;
  interpreter_.offset_ = outer_offset_;
}

JinjaInterpreter::JinjaInterpreter(std::string_view source, std::vector<std::pair<std::string, JinjaValue>> variables,
                                   Budget& budget, const JinjaLimits& limits, std::function<std::tm()> now)
    : JinjaRun(budget, limits, std::move(now)), source_(source) {
  auto given = std::make_shared<JinjaScope>();
  given->variables = std::move(variables);
  scope_ = std::make_shared<JinjaScope>();
  scope_->parent = given;
  keep(given);
  keep(scope_);
}

std::string JinjaInterpreter::place() const { return jinja_place(source_, offset_); }

MarkedText JinjaInterpreter::render(const JinjaBody& body) {
  execute(body);
  return std::move(output_);
}

JinjaInterpreter::Flow JinjaInterpreter::execute(const JinjaBody& body) {
  for (const JinjaStatement& statement : body)
    if (const Flow flow = execute(statement); flow != Flow::normal) return flow;
  return Flow::normal;
}

JinjaInterpreter::Flow JinjaInterpreter::execute(const JinjaStatement& statement) {
  using Kind = JinjaStatement::Kind;
  const At at(*this, statement.offset);
  switch (statement.kind) {
    case Kind::text: emit(statement.text.text()); break;
    case Kind::output: emit(jinja_text(*this, evaluate(*statement.expressions[0]))); break;
    case Kind::set:
    case Kind::set_block: execute_set(statement); break;
    case Kind::with: execute_with(statement); break;
    case Kind::for_loop: return execute_for(statement);
    case Kind::if_else: return execute_if(statement);
    case Kind::macro: scope_->set(statement.name, macro_value(statement)); break;
    case Kind::call_block: execute_call_block(statement); break;
    case Kind::filter_block: {
      const JinjaValue text = JinjaValue::string(captured(statement.bodies[0]));
      emit(jinja_text(*this, apply_filters(*statement.expressions[0], text)));
      break;
    }
    case Kind::block: return execute(statement.bodies[0]);
    case Kind::break_loop: return Flow::break_loop;
    case Kind::continue_loop: return Flow::continue_loop;
  }
  return Flow::normal;
}

std::vector<JinjaValue> JinjaInterpreter::loop_items(const JinjaStatement& statement) {
  std::vector<JinjaValue> items = jinja_elements(*this, evaluate(*statement.expressions[0]));
  if (!statement.expressions[1]) return items;
  std::vector<JinjaValue> wanted;
  for (JinjaValue& item : items) {
    const Inside inside(*this, scope_);
    assign(statement.target, item);
    if (evaluate(*statement.expressions[1]).truth()) wanted.push_back(std::move(item));
  }
  return wanted;
}

JinjaInterpreter::Flow JinjaInterpreter::execute_for(const JinjaStatement& statement) {
  const auto items = std::make_shared<const std::vector<JinjaValue>>(loop_items(statement));
  if (items->empty()) return execute(statement.bodies[1]);
  const auto last_changed = std::make_shared<std::optional<JinjaValue>>();
  for (size_t i = 0; i < items->size(); i++) {
    step();
    const Inside inside(*this, scope_);
    auto loop = std::make_shared<LoopVariable>();
    loop->items = items;
    loop->index = i;
    loop->last_changed = last_changed;
    scope_->set("loop", JinjaValue::object(std::move(loop)));
    assign(statement.target, (*items)[i]);
    if (execute(statement.bodies[0]) == Flow::break_loop) break;
  }
  return Flow::normal;
}

JinjaInterpreter::Flow JinjaInterpreter::execute_if(const JinjaStatement& statement) {
  for (size_t i = 0; i < statement.expressions.size(); i++)
    if (evaluate(*statement.expressions[i]).truth()) return execute(statement.bodies[i]);
  const bool has_else = statement.bodies.size() > statement.expressions.size();
  return has_else ? execute(statement.bodies.back()) : Flow::normal;
}

void JinjaInterpreter::execute_set(const JinjaStatement& statement) {
  if (statement.kind == JinjaStatement::Kind::set) return assign(statement.target, evaluate(*statement.expressions[0]));
  JinjaValue value = JinjaValue::string(captured(statement.bodies[0]));
  if (statement.expressions[0]) value = apply_filters(*statement.expressions[0], value);
  assign(statement.target, value);
}

void JinjaInterpreter::execute_with(const JinjaStatement& statement) {
  std::vector<JinjaValue> values;
  for (const auto& expression : statement.expressions) values.push_back(evaluate(*expression));
  const Inside inside(*this, scope_);
  for (size_t i = 0; i < values.size(); i++) assign(statement.targets[i], values[i]);
  execute(statement.bodies[0]);
}

void JinjaInterpreter::execute_call_block(const JinjaStatement& statement) {
  const JinjaValue caller = macro_value(statement);
  emit(jinja_text(*this, evaluate_call(*statement.expressions[0], &caller)));
}

/// What the body prints, instead of printing it; in a scope of its own.
MarkedText JinjaInterpreter::captured(const JinjaBody& body) {
  MarkedText outer = std::exchange(output_, {});
  const Inside inside(*this, scope_);
  execute(body);
  return std::exchange(output_, std::move(outer));
}

JinjaValue JinjaInterpreter::macro_value(const JinjaStatement& macro) {
  auto value = std::make_shared<JinjaMacro>();
  value->statement = &macro;
  value->scope = scope_;
  keep(scope_);
  charge(sizeof(JinjaMacro));
  return JinjaValue::object(std::move(value));
}

JinjaValue JinjaInterpreter::run_macro(const JinjaStatement& macro, const std::shared_ptr<JinjaScope>& outer,
                                       const JinjaArguments& arguments) {
  const std::string name = macro.name.empty() ? "caller" : macro.name;
  if (++calls_ > limits().call_depth) fail_budget("nested macro calls", static_cast<uint64_t>(limits().call_depth));
  if (arguments.positional.size() > macro.parameters.size()) {
    fail(fmt::format("macro '{}' takes not more than {} argument(s)", name, macro.parameters.size()));
  }
  const Inside inside(*this, outer);
  for (const auto& [given, value] : arguments.named) scope_->set(given, value);
  size_t named_used = 0;
  for (size_t i = 0; i < macro.parameters.size(); i++) {
    const JinjaParameter& parameter = macro.parameters[i];
    bool named = false;
    for (const auto& argument : arguments.named) named |= argument.first == parameter.name;
    named_used += named;
    if (i < arguments.positional.size()) {
      if (named) fail(fmt::format("macro '{}' got two values for '{}'", name, parameter.name));
      scope_->set(parameter.name, arguments.positional[i]);
    } else if (!named && parameter.fallback) {
      scope_->set(parameter.name, evaluate(*parameter.fallback));
    } else if (!named) {
      scope_->set(parameter.name,
                  JinjaValue::undefined(fmt::format("parameter '{}' was not provided", parameter.name)));
    }
  }
  const bool has_caller =
      scope_->variables.size() > 0 && !arguments.named.empty() && arguments.named.back().first == "caller";
  if (named_used + has_caller < arguments.named.size())
    fail(fmt::format("macro '{}' got an unknown named argument", name));
  MarkedText outer_output = std::exchange(output_, {});
  execute(macro.bodies[0]);
  calls_--;
  return JinjaValue::string(std::exchange(output_, std::move(outer_output)));
}

void JinjaInterpreter::assign(const JinjaTarget& target, const JinjaValue& value) {
  if (!target.parts.empty()) {
    const std::vector<JinjaValue> parts = jinja_elements(*this, value);
    if (parts.size() != target.parts.size()) {
      fail(fmt::format("cannot unpack {} value(s) into {} names", parts.size(), target.parts.size()));
    }
    for (size_t i = 0; i < parts.size(); i++) assign(target.parts[i], parts[i]);
    return;
  }
  if (target.attribute.empty()) return scope_->set(target.name, value);
  const JinjaValue* space = scope_->find(target.name);
  if (!space || !space->is(JinjaValue::Kind::name_space)) {
    fail(fmt::format("cannot assign attribute on non-namespace object '{}'", target.name));
  }
  JinjaDict& values = space->name_space_pointer()->values;
  step(values.entries.size() / 8);
  values.set(JinjaValue::string(target.attribute, true), value);
}

void JinjaInterpreter::emit(const MarkedText& text) {
  if (output_.size() + text.size() > limits().output_bytes) fail_budget("bytes of text", limits().output_bytes);
  charge(text.size());
  output_.append(text);
}

}  // namespace lancet
