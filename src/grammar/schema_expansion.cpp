#include "grammar/schema_expansion.h"

#include <algorithm>
#include <set>

#include <boost/json.hpp>

#include "base/error.h"

namespace lancet {
namespace {

namespace json = boost::json;

constexpr size_t kMaxShapes = 4096;  // of one literal: beyond, the schema multiplies out too far
constexpr size_t kMaxNesting = 256;  // of references and combinations about one value

uint8_t bit_of(const ObjectShape*) { return object_bit; }
uint8_t bit_of(const ArrayShape*) { return array_bit; }
template <class Shape>
uint8_t bit_of() {
  return bit_of(static_cast<const Shape*>(nullptr));
}
std::optional<Literal> others_of(const SchemaParts& p, const ObjectShape*) { return p.other_members; }
std::optional<Literal> others_of(const SchemaParts& p, const ArrayShape*) { return p.other_items; }

bool is_of(const json::value& v, const ObjectShape*) { return v.is_object(); }
bool is_of(const json::value& v, const ArrayShape*) { return v.is_array(); }

std::vector<Literal> all_negated(std::vector<Literal> list) {
  for (Literal& l : list) l = negated(l);
  return list;
}

/// Whether all that the shapes ask for is that some members are present.
bool only_requires(const std::vector<ObjectShape>& shapes) {
  if (shapes.size() != 1) return false;
  ObjectShape rest = shapes[0];
  rest.required.clear();
  return rest == ObjectShape();
}

/// Marks a literal as being worked out, for its lifetime.
template <class Map>
class Opened {
 public:
  Opened(Map& open, typename Map::key_type key, int level) : open_(open), key_(key) { open_[key] = level; }
  ~Opened() { open_.erase(key_); }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;

