#include "grammar/schema_scalars.h"

#include <algorithm>
#include <array>
#include <iterator>

#include <boost/json.hpp>

#include "base/error.h"
#include "grammar/regex_syntax.h"

namespace lancet {
namespace {

namespace json = boost::json;
constexpr uint64_t kEmptinessSteps = 20'000;
constexpr size_t kMaxNesting = 256;  // of references and combinations about one value

/// Takes a literal from those being worked out, also when that fails.
struct Closing {
  std::set<Literal>& open;
  Literal literal;
  ~Closing() { open.erase(literal); }
};

}  // namespace

Term SchemaScalars::term(const TextSet& set) {
  if (!set.listed) return set.term;
  std::vector<Term> each;
  for (const std::string& text : set.list) {
    logic_.budget().step();
    each.push_back(terms_.literal(text));
  }
  return terms_.either(each);
}

bool SchemaScalars::is_empty(Term t) {
  if (t == terms_.nothing()) return true;
  const auto [slot, fresh] = empty_.try_emplace(t, false);
  if (!fresh) return slot->second;
  logic_.budget().step(100);
  try {
    Budget few("emptiness", {.steps = kEmptinessSteps});
    slot->second = terms_.is_empty(t, few);
  } catch (const Error& e) {
    if (e.fault() != Fault::budget) throw;
    logic_.budget().step(kEmptinessSteps);
  }
  return slot->second;
}

bool SchemaScalars::is_empty(const Scalars& s) {
  if (s.null || s.no || s.yes || s.numbers.all) return false;
  if (s.texts.listed ? !s.texts.list.empty() : !is_empty(s.texts.term)) return false;
  return is_empty(s.numbers.term);
}

Scalars SchemaScalars::everything() {
  return {true, true, true, {.all = true}, {.listed = false, .term = terms_.anything()}};
}

TextSet SchemaScalars::both(const TextSet& a, const TextSet& b) {
  if (!a.listed && !b.listed) return {false, {}, terms_.both({a.term, b.term})};
  if (!a.listed) return both(b, a);
  TextSet out;
  for (const std::string& text : a.list) {
    logic_.budget().step();
    const bool in = b.listed ? std::ranges::binary_search(b.list, text)
                             : b.term == terms_.anything() || terms_.matches(b.term, text, logic_.budget());
    if (in) out.list.push_back(text);
  }
  return out;
}

TextSet SchemaScalars::either(const TextSet& a, const TextSet& b) {
  if (a.listed && a.list.empty()) return b;
  if (b.listed && b.list.empty()) return a;
  if (!a.listed || !b.listed) return {false, {}, terms_.either({term(a), term(b)})};
  TextSet out;
  std::ranges::set_union(a.list, b.list, std::back_inserter(out.list));
  return out;
}

NumberValues SchemaScalars::both(const NumberValues& a, const NumberValues& b) {
  if (a.all) return b;
  if (b.all) return a;
  return {false, terms_.both({a.term, b.term})};
}

NumberValues SchemaScalars::either(const NumberValues& a, const NumberValues& b) {
  if (a.all || b.all) return {.all = true};
  return {false, terms_.either({a.term, b.term})};
}

Scalars SchemaScalars::both(const Scalars& a, const Scalars& b) {
  return {a.null && b.null, a.no && b.no, a.yes && b.yes, both(a.numbers, b.numbers), both(a.texts, b.texts)};
}

Scalars SchemaScalars::either(const Scalars& a, const Scalars& b) {
  return {a.null || b.null, a.no || b.no, a.yes || b.yes, either(a.numbers, b.numbers), either(a.texts, b.texts)};
}

Scalars SchemaScalars::complement(const Scalars& s) {
  Scalars out{!s.null, !s.no, !s.yes, {}, {}};
  if (!s.numbers.all) {
    out.numbers.all = s.numbers.term == terms_.nothing();
    if (!out.numbers.all) {
      out.numbers.term = terms_.both({number_universe(terms_), terms_.complement(s.numbers.term)});
    }
  }
  out.texts.listed = false;
  out.texts.term = terms_.complement(term(s.texts));
  return out;
}

Scalars SchemaScalars::of(const std::vector<Literal>& all) {
  Scalars out = everything();
  for (const Literal l : all) out = both(out, of(l));
  return out;
}

Scalars SchemaScalars::of(Literal l) {
  if (is_negated(l)) return complement(of(negated(l)));
  if (l == kTrue) return everything();
  if (const auto done = done_.find(l); done != done_.end()) return done->second;
  if (!open_.insert(l).second) {
    throw Error{Fault::bad_request, "the schema refers to itself without looking into the value", logic_.pointer(l)};
  }
  const Closing closing{open_, l};
  Scalars out = of_formula(logic_.formula(l), l);
  if (is_empty(out.numbers.term)) out.numbers.term = terms_.nothing();
  return done_.emplace(l, std::move(out)).first->second;
}

Scalars SchemaScalars::of_formula(const Formula& formula, Literal l) {
  if (open_.size() > kMaxNesting) {
    throw Error{Fault::unsupported, "references and combinations are nested too deeply", logic_.pointer(l)};
  }
  switch (formula.kind) {
    case Formula::Kind::truth: return everything();
    case Formula::Kind::value: return of_values(std::array{formula.value});
    case Formula::Kind::any: return at_least_one(formula.any);
    case Formula::Kind::schema: return of_parts(logic_.parts(formula));
  }
  return {};
}

Scalars SchemaScalars::of_values(std::span<const json::value* const> values) {
  Scalars out;
  std::vector<Term> numbers;
  for (const json::value* v : values) {
    logic_.budget().step();
    if (v->is_null()) out.null = true;
    if (v->is_bool()) (v->get_bool() ? out.yes : out.no) = true;
    if (v->is_string()) out.texts.list.emplace_back(v->get_string().data(), v->get_string().size());
    if (v->is_number()) {
      const NumberBound bound{numeral(*v), false};
      numbers.push_back(number({.min = bound, .max = bound}, ""));
    }
  }
  std::ranges::sort(out.texts.list);
  const auto [end, last] = std::ranges::unique(out.texts.list);
  out.texts.list.erase(end, last);
  out.numbers.term = terms_.either(numbers);
  return out;
}

Term SchemaScalars::whole_numerals() {
  return parse_regex(terms_, "-?(?:0|[1-9][0-9]*)", RegexUse::whole, logic_.budget());
}

Term SchemaScalars::number(const NumberSet& set, const std::string& pointer) {
  try {
    return number_term(terms_, set, logic_.budget());
  } catch (const Error& e) {
    throw Error{e.fault(), e.message(), pointer};
  }
}

Scalars SchemaScalars::of_parts(const SchemaParts& parts) {
  Scalars out = everything();
  out.null = parts.types & null_bit;
  out.no = out.yes = parts.types & boolean_bit;
  if (!(parts.types & string_bit)) out.texts = {};
  if (!(parts.types & number_bit)) out.numbers = {};
  if (parts.types & string_bit) {
    for (const Term t : parts.texts) out.texts.term = terms_.both({out.texts.term, t});
  }
  if (parts.types & number_bit) {
    const std::string& pointer = logic_.document().place(parts.schema).pointer;
    for (const NumberSet& set : parts.numbers) {
      out.numbers = both(out.numbers, {false, number(set, pointer + (set.multiple_of.empty() ? "" : "/multipleOf"))});
    }
    if (parts.no_fraction) out.numbers = both(out.numbers, {false, whole_numerals()});
  }
  if (parts.values) out = both(out, of_values(parts.values->scalars));
  if (parts.constant) out = both(out, of_values(parts.constant->scalars));
  for (const Literal l : parts.all) out = both(out, of(l));
  for (const auto& list : parts.any) out = both(out, at_least_one(list));
  for (const auto& list : parts.one) out = both(out, exactly_one(list));
  if (parts.conditional) {
    const auto& [condition, then, otherwise] = *parts.conditional;
    out = both(out, either(both(of(condition), of(then)), both(of(negated(condition)), of(otherwise))));
  }
  return out;
}

Scalars SchemaScalars::at_least_one(const std::vector<Literal>& list) {
  Scalars out;
  std::vector<std::string> texts;  // of listed ones, to be sorted once
  for (const Literal l : list) {
    logic_.budget().step();
    Scalars one = of(l);
    if (one.texts.listed) {
      std::ranges::move(one.texts.list, std::back_inserter(texts));
      one.texts = {};
    }
    out = either(out, one);
  }
  std::ranges::sort(texts);
  const auto [end, last] = std::ranges::unique(texts);
  texts.erase(end, last);
  out.texts = either(out.texts, {true, std::move(texts), {}});
  return out;
}

Scalars SchemaScalars::exactly_one(const std::vector<Literal>& list) {
  Scalars once, twice;  // accepted by one at least, by two at least
  for (const Literal l : list) {
    const Scalars one = of(l);
    Scalars again = both(once, one);
    if (is_empty(again.numbers.term)) again.numbers.term = terms_.nothing();
    if (!again.texts.listed && is_empty(again.texts.term)) again.texts = {};
    twice = either(twice, again);
    once = either(once, one);
  }
  return both(once, complement(twice));
}

}  // namespace lancet
