// What Rules holds, for the grammar's own files.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "grammar/rules.h"

namespace lancet {

inline constexpr uint64_t kUnbounded = UINT64_MAX;

struct Rule {
  enum class Kind : uint8_t { text, texts, control, sequence, either, repeat, object, array, alias };
  Kind kind = Kind::alias;
  Encoding encoding = Encoding::utf8;  // text
  Term term;                           // text
  uint32_t index = 0;         // texts, object, array: into the tables below; alias: the rule; control: the token
  std::vector<RuleId> parts;  // sequence, either; repeat: its body
  uint64_t min = 0, max = kUnbounded;  // repeat
};

/// Byte strings in order, without duplicates.
struct SortedTexts {
  std::vector<std::string> texts;

  struct Range {
    uint32_t first = 0, last = 0;  // [first, last)
    bool empty() const { return first == last; }
  };
  /// Those of the range that have this byte at `depth`; all of the range agree before it.
  Range narrow(Range, uint32_t depth, uint8_t byte) const;
};

/// The rules between the parts of an object or array.
struct Punctuation {
  RuleId open = 0, colon = 0, comma = 0, close = 0, close_empty = 0;
};

/// The costs of different texts, the cheapest first: with n of them taken, the next costs at most at(n).
struct Rising {
  std::vector<int64_t> costs;
  int64_t at(uint64_t taken) const {
    if (taken < costs.size()) return costs[taken];
    // Beyond what was counted they are taken to grow as fast as they ever did, and a byte each.
    return costs.empty() ? 0 : costs.back() * (2 + static_cast<int64_t>((taken - costs.size()) / costs.size()));
  }
};

struct ObjectBody {
  ObjectRule rule;
  Punctuation marks;
  SortedTexts keys;               // the members' names, encoded
  std::vector<uint32_t> members;  // of keys: the member's index
  bool plain = false;             // no needs, no requires_, no bounds: what may come is simple to say
  // Filled by Grammar::make: tokens of the members' keys with their quotes, and of what is left of keys[i] behind each
  // byte; of each family's keys, the shortest first; and how many keys a family has.
  std::vector<int64_t> key_costs;
  std::vector<std::vector<int32_t>> key_suffixes;
  std::vector<Rising> family_costs;
  std::vector<uint64_t> family_keys;
};

struct ArrayBody {
  ArrayRule rule;
  Punctuation marks;
  // Filled by Grammar::make, if items must differ: how many there can be, and their tokens, the shortest first.
  uint64_t different = kUnbounded;
  Rising item_costs;
};

struct Rules::State {
  TermPool terms;
  std::vector<Rule> rules;
  std::vector<SortedTexts> texts;
  std::vector<ObjectBody> objects;
  std::vector<ArrayBody> arrays;
  std::array<std::array<RuleId, 3>, 2> marks{};  // by kind (object, array) and spacing: the first of five rules, or 0

  RuleId add(Rule);
};

/// A text as a JSON string in the one spelling of Encoding::json_string.
std::string json_quoted(std::string_view utf8);

}  // namespace lancet
