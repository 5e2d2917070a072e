// Making terms: hash-consing and the laws of concatenation, repetition and complement.
#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "base/hash.h"
#include "grammar/term_state.h"

namespace lancet {

namespace {

constexpr uint16_t kDeepest = 2000;  // nesting of terms; recursion over terms is as deep

}  // namespace

TermPool::State::State() {
  slots.resize(1024);
  intern({.kind = Kind::nothing, .texts = Texts::none});
  intern({.kind = Kind::empty});
  const Id any = make_set(CharSet::all());
  CHECK(any == kAnyChar);
  CHECK(make_repeat(any, 0, kEndless) == kAnything);
}

size_t TermPool::State::hash(const Node& node, std::span<const Id> kids) const {
  uint64_t h = hash_combine(static_cast<uint64_t>(node.kind), node.min);
  h = hash_combine(h, node.max);
  if (!kids.empty()) return hash64(std::as_bytes(kids), h);
  return hash_combine(h, uint64_t{node.a} << 32 | node.b);
}

bool TermPool::State::same(const Node& x, const Node& y, std::span<const Id> kids) const {
  if (x.kind != y.kind) return false;
  if (x.kind == Kind::either || x.kind == Kind::both) {
    return x.b == kids.size() && std::equal(kids.begin(), kids.end(), children.begin() + x.a);
  }
  return x.a == y.a && x.b == y.b && x.min == y.min && x.max == y.max;
}

void TermPool::State::grow_slots() {
  std::vector<Id> old = std::move(slots);
  slots.assign(old.size() * 2, 0);
  const size_t mask = slots.size() - 1;
  for (Id slot : old) {
    if (slot == 0) continue;
    const Node& node = nodes[slot - 1];
    const bool many = node.kind == Kind::either || node.kind == Kind::both;
    size_t at = hash(node, many ? kids(slot - 1) : std::span<const Id>()) & mask;
    while (slots[at] != 0) at = (at + 1) & mask;
    slots[at] = slot;
  }
}

TermPool::State::Id TermPool::State::intern(Node node, std::span<const Id> kids) {
  const size_t mask = slots.size() - 1;
  size_t at = hash(node, kids) & mask;
  for (; slots[at] != 0; at = (at + 1) & mask) {
    if (same(nodes[slots[at] - 1], node, kids)) return slots[at] - 1;
  }
  node = describe(node, kids);
  if (node.depth > kDeepest) throw Error(Fault::unsupported, "a language is nested deeper than 2000 levels");
  if (!kids.empty()) {
    node.a = static_cast<uint32_t>(children.size());
    node.b = static_cast<uint32_t>(kids.size());
    children.insert(children.end(), kids.begin(), kids.end());
  }
  nodes.push_back(node);
  const Id id = static_cast<Id>(nodes.size() - 1);
  slots[at] = id + 1;
  if (nodes.size() * 2 > slots.size()) grow_slots();
  return id;
}

TermPool::State::Id TermPool::State::make_set(const CharSet& set) {
  if (set.empty()) return kNothing;
  auto found = set_ids.find(set);
  if (found != set_ids.end()) return found->second;
  sets.push_back(set);
  const Id id = intern({.kind = Kind::set, .a = static_cast<uint32_t>(sets.size() - 1)});
  set_ids.emplace(set, id);
  return id;
}

TermPool::State::Id TermPool::State::make_single(char32_t c) {
  auto found = single_ids.find(c);
  if (found != single_ids.end()) return found->second;
  return single_ids[c] = make_set(CharSet::of(std::u32string_view(&c, 1)));
}

bool TermPool::State::is_single(Id id) const {
  if (at(id).kind != Kind::set) return false;
  const std::vector<CharRange>& ranges = sets[at(id).a].ranges();
  return ranges.size() == 1 && ranges[0].first == ranges[0].last;
}

TermPool::State::Id TermPool::State::make_text(std::u32string text) {
  if (text.empty()) return kEmpty;
  if (text.size() == 1) return make_single(text[0]);
  auto [found, added] = text_ids.try_emplace(std::move(text), static_cast<uint32_t>(texts.size()));
  if (added) texts.push_back(found->first);
  return make_suffix(found->second, 0);
}

TermPool::State::Id TermPool::State::make_suffix(uint32_t text, uint32_t at) {
  const std::u32string& chars = texts[text];
  if (at == chars.size()) return kEmpty;
  if (at + 1 == chars.size()) return make_single(chars[at]);
  return intern({.kind = Kind::literal, .a = text, .b = at});
}

TermPool::State::Id TermPool::State::make_concat(std::span<const Id> parts) {
  std::vector<Id> flat;
  std::u32string run;
  auto end_run = [&] {
    if (!run.empty()) flat.push_back(make_text(std::move(run)));
    run.clear();
  };
  auto add = [&](Id id) {
    if (is_single(id)) {
      run += sets[at(id).a].ranges()[0].first;
    } else if (at(id).kind == Kind::literal) {
      run.append(texts[at(id).a], at(id).b);
    } else if (id != kEmpty) {
      end_run();
      flat.push_back(id);
    }
  };
  for (Id part : parts) {
    if (part == kNothing) return kNothing;
    for (; at(part).kind == Kind::concat; part = at(part).b) add(at(part).a);
    add(part);
  }
  end_run();
  Id tail = kEmpty;
  for (auto part = flat.rbegin(); part != flat.rend(); ++part) tail = cons(*part, tail);
  return tail;
}

TermPool::State::Id TermPool::State::cons(Id head, Id tail) {
  if (head == kNothing || tail == kNothing) return kNothing;
  if (head == kEmpty) return tail;
  if (tail == kEmpty) return head;
  if (at(head).kind != Kind::concat || at(head).min > kFlatten) return cons_flat(head, tail);
  Id parts[kFlatten];
  size_t count = 0;
  for (; at(head).kind == Kind::concat && count + 1 < kFlatten; head = at(head).b) parts[count++] = at(head).a;
  parts[count++] = head;
  while (count > 0) tail = cons_flat(parts[--count], tail);
  return tail;
}

TermPool::State::Id TermPool::State::cons_flat(Id head, Id tail) {
  const bool chain = at(tail).kind == Kind::concat;
  const Id second = chain ? at(tail).a : tail;
  if (second == kAnything && at(head).nullable) return tail;
  const Node &x = at(head), &y = at(second);
  if (x.kind == Kind::repeat && y.kind == Kind::repeat && x.a == y.a) {
    const uint64_t min = add_lengths(x.min, y.min);
    if (min != kEndless) {
      const Id merged = make_repeat(x.a, min, add_lengths(x.max, y.max));
      return chain ? cons_flat(merged, at(tail).b) : merged;
    }
  }
  return intern({.kind = Kind::concat, .a = head, .b = tail, .min = chain ? at(tail).min + 1 : 2});
}

TermPool::State::Id TermPool::State::make_repeat(Id body, uint64_t min, uint64_t max) {
  if (max < min) return kNothing;
  if (max == 0 || body == kEmpty) return kEmpty;
  if (body == kNothing) return min == 0 ? kEmpty : kNothing;
  if (at(body).nullable) min = 0;
  if (min == 1 && max == 1) return body;
  if (at(body).kind == Kind::either && kids(body)[0] == kEmpty) {
    const std::span<const Id> all = kids(body);
    return make_repeat(make_either(std::vector<Id>(all.begin() + 1, all.end())), 0, max);
  }
  if (at(body).kind == Kind::repeat) {
    // (x{a,b}){c,d} is x{ac,bd} if the counts of c, c + 1, ... times leave no gap.
    const uint64_t a = at(body).min, b = at(body).max;
    const uint64_t low = multiply_lengths(a, min), high = multiply_lengths(b, max);
    const uint64_t reached = multiply_lengths(b, min);
    const bool gapless = min == max || add_lengths(reached, 1) >= add_lengths(low, a);
    if (gapless && low != kEndless && add_lengths(low, a) != kEndless) return make_repeat(at(body).a, low, high);
  }
  return intern({.kind = Kind::repeat, .a = body, .min = min, .max = max});
}

TermPool::State::Id TermPool::State::make_complement(Id id) {
  const Node node = at(id);
  if (id == kNothing) return kAnything;
  if (id == kEmpty) return make_repeat(kAnyChar, 1, kEndless);
  if (node.kind == Kind::complement) return node.a;
  if (node.kind == Kind::repeat && node.a == kAnyChar) {
    std::vector<Id> parts;
    if (node.min > 0) parts.push_back(make_repeat(kAnyChar, 0, node.min - 1));
    if (node.max != kEndless) parts.push_back(make_repeat(kAnyChar, node.max + 1, kEndless));
    return make_either(std::move(parts));
  }
  return intern({.kind = Kind::complement, .a = id});
}

}  // namespace lancet
