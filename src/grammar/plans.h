// What an object or array still has to contain before it may close, and the tokens that takes. One function answers
// both "can this still become valid" and "how much does that cost", so the two never disagree.
#pragma once

#include <cstdint>
#include <vector>

#include "grammar/interner.h"
#include "grammar/rules_state.h"

namespace lancet {

/// How far an object is.
struct ObjectProgress {
  enum class Phase : uint8_t { opened, key, colon, value, comma };
  Phase phase = Phase::opened;
  uint32_t current = 0;  // the member whose key was read, or members.size() + the family
  uint32_t place = 0;    // in the given order: members before it cannot come any more
  uint32_t others = 0;   // set of the keys of families seen
  uint64_t count = 0, needs = 0;
  uint32_t other_count = 0;    // members of families, unless the object is plain
  std::vector<uint64_t> seen;  // bit per member

  explicit ObjectProgress(const ObjectBody& body) : seen((body.rule.members.size() + 63) / 64) {}
  explicit ObjectProgress(const Words&);
  bool has(uint32_t member) const { return (seen[member / 64] >> (member % 64)) & 1; }
  Words pack() const;
};

/// How far an array is.
struct ArrayProgress {
  enum class Phase : uint8_t { opened, item, comma };
  Phase phase = Phase::opened;
  uint32_t items_seen = 0;       // set of the items seen, if they must differ
  uint64_t index = 0;            // items begun; beyond what matters it stops
  std::vector<uint64_t> counts;  // per counter; beyond what matters it stops

  explicit ArrayProgress(const ArrayBody& body) : counts(body.rule.counters.size()) {}
  explicit ArrayProgress(const Words&);
  Words pack() const;
};

using RuleCosts = std::vector<int64_t>;  // by rule: tokens of a shortest text, kNever where there is none

/// The values that a member (or, from members.size() on, a family) may have.
const std::vector<ObjectRule::Value>& values_of(const ObjectBody&, uint32_t member);
/// The progress after this member has had a value of this kind.
ObjectProgress with_member(const ObjectBody&, ObjectProgress, uint32_t member, const ObjectRule::Value&);
/// Tokens of the members that must still come, at least so many, each with its comma; kNever if none can satisfy.
int64_t members_to_come(const ObjectBody&, const ObjectProgress&, uint64_t at_least, const RuleCosts&);
/// Tokens of a member with its comma.
int64_t member_cost(const ObjectBody&, uint32_t member, const RuleCosts&);
/// Tokens from behind the key of this member to behind the last member.
int64_t cost_after_key(const ObjectBody&, const ObjectProgress&, uint32_t member, const RuleCosts&);
/// True if this member (or family) may come next.
bool may_come(const ObjectBody&, const ObjectProgress&, uint32_t member, const RuleCosts&);

/// The items that may stand at the progress' index.
const std::vector<ArrayRule::Item>& items_at(const ArrayBody&, uint64_t index);
ArrayProgress with_item(const ArrayBody&, ArrayProgress, const ArrayRule::Item&);
/// Tokens of the items that must still come, at least so many, each with its comma; kNever if none can satisfy.
int64_t items_to_come(const ArrayBody&, const ArrayProgress&, uint64_t at_least, const RuleCosts&);
/// True if an item of this kind may come next.
bool may_come(const ArrayBody&, const ArrayProgress&, const ArrayRule::Item&, const RuleCosts&);

}  // namespace lancet
