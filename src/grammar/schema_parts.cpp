#include "grammar/schema_parts.h"

#include <algorithm>
#include <charconv>

#include <boost/json.hpp>

#include "base/error.h"
#include "grammar/formats.h"
#include "grammar/regex_syntax.h"
#include "grammar/schema_uri.h"

namespace lancet {

namespace json = boost::json;

std::string numeral(const json::value& v) {
  if (v.is_int64()) return std::to_string(v.get_int64());
  if (v.is_uint64()) return std::to_string(v.get_uint64());
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, v.get_double()).ptr;
  return {text, end};
}

namespace {

std::string text_of(const json::value& v) { return {v.get_string().data(), v.get_string().size()}; }

uint64_t count_of(const json::value& v) {
  if (v.is_int64()) return static_cast<uint64_t>(v.get_int64());
  if (v.is_uint64()) return v.get_uint64();
  return v.get_double() >= 0x1p64 ? UINT64_MAX : static_cast<uint64_t>(v.get_double());
}

}  // namespace

/// Reads one schema.
class PartsReader {
 public:
  PartsReader(SchemaLogic& logic, SchemaId id, ScopeId scope)
      : logic_(logic), document_(logic.document()), id_(id), scope_(scope) {}

  SchemaParts read() {
    parts_.schema = id_;
    references();
    types();
    values();
    numbers();
    texts();
    properties();
    object_bounds();
    dependencies();
    items();
    contains();
    combinations();
    if (const json::value* v = find("unevaluatedProperties")) parts_.other_members = schema(*v);
    if (const json::value* v = find("unevaluatedItems")) parts_.other_items = schema(*v);
    return std::move(parts_);
  }

 private:
  const json::value* find(std::string_view keyword) const { return document_.find(id_, keyword); }
  Literal schema(const json::value& v) { return logic_.schema(document_.at(v), scope_); }
  bool before_2020() const {
    const SchemaPlace& place = document_.place(id_);
    return place.declared && place.draft < Draft::draft2020;
  }

  void references() {
    for (const std::string_view keyword : {"$ref", "$recursiveRef", "$dynamicRef"}) {
      const json::value* v = find(keyword);
      if (v) parts_.all.push_back(logic_.schema(document_.resolve(id_, keyword, text_of(*v), scope_), scope_));
    }
  }

  void types() {
    const json::value* v = find("type");
    if (!v) return;
    parts_.types = 0;
    bool integer = false;
    const auto add = [&](const std::string& name) {
      if (name == "integer") integer = true;
      constexpr std::pair<std::string_view, uint8_t> kBits[] = {{"null", null_bit},     {"boolean", boolean_bit},
                                                                {"number", number_bit}, {"string", string_bit},
                                                                {"array", array_bit},   {"object", object_bit}};
      for (const auto& [type, bit] : kBits) {
        if (name == type) parts_.types |= bit;
      }
    };
    if (v->is_string()) {
      add(text_of(*v));
    } else {
      for (const json::value& name : v->get_array()) add(text_of(name));
    }
    if (integer && !(parts_.types & number_bit)) {
      parts_.types |= number_bit;
      parts_.numbers.push_back({.integer = true});
      const SchemaPlace& place = document_.place(id_);
      parts_.no_fraction = place.declared && place.draft == Draft::draft4;
    }
  }

  void values() {
    const auto add = [&](SchemaParts::Values& values, const json::value& v) {
      logic_.budget().step();
      if (v.is_object() || v.is_array()) {
        values.structures.push_back(logic_.value(v));
      } else {
        values.scalars.push_back(&v);
      }
    };
    if (const json::value* v = find("enum")) {
      parts_.values.emplace();
      for (const json::value& x : v->get_array()) add(*parts_.values, x);
    }
    if (const json::value* v = find("const")) add(parts_.constant.emplace(), *v);
  }

  void numbers() {
    NumberSet set;
    NumberSet exclusive;
    const auto bound = [&](const char* plain, const char* strict, std::optional<NumberBound> NumberSet::*side) {
      const json::value* v = find(plain);
      const json::value* s = find(strict);
      if (v) set.*side = NumberBound{numeral(*v), s && s->is_bool() && s->get_bool()};
      if (s && s->is_number()) exclusive.*side = NumberBound{numeral(*s), true};
    };
    bound("minimum", "exclusiveMinimum", &NumberSet::min);
    bound("maximum", "exclusiveMaximum", &NumberSet::max);
    if (const json::value* v = find("multipleOf")) set.multiple_of.push_back(numeral(*v));
    if (exclusive.min && !set.min) std::swap(exclusive.min, set.min);
    if (exclusive.max && !set.max) std::swap(exclusive.max, set.max);
    if (set.min || set.max || !set.multiple_of.empty()) {
      set.integer = !parts_.numbers.empty();
      parts_.numbers = {set};
    }
    if (exclusive.min || exclusive.max) parts_.numbers.push_back(exclusive);
  }