 private:
  Map& open_;
  typename Map::key_type key_;
};

}  // namespace

template <>
SchemaExpansion::Memo<ObjectShape>& SchemaExpansion::memo() {
  return objects_;
}
template <>
SchemaExpansion::Memo<ArrayShape>& SchemaExpansion::memo() {
  return arrays_;
}

void SchemaExpansion::too_many() const {
  throw Error{Fault::budget, "the schema's alternatives multiply beyond " + std::to_string(kMaxShapes),
              logic_.pointer(at_)};
}

template <class Shape>
void SchemaExpansion::add(Shapes<Shape>& to, Shapes<Shape> more) {
  for (Shape& shape : more) {
    logic_.budget().step(1 + to.size() / 16);
    if (to.size() < 256 && std::ranges::find(to, shape) != to.end()) continue;
    to.push_back(std::move(shape));
  }
  if (to.size() > kMaxShapes) too_many();
}

template <class Shape>
auto SchemaExpansion::product(const Shapes<Shape>& a, const Shapes<Shape>& b) -> Shapes<Shape> {
  if (b.size() == 1 && b[0] == Shape()) return a;
  if (a.size() == 1 && a[0] == Shape()) return b;
  Shapes<Shape> out;
  for (const Shape& x : a) {
    for (const Shape& y : b) {
      logic_.budget().step(1 + x.every.size() + y.every.size());
      logic_.budget().charge((1 + x.every.size() + y.every.size()) * sizeof(x.every[0]) / 2);
      Shape both = merge(x, y);
      if (possible(both)) add(out, Shapes<Shape>{std::move(both)});
    }
  }
  return out;
}

template <class Shape>
auto SchemaExpansion::expand(Literal l, Seen seen) -> const Shapes<Shape>& {
  Memo<Shape>& known = memo<Shape>();
  const std::pair key{l, seen};
  if (const auto done = known.done.find(key); done != known.done.end()) return done->second;
  if (const auto open = known.open.find(key); open != known.open.end()) {
    if (open->second < depth_) throw Undecided{};
    throw Error{Fault::bad_request, "the schema refers to itself without looking into the value", logic_.pointer(l)};
  }
  if (known.open.size() > kMaxNesting) {
    throw Error{Fault::unsupported, "references and combinations are nested too deeply", logic_.pointer(l)};
  }
  const Opened opened(known.open, key, depth_);
  const Literal outer = std::exchange(at_, l);
  Shapes<Shape> shapes = expand_formula<Shape>(l, seen);
  at_ = outer;
  logic_.budget().charge(shapes.size() * sizeof(Shape));
  return known.done.emplace(key, std::move(shapes)).first->second;
}

template <class Shape>
auto SchemaExpansion::expand_formula(Literal l, Seen seen) -> Shapes<Shape> {
  const Formula& formula = logic_.formula(l);
  const Shape* type = nullptr;
  switch (formula.kind) {
    case Formula::Kind::truth: return is_negated(l) ? Shapes<Shape>() : Shapes<Shape>{Shape()};
    case Formula::Kind::any:
      return is_negated(l) ? all_of<Shape>(all_negated(formula.any), seen) : any_of<Shape>(formula.any, seen);
    case Formula::Kind::schema:
      return is_negated(l) ? violated<Shape>(logic_.parts(formula)) : satisfied<Shape>(logic_.parts(formula), seen);
    case Formula::Kind::value:
      if (!is_of(*formula.value, type)) return is_negated(l) ? Shapes<Shape>{Shape()} : Shapes<Shape>();
      return is_negated(l) ? complement(of_value(*formula.value, type)[0]) : of_value(*formula.value, type);
  }
  return {};
}

auto SchemaExpansion::of_value(const json::value& v, const ObjectShape*) -> Shapes<ObjectShape> {
  ObjectShape shape;
  OtherKeys names;
  for (const auto& [key, child] : v.get_object()) {
    logic_.budget().step();
    names.names.emplace_back(key.data(), key.size());
    shape.every.push_back({Keys::one(names.names.back()), logic_.value(child)});
  }
  shape.required = names.names;
  std::ranges::sort(names.names);
  shape.every.push_back({Keys::all_but(std::move(names)), kFalse});
  return {shape};
}

auto SchemaExpansion::of_value(const json::value& v, const ArrayShape*) -> Shapes<ArrayShape> {
  ArrayShape shape;
  for (const json::value& child : v.get_array()) {
    logic_.budget().step();
    shape.every.push_back({shape.min, shape.min + 1, logic_.value(child)});
    shape.min++;
  }
  shape.max = shape.min;
  return {shape};
}

template <class Shape>
auto SchemaExpansion::all_of(const std::vector<Literal>& list, Seen seen) -> Shapes<Shape> {
  Shapes<Shape> out{Shape()};
  for (const Literal l : list) {
    out = product(out, expand<Shape>(l, seen));
    if (out.empty()) break;
  }
  return out;
}

template <class Shape>
auto SchemaExpansion::any_of(const std::vector<Literal>& list, Seen seen) -> Shapes<Shape> {
  Shapes<Shape> some;
  if (seen == Seen::no) {
    for (const Literal l : list) add(some, expand<Shape>(l, seen));
    return some;
  }
  // What was seen is the union over all branches that hold: every combination of them is an alternative.
  Shapes<Shape> none{Shape()};
  for (const Literal l : list) {
    const Shapes<Shape>& here = expand<Shape>(l, seen);
    Shapes<Shape> more = product(some, here);
    add(more, product(none, here));
    if (seen == Seen::exact) {
      some = product(some, expand<Shape>(negated(l), seen));
      none = product(none, expand<Shape>(negated(l), seen));
    }
    add(some, std::move(more));
  }
  return some;
}

template <class Shape>
auto SchemaExpansion::one_of(const Shapes<Shape>& context, const std::vector<Literal>& list, Seen seen)
    -> Shapes<Shape> {
  Shapes<Shape> out;
  for (size_t i = 0; i < list.size(); i++) {
    for (const Shape& branch : product(context, expand<Shape>(list[i], seen))) {
      Shapes<Shape> alone{branch};
      for (size_t j = 0; j < list.size() && !alone.empty(); j++) {
        if (j == i || product(Shapes<Shape>{branch}, expand<Shape>(list[j], Seen::no)).empty()) continue;
        alone = product(alone, expand<Shape>(negated(list[j]), Seen::no));
      }
      add(out, std::move(alone));
    }
  }
  return out;
}

template <class Shape>
auto SchemaExpansion::satisfied(const SchemaParts& parts, Seen seen) -> Shapes<Shape> {
  const Shape* type = nullptr;
  const std::optional<Literal> others = others_of(parts, type);
  if (!others) return satisfied_but_others<Shape>(parts, seen);
  Shapes<Shape> out;
  for (Shape& shape : satisfied_but_others<Shape>(parts, seen == Seen::exact ? seen : Seen::least)) {
    restrict_others(shape, *others);
    shape.seen = {.all = seen != Seen::no};
    if (possible(shape)) add(out, Shapes<Shape>{shape});
  }
  return out;
}

template <class Shape>
auto SchemaExpansion::satisfied_but_others(const SchemaParts& parts, Seen seen) -> Shapes<Shape> {
  const Shape* type = nullptr;
  if (!(parts.types & bit_of<Shape>())) return {};
  Shape own = base(parts, type);
  if (seen == Seen::no) own.seen = {};
  if (!possible(own)) return {};
  Shapes<Shape> out{std::move(own)};
  for (const auto* values : {&parts.values, &parts.constant}) {
    if (*values) out = product(out, any_of<Shape>((*values)->structures, seen));
  }
  for (const Literal l : parts.all) out = product(out, expand<Shape>(l, seen));
  for (const auto& list : parts.any) out = product(out, any_of<Shape>(list, seen));
  for (const auto& list : parts.one) out = one_of(out, list, seen);
  if (parts.conditional && !out.empty()) {
    const auto& [condition, then, otherwise] = *parts.conditional;
    Shapes<Shape> both = product(product(out, expand<Shape>(condition, seen)), expand<Shape>(then, seen));
    add(both, product(product(out, expand<Shape>(negated(condition), seen)), expand<Shape>(otherwise, seen)));
    out = std::move(both);
  }
  if constexpr (std::is_same_v<Shape, ObjectShape>) {
    for (const auto& [name, literal] : parts.dependent) {
      if (const Shapes<Shape>& consequence = expand<Shape>(literal, seen); only_requires(consequence)) {
        Shapes<Shape> implied(1);
        for (const std::string& needed : consequence[0].required) implied[0].implied.emplace_back(name, needed);
        out = product(out, implied);
        continue;
      }
      Shapes<Shape> alternatives(2);
      alternatives[0].every = {{Keys::one(name), kFalse}};
      alternatives[1].required = {name};
      Shapes<Shape> with = product(product(out, Shapes<Shape>{alternatives[1]}), expand<Shape>(literal, seen));
      out = product(out, Shapes<Shape>{alternatives[0]});
      add(out, std::move(with));
    }
  }
  return out;
}

template <class Shape>
auto SchemaExpansion::violated(const SchemaParts& parts) -> Shapes<Shape> {
  const Shape* type = nullptr;
  if (!(parts.types & bit_of<Shape>())) return {Shape()};
  Shapes<Shape> out;
  for (Shape& shape : complement(base(parts, type))) {
    if (possible(shape)) add(out, Shapes<Shape>{shape});
  }
  for (const auto* values : {&parts.values, &parts.constant}) {
    if (*values) add(out, all_of<Shape>(all_negated((*values)->structures), Seen::no));
  }
  for (const Literal l : parts.all) add(out, expand<Shape>(negated(l), Seen::no));
  for (const auto& list : parts.any) add(out, all_of<Shape>(all_negated(list), Seen::no));
  for (const auto& list : parts.one) add(out, violated_one<Shape>(list));
  if (parts.conditional) {
    const auto& [condition, then, otherwise] = *parts.conditional;
    add(out, all_of<Shape>({condition, negated(then)}, Seen::no));
    add(out, all_of<Shape>({negated(condition), negated(otherwise)}, Seen::no));
  }
  if constexpr (std::is_same_v<Shape, ObjectShape>) {
    for (const auto& [name, literal] : parts.dependent) {
      Shapes<Shape> with(1);
      with[0].required = {name};
      add(out, product(with, expand<Shape>(negated(literal), Seen::no)));
    }
  }
  if (const std::optional<Literal> others = others_of(parts, type)) {
    for (Shape& shape : satisfied_but_others<Shape>(parts, Seen::exact)) {
      demand_other(shape, negated(*others));
      shape.seen = {};
      if (possible(shape)) add(out, Shapes<Shape>{shape});
    }
  }
  return out;
}

template <class Shape>
auto SchemaExpansion::violated_one(const std::vector<Literal>& list) -> Shapes<Shape> {
  Shapes<Shape> out = all_of<Shape>(all_negated(list), Seen::no);
  for (size_t i = 0; i < list.size(); i++) {
    for (size_t j = i + 1; j < list.size(); j++) add(out, all_of<Shape>({list[i], list[j]}, Seen::no));
  }
  return out;
}

ObjectShape SchemaExpansion::base(const SchemaParts& parts, const ObjectShape*) {
  ObjectShape out = parts.object;
  for (const Literal l : parts.name_rules) {
    const Term names = scalars_.term(scalars_.of(l).texts);
    out.every.push_back({Keys::matching(logic_.terms().complement(names)), kFalse});
  }
  return out;
}

ArrayShape SchemaExpansion::base(const SchemaParts& parts, const ArrayShape*) { return parts.array; }

void SchemaExpansion::restrict_others(ObjectShape& shape, Literal l) {
  if (!shape.seen.all && l != kTrue) shape.every.push_back({Keys::all_but(shape.seen.some), l});
}

void SchemaExpansion::restrict_others(ArrayShape& shape, Literal l) {
  if (shape.seen.all) return;
  std::vector<Literal> options = shape.seen.contained;
  options.push_back(l);
  if (const Literal any = logic_.any(options); any != kTrue) shape.every.push_back({shape.seen.prefix, kNoEnd, any});
}

void SchemaExpansion::demand_other(ObjectShape& shape, Literal l) {
  shape.some.emplace_back();
  if (!shape.seen.all) shape.some.back().push_back({Keys::all_but(shape.seen.some), l});
}

void SchemaExpansion::demand_other(ArrayShape& shape, Literal l) {
  std::vector<Literal> options = shape.seen.contained;
  options.push_back(negated(l));
  shape.counts.push_back({.min = 1});
  if (!shape.seen.all) shape.counts.back().options = {{shape.seen.prefix, kNoEnd, negated(logic_.any(options))}};
}

std::vector<ObjectShape> SchemaExpansion::objects(const Goal& goal) { return all_of<ObjectShape>(goal, Seen::no); }
std::vector<ArrayShape> SchemaExpansion::arrays(const Goal& goal) { return all_of<ArrayShape>(goal, Seen::no); }

}  // namespace lancet
