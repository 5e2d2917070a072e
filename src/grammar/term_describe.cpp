// What is known of a term from its children, without exploring it.
#include <algorithm>

#include "grammar/term_state.h"

namespace lancet {

TermPool::State::Node TermPool::State::describe(Node node, std::span<const Id> kids) const {
  const bool unary = node.kind == Kind::complement || node.kind == Kind::repeat;
  const Node& a = nodes.empty() || node.kind == Kind::set || node.kind == Kind::literal || node.kind == Kind::automaton
                      ? node
                      : nodes[unary || node.kind == Kind::concat ? node.a : 0];
  switch (node.kind) {
    case Kind::nothing: node.texts = Texts::none; break;
    case Kind::empty: node.nullable = true; break;
    case Kind::set: node.low = node.high = node.reach = 1; break;
    case Kind::literal: node.low = node.high = node.reach = texts[node.a].size() - node.b; break;
    case Kind::automaton: {
      const Table& table = tables[node.a];
      node.nullable = table.accepts[node.b];
      node.low = table.low[node.b];
      node.high = table.high[node.b];
      node.reach = table.reach;
      break;
    }
    case Kind::concat: {
      const Node& b = nodes[node.b];
      node.nullable = a.nullable && b.nullable;
      node.hard = a.hard || b.hard;
      node.depth = static_cast<uint16_t>(std::max(a.depth + 1, int{b.depth}));
      node.low = add_lengths(a.low, b.low);
      node.high = add_lengths(a.high, b.high);
      node.reach = std::max(add_lengths(a.reach, b.low), b.reach);
      node.texts = a.texts == Texts::some && b.texts == Texts::some ? Texts::some : Texts::unknown;
      break;
    }
    case Kind::repeat:
      node.nullable = node.min == 0 || a.nullable;
      node.hard = a.hard;
      node.depth = static_cast<uint16_t>(a.depth + 1);
      node.low = multiply_lengths(a.low, node.min);
      node.high = multiply_lengths(a.high, node.max);
      node.reach = add_lengths(a.reach, multiply_lengths(a.low, node.min == 0 ? 0 : node.min - 1));
      node.texts = node.nullable ? Texts::some : a.texts;
      break;
    case Kind::complement:
      node.nullable = !a.nullable;
      node.hard = true;
      node.depth = static_cast<uint16_t>(a.depth + 1);
      node.low = node.nullable ? 0 : 1;
      node.high = kEndless;
      node.texts = node.nullable || a.high != kEndless ? Texts::some : Texts::unknown;
      break;
    case Kind::either:
    case Kind::both: describe_many(node, kids); break;
  }
  if (node.nullable) node.texts = Texts::some;
  return node;
}

void TermPool::State::describe_many(Node& node, std::span<const Id> kids) const {
  const bool both = node.kind == Kind::both;
  node.nullable = both;
  node.hard = both;
  node.low = both ? 0 : kEndless;
  node.high = both ? kEndless : 0;
  node.texts = Texts::unknown;
  for (Id id : kids) {
    const Node& kid = nodes[id];
    node.nullable = both ? node.nullable && kid.nullable : node.nullable || kid.nullable;
    node.hard = node.hard || kid.hard;
    node.depth = static_cast<uint16_t>(std::max(int{node.depth}, kid.depth + 1));
    node.low = both ? std::max(node.low, kid.low) : std::min(node.low, kid.low);
    node.high = both ? std::min(node.high, kid.high) : std::max(node.high, kid.high);
    node.reach = std::max(node.reach, kid.reach);
    if (!both && kid.texts == Texts::some) node.texts = Texts::some;
  }
  // A length alone beside an ordinary term whose shortest text has a fitting length.
  if (!both || kids.size() != 2) return;
  for (size_t i = 0; i < 2; ++i) {
    const Node &length = nodes[kids[i]], &other = nodes[kids[1 - i]];
    const bool fits = length.kind == Kind::repeat && length.a == kAnyChar && !other.hard && length.min <= other.low &&
                      other.low <= length.max;
    if (fits) node.texts = Texts::some;
  }
}

}  // namespace lancet