  void texts() {
    TermPool& terms = logic_.terms();
    const json::value* low = find("minLength");
    const json::value* high = find("maxLength");
    if (low || high) {
      const uint64_t min = low ? count_of(*low) : 0;
      const std::optional<uint64_t> max = high ? std::optional(count_of(*high)) : std::nullopt;
      parts_.texts.push_back(max && *max < min ? terms.nothing() : terms.repeat(terms.any_char(), min, max));
    }
    if (!(parts_.types & string_bit)) return;
    if (const json::value* v = find("pattern")) {
      parts_.texts.push_back(pattern(text_of(*v), document_.pointer(id_, "pattern")));
    }
    if (const json::value* v = find("format")) format(text_of(*v));
  }

  Term pattern(const std::string& text, const std::string& pointer) {
    try {
      return parse_regex(logic_.terms(), text, RegexUse::search, logic_.budget());
    } catch (const Error& e) {
      throw Error{e.fault(), e.message(), pointer};
    }
  }

  void format(const std::string& name) {
    switch (format_support(name)) {
      case FormatSupport::annotation:
        document_.note(document_.pointer(id_, "format"),
                       "format " + quoted(name) + " is no format of the standard: an annotation");
        return;
      case FormatSupport::refused:
        document_.refuse(id_, "format",
                         "format " + quoted(name) + " cannot be enforced: no regular language captures it");
      case FormatSupport::enforced: parts_.texts.push_back(format_term(logic_.terms(), name, logic_.budget()));
    }
  }

  void properties() {
    OtherKeys known;
    ObjectShape& object = parts_.object;
    if (const json::value* v = find("properties")) {
      for (const auto& [key, child] : v->get_object()) {
        logic_.budget().step();
        object.every.push_back({Keys::one({key.data(), key.size()}), schema(child)});
        known.names.emplace_back(key.data(), key.size());
      }
    }
    if (const json::value* v = find("patternProperties")) {
      for (const auto& [key, child] : v->get_object()) {
        const std::string text(key.data(), key.size());
        const Term keys = pattern(text, document_.pointer(id_, "patternProperties") + json_pointer_token(text));
        object.every.push_back({Keys::matching(keys), schema(child)});
        known.patterns.push_back(keys);
      }
    }
    std::ranges::sort(known.names);
    object.seen.some = known;
    if (const json::value* v = find("additionalProperties")) {
      object.seen.all = true;
      if (const Literal value = schema(*v); value != kTrue) object.every.push_back({Keys::all_but(known), value});
    }
  }

  void object_bounds() {
    ObjectShape& object = parts_.object;
    if (const json::value* v = find("required")) {
      for (const json::value& name : v->get_array()) {
        if (std::string text = text_of(name); std::ranges::find(object.required, text) == object.required.end()) {
          object.required.push_back(std::move(text));
        }
      }
    }
    if (const json::value* v = find("minProperties")) object.min = count_of(*v);
    if (const json::value* v = find("maxProperties")) object.max = count_of(*v);
    if (const json::value* v = find("propertyNames")) {
      // The names are strings: a formula about them, whose complement among strings is forbidden.
      parts_.name_rules.push_back(schema(*v));
    }
  }

  void dependencies() {
    for (const std::string_view keyword : {"dependencies", "dependentRequired", "dependentSchemas"}) {
      const json::value* v = find(keyword);
      if (!v) continue;
      for (const auto& [key, child] : v->get_object()) {
        const std::string name(key.data(), key.size());
        if (!child.is_array()) {
          parts_.dependent.emplace_back(name, schema(child));
          continue;
        }
        for (const json::value& needed : child.get_array()) parts_.object.implied.emplace_back(name, text_of(needed));
      }
    }
  }

  void items() {
    ArrayShape& array = parts_.array;
    if (const json::value* v = find("minItems")) array.min = count_of(*v);
    if (const json::value* v = find("maxItems")) array.max = count_of(*v);
    if (const json::value* v = find("uniqueItems"); v && v->get_bool())
      array.unique = document_.pointer(id_, "uniqueItems");
    const json::value* items = find("items");
    const bool list = items && items->is_array();
    const json::value* prefix = list ? items : find("prefixItems");
    const json::value* rest = list ? find("additionalItems") : items;
    uint64_t position = 0;
    if (prefix) {
      for (const json::value& v : prefix->get_array()) {
        array.every.push_back({position, position + 1, schema(v)});
        position++;
      }
    }
    array.seen.prefix = position;
    if (!rest) return;
    array.seen.all = true;
    if (const Literal value = schema(*rest); value != kTrue) array.every.push_back({position, kNoEnd, value});
  }

