#include "grammar/schema_emit.h"

#include <algorithm>

#include "base/error.h"
#include "grammar/numbers.h"
#include "grammar/regex_syntax.h"
#include "grammar/rules_state.h"

namespace lancet {

RuleId SchemaEmitter::emit(Literal root) {
  const Goal goal = make_goal({root});
  const RuleId id = rule(goal, false);
  bool satisfiable = goal != Goal{kFalse};
  while (!waiting_.empty()) {
    const Wanted next = std::move(waiting_.back());
    waiting_.pop_back();
    const std::optional<RuleId> body = define(next);
    if (next.goal == goal && !next.once && !body) satisfiable = false;
    rules_.define(emitted_.at(next), body ? *body : rules_.nothing());
  }
  if (!satisfiable) {
    throw Error{Fault::bad_request, "no JSON value satisfies this schema", logic_.pointer(root)};
  }
  return id;
}

RuleId SchemaEmitter::rule(const Goal& goal, bool once) {
  if (goal.empty()) return any_value();
  if (goal == Goal{kFalse}) return rules_.nothing();
  const auto [slot, fresh] = emitted_.try_emplace({goal, once}, 0);
  if (fresh) {
    logic_.budget().step();
    logic_.budget().charge(128 + goal.size() * sizeof(Literal));
    slot->second = rules_.declare();
    waiting_.push_back({goal, once});
  }
  return slot->second;
}

std::optional<RuleId> SchemaEmitter::define(const Wanted& wanted) {
  std::vector<RuleId> ways;
  add_scalars(wanted, ways);
  for (ObjectShape& shape : expansion_.objects(wanted.goal)) {
    if (const std::optional<RuleId> id = object(shape)) ways.push_back(*id);
  }
  for (ArrayShape& shape : expansion_.arrays(wanted.goal)) {
    if (const std::optional<RuleId> id = array(shape)) ways.push_back(*id);
  }
  if (ways.empty()) return std::nullopt;
  return ways.size() == 1 ? ways[0] : rules_.either(std::move(ways));
}

Term SchemaEmitter::plain_numerals() {
  if (!plain_numerals_) {
    plain_numerals_ = parse_regex(rules_.terms(), "0|-?(?:0\\.[0-9]*[1-9]|[1-9][0-9]*(?:\\.[0-9]*[1-9])?)",
                                  RegexUse::whole, logic_.budget());
  }
  return *plain_numerals_;
}

Term SchemaEmitter::without_zero_fraction() {
  if (!without_zero_fraction_) {
    const Term zeros = parse_regex(rules_.terms(), "[^.]*\\.0+", RegexUse::whole, logic_.budget());
    without_zero_fraction_ = rules_.terms().complement(zeros);
  }
  return *without_zero_fraction_;
}

void SchemaEmitter::add_scalars(const Wanted& wanted, std::vector<RuleId>& ways) {
  const Scalars scalars = scalars_.of(wanted.goal);
  std::vector<std::string> texts;
  if (scalars.null) texts.emplace_back("null");
  if (scalars.no) texts.emplace_back("false");
  if (scalars.yes) texts.emplace_back("true");
  if (scalars.texts.listed) {
    for (const std::string& text : scalars.texts.list) {
      logic_.budget().step();
      logic_.budget().charge(text.size() + 34);
      texts.push_back(json_quoted(text));
    }
  } else if (!scalars_.is_empty(scalars.texts.term)) {
    ways.push_back(rules_.text(scalars.texts.term, Encoding::json_string));
  }
  if (!texts.empty()) ways.push_back(rules_.texts(std::move(texts)));
  Term numbers = scalars.numbers.all ? any_number(rules_.terms()) : scalars.numbers.term;
  if (wanted.once) {
    numbers = scalars.numbers.all ? plain_numerals() : rules_.terms().both({scalars.numbers.term, plain_numerals()});
  }
  if (options_.whole_plain && !scalars.numbers.all) numbers = rules_.terms().both({numbers, without_zero_fraction()});
  if (!scalars_.is_empty(numbers)) ways.push_back(rules_.text(numbers, Encoding::utf8));
}

RuleId SchemaEmitter::any_value() {
  if (!any_value_) any_value_ = add_json_value(rules_, options_);
  return *any_value_;
}

RuleId add_json_value(Rules& rules, const SchemaOptions& options) {
  const RuleId value = rules.declare();
  TermPool& terms = rules.terms();
  ObjectRule object{.families = {{terms.anything(), {{value, 0}}}}, .any_order = options.any_order};
  ArrayRule array{.rest = {{value, 0}}};
  rules.define(value, rules.either({
                          rules.object(std::move(object), options.spacing),
                          rules.array(std::move(array), options.spacing),
                          rules.text(terms.anything(), Encoding::json_string),
                          rules.text(any_number(terms), Encoding::utf8),
                          rules.texts({"null", "true", "false"}),
                      }));
  return value;
}

RuleId add_json_object(Rules& rules, const SchemaOptions& options) {
  const RuleId value = add_json_value(rules, options);
  ObjectRule object{.families = {{rules.terms().anything(), {{value, 0}}}}, .any_order = options.any_order};
  return rules.object(std::move(object), options.spacing);
}

RuleId add_json_schema(Rules& rules, const boost::json::value& schema, const SchemaOptions& options, Budget& budget,
                       std::vector<SchemaNote>* notes) {
  SchemaDocument document(schema, budget, notes);
  SchemaLogic logic(document, rules.terms(), budget);
  return SchemaEmitter(logic, rules, options).emit(logic.schema(document.root(), 0));
}

}  // namespace lancet
