// The one internal form of every constraint: JSON Schema, regular expressions, GBNF, Lark, choices, tool calls. Rules
// refer to each other by id and may be recursive (not left-recursive). Bytes and control tokens are the alphabet.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/budget.h"
#include "grammar/term.h"
#include "text/tokenizer.h"

namespace lancet {

/// How a text of code points is written as bytes.
enum class Encoding : uint8_t {
  utf8,
  /// With its quotes, every character in exactly one way: escaped only where JSON asks for it, by the short escapes
  /// (\" \\ \b \f \n \r \t) or as \u00xx in lower case; the rest as UTF-8. Thus equal texts are equal bytes.
  json_string,
};

using RuleId = uint32_t;

/// Where JSON may have white space between its tokens.
enum class Spacing : uint8_t {
  compact,   // nowhere
  single,    // exactly one space after ',' and ':', nowhere else
  flexible,  // between any two tokens: nothing, one space, or a line break and up to 40 spaces or 10 tabs
};

/// A JSON object. Runs with what it has seen so far, so that no order and no subset of members must be spelled out.
struct ObjectRule {
  /// One way a value may be. `needs`: bits of `needs` of the object that a member of this value satisfies.
  struct Value {
    RuleId rule = 0;
    uint64_t needs = 0;
  };
  struct Member {
    std::string name;
    std::vector<Value> values;  // any one of them; empty: the name is forbidden
    bool required = false;
    std::vector<uint32_t> requires_;  // if present, these members (indices) must be present too
  };
  /// Other members: keys of a language that holds no member's name. Families may overlap each other.
  struct Family {
    Term keys;
    std::vector<Value> values;
  };
  std::vector<Member> members;
  std::vector<Family> families;  // in their order, after each other, repeatedly; never the same key twice
  uint64_t min_members = 0;
  std::optional<uint64_t> max_members;
  uint64_t needs = 0;      // bits that must all have been satisfied at the end
  bool any_order = false;  // members and families in any order; else members in the order given, then families
};

/// A JSON array.
struct ArrayRule {
  /// One way an item may be. `counts`: which of the object's counters it adds one to.
  struct Item {
    RuleId rule = 0;
    uint64_t counts = 0;  // bit mask
  };
  struct Counter {  // contains: how many items must have been counted at the end
    uint64_t min = 0;
    std::optional<uint64_t> max;
  };
  std::vector<std::vector<Item>> prefix;  // alternatives by position
  std::vector<Item> rest;                 // alternatives beyond; empty: no further items
  std::vector<Counter> counters;          // at most 64
  uint64_t min_items = 0;
  std::optional<uint64_t> max_items;
  bool unique = false;  // no two items of equal bytes; items must be made of text() and texts() only
};

/// Builds and holds rules. One thread at a time.
class Rules {
 public:
  Rules();
  ~Rules();
  Rules(Rules&&) noexcept;
  Rules& operator=(Rules&&) noexcept;

  TermPool& terms();

  RuleId text(Term, Encoding);             // a text of this language
  RuleId texts(std::vector<std::string>);  // exactly one of these byte strings; duplicates are fine
  RuleId literal(std::string_view bytes);  // exactly these bytes
  RuleId control(TokenId);                 // exactly this control token, which no bytes can spell
  RuleId nothing();                        // cannot be matched: `false`
  RuleId empty();
  RuleId sequence(std::vector<RuleId>);
  RuleId either(std::vector<RuleId>);
  RuleId repeat(RuleId, uint64_t min, std::optional<uint64_t> max);
  RuleId space(Spacing, char after);  // white space that may follow `after` ('{' '[' ',' ':'), or precede: 0
  RuleId object(ObjectRule, Spacing);
  RuleId array(ArrayRule, Spacing);
  /// A rule that is defined later; for recursion. Every declared rule must be defined before the grammar is made.
  RuleId declare();
  void define(RuleId declared, RuleId body);

  size_t count() const;
  struct State;  // rules_state.h, for the grammar's own files
  State& state() { return *state_; }
  const State& state() const { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

}  // namespace lancet