  void contains() {
    const json::value* v = find("contains");
    if (!v) return;
    const json::value* low = find("minContains");
    const json::value* high = find("maxContains");
    const Literal value = schema(*v);
    ItemCount count{.options = {{0, kNoEnd, value}}, .min = low ? count_of(*low) : 1};
    if (high) count.max = count_of(*high);
    if (count.min > 0 || count.max) parts_.array.counts.push_back(count);
    if (!before_2020()) parts_.array.seen.contained.push_back(value);
  }

  std::vector<Literal> schemas(const json::value& list) {
    std::vector<Literal> out;
    for (const json::value& v : list.get_array()) out.push_back(schema(v));
    return out;
  }

  void combinations() {
    if (const json::value* v = find("allOf")) {
      for (const Literal l : schemas(*v)) parts_.all.push_back(l);
    }
    if (const json::value* v = find("not")) parts_.all.push_back(negated(schema(*v)));
    if (const json::value* v = find("anyOf")) parts_.any.push_back(schemas(*v));
    if (const json::value* v = find("oneOf")) parts_.one.push_back(schemas(*v));
    if (const json::value* condition = find("if")) {
      const json::value* then = find("then");
      const json::value* otherwise = find("else");
      parts_.conditional = SchemaParts::Conditional{schema(*condition), then ? schema(*then) : kTrue,
                                                    otherwise ? schema(*otherwise) : kTrue};
    }
  }

  SchemaLogic& logic_;
  SchemaDocument& document_;
  SchemaId id_;
  ScopeId scope_;
  SchemaParts parts_;
};

SchemaLogic::SchemaLogic(SchemaDocument& document, TermPool& terms, Budget& budget)
    : document_(document), terms_(terms), budget_(budget) {
  formulas_.push_back({});
}

Literal SchemaLogic::add(Formula formula) {
  budget_.step();
  budget_.charge(sizeof(Formula) + formula.any.size() * sizeof(Literal));
  formulas_.push_back(std::move(formula));
  return static_cast<Literal>(2 * (formulas_.size() - 1));
}

const SchemaParts& SchemaLogic::parts(const Formula& formula) {
  std::unique_ptr<SchemaParts>& parts = parts_[{formula.schema, formula.scope}];
  if (!parts) {
    budget_.charge(sizeof(SchemaParts));
    parts = std::make_unique<SchemaParts>(PartsReader(*this, formula.schema, formula.scope).read());
  }
  return *parts;
}

std::string SchemaLogic::pointer(Literal l) const {
  const Formula& f = formula(l);
  return f.kind == Formula::Kind::schema ? document_.place(f.schema).pointer : std::string();
}

Literal SchemaLogic::schema(SchemaId id, ScopeId outer) {
  const json::value& v = *document_.place(id).value;
  if (v.is_bool()) return v.get_bool() ? kTrue : kFalse;
  const ScopeId scope = document_.enter(outer, id);
  const auto [slot, fresh] = schemas_.try_emplace({id, scope}, kTrue);
  if (fresh) {
    const bool says_something = std::ranges::any_of(v.get_object(), [&](const auto& kv) {
      const Keyword* keyword = find_keyword({kv.key().data(), kv.key().size()});
      return keyword && keyword->form != KeywordForm::annotation && keyword->name != "definitions" &&
             keyword->name != "$defs" && keyword->name != "$schema" && keyword->name != "$id" &&
             keyword->name != "id" && document_.find(id, keyword->name);
    });
    if (says_something) slot->second = add({.kind = Formula::Kind::schema, .schema = id, .scope = scope});
  }
  return slot->second;
}

Literal SchemaLogic::value(const json::value& v) {
  const auto [slot, fresh] = values_.try_emplace(&v, kTrue);
  if (fresh) slot->second = add({.kind = Formula::Kind::value, .value = &v});
  return slot->second;
}

Literal SchemaLogic::any(std::vector<Literal> options) {
  std::ranges::sort(options);
  const auto [end, last] = std::ranges::unique(options);
  options.erase(end, last);
  std::erase(options, kFalse);
  if (std::ranges::find(options, kTrue) != options.end()) return kTrue;
  if (options.empty()) return kFalse;
  if (options.size() == 1) return options[0];
  const auto [slot, fresh] = anys_.try_emplace(options, kTrue);
  if (fresh) slot->second = add({.kind = Formula::Kind::any, .any = options});
  return slot->second;
}

bool SchemaLogic::matches(Term pattern, const std::string& name) {
  const auto [slot, fresh] = matches_.try_emplace({pattern, name}, false);
  if (fresh) slot->second = terms_.matches(pattern, name, budget_);
  return slot->second;
}

bool SchemaLogic::covers(const Keys& keys, const std::string& name) {
  budget_.step();
  if (keys.is_name) return keys.name == name;
  if (!keys.others) return matches(keys.pattern, name);
  if (keys.others->has_name(name)) return false;
  return std::ranges::none_of(keys.others->patterns, [&](Term t) { return matches(t, name); });
}

}  // namespace lancet
