// Clipping: what only matters beyond the next few characters is made equal, so that states share their masks. Inside
// intersections and complements the far end decides which successors have texts at all, so those stay as they are, but
// for a mere upper bound of the length that the other side cannot miss.
#include <algorithm>

#include "grammar/term_state.h"

namespace lancet {

TermPool::State::Id TermPool::State::clip(Id id, uint64_t chars) {
  const Node node = at(id);
  const bool inner =
      node.kind == Kind::concat || node.kind == Kind::repeat || node.kind == Kind::either || node.kind == Kind::both;
  if (!inner) return id;
  const uint64_t key = uint64_t{id} << 32 | std::min<uint64_t>(chars, UINT32_MAX);
  auto known = clipped.find(key);
  if (known != clipped.end()) return known->second;
  Id out = id;
  if (node.kind == Kind::concat) {
    out = clip_concat(id, chars);
  } else if (node.kind == Kind::both) {
    out = clip_both(id, chars);
  } else if (node.kind == Kind::either) {
    const std::span<const Id> of = kids(id);
    std::vector<Id> parts(of.begin(), of.end());
    for (Id& part : parts) part = clip(part, chars);
    out = make_either(std::move(parts));
  } else {
    const bool consumes = at(node.a).low > 0;
    const uint64_t min = consumes ? std::min(node.min, chars + 1) : node.min;
    const uint64_t max = consumes && node.max > chars ? kEndless : node.max;
    const uint64_t kept = at(node.a).texts == Texts::some ? min : node.min;
    out = make_repeat(clip(node.a, chars), kept, max);
  }
  clipped.emplace(key, out);
  return out;
}

TermPool::State::Id TermPool::State::clip_concat(Id id, uint64_t chars) {
  std::vector<Id> parts;
  uint64_t left = chars;
  for (;;) {
    const bool chain = at(id).kind == Kind::concat;
    const Id head = chain ? at(id).a : id;
    parts.push_back(clip(head, left));
    if (!chain) break;
    id = at(id).b;
    const uint64_t low = at(head).low;
    if (low > left && at(id).texts == Texts::some) break;  // what follows is out of reach
    left -= std::min(low, left);
  }
  Id tail = parts.back();
  parts.pop_back();
  for (; !parts.empty(); parts.pop_back()) tail = cons(parts.back(), tail);
  return tail;
}

/// x{0,n} of any character with an ordinary term that can always end in time: the bound says nothing yet.
TermPool::State::Id TermPool::State::clip_both(Id id, uint64_t chars) {
  if (at(id).b != 2) return id;
  for (size_t i = 0; i < 2; ++i) {
    const Node length = at(kids(id)[i]);
    const Id other = kids(id)[1 - i];
    const bool bound = length.kind == Kind::repeat && length.a == kAnyChar && length.min == 0 && !at(other).hard;
    if (bound && length.max >= add_lengths(chars, at(other).reach)) return clip(other, chars);
  }
  return id;
}

}  // namespace lancet
