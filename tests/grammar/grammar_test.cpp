// The machine and its masks: languages by example, masks against trying every token, answers within a budget.
#include "grammar/grammar.h"

#include <random>

#include <gtest/gtest.h>

#include "base/error.h"
#include "grammar/vocabularies.h"

namespace lancet {
namespace {

Budget endless() { return Budget("a test"); }

std::shared_ptr<Grammar> make(Rules rules, RuleId start, std::shared_ptr<const TokenTrie> trie = json_trie()) {
  Budget budget = endless();
  return Grammar::make(std::move(rules), start, std::move(trie), budget);
}

bool accepts(const std::shared_ptr<Grammar>& grammar, std::string_view text) {
  Budget budget = endless();
  GrammarState state(grammar);
  return state.accept_bytes(text, budget) ? state.may_end() : text.empty() && state.may_end();
}

ObjectRule::Member member(std::string name, RuleId value, bool required = false) {
  return {std::move(name), {{value, 0}}, required, {}};
}

RuleId integer(Rules& rules) {
  TermPool& terms = rules.terms();
  const Term digit = terms.chars(CharSet({{'0', '9'}}));
  return rules.text(terms.repeat(digit, 1, std::nullopt), Encoding::utf8);
}

RuleId any_string(Rules& rules) { return rules.text(rules.terms().anything(), Encoding::json_string); }

/// Any JSON value made of objects, arrays, strings and digits.
RuleId any_value(Rules& rules, Spacing spacing) {
  const RuleId value = rules.declare();
  ObjectRule object;
  object.families.push_back({rules.terms().anything(), {{value, 0}}});
  ArrayRule array;
  array.rest = {{value, 0}};
  rules.define(value, rules.either({rules.object(object, spacing), rules.array(array, spacing), any_string(rules),
                                    integer(rules), rules.texts({"true", "false", "null"})}));
  return value;
}

struct Named {
  std::string name;
  std::shared_ptr<Grammar> grammar;
};

std::vector<Named> grammars() {
  std::vector<Named> all;
  const auto add = [&](std::string name, auto build) {
    Rules rules;
    const RuleId start = build(rules);
    all.push_back({std::move(name), make(std::move(rules), start)});
  };
  add("any value", [](Rules& r) { return any_value(r, Spacing::flexible); });
  add("any value, compact", [](Rules& r) { return any_value(r, Spacing::compact); });
  add("members in order", [](Rules& r) {
    ObjectRule object;
    object.members = {member("a", integer(r), true), member("ab", any_string(r)),
                      member("name", any_value(r, Spacing::single), true)};
    return r.object(object, Spacing::single);
  });
  add("members in any order, others, at most four", [](Rules& r) {
    ObjectRule object;
    object.members = {member("a", integer(r), true), member("x", any_string(r))};
    object.members[0].requires_ = {1};
    TermPool& t = r.terms();
    object.families.push_back(
        {t.both({t.complement(t.literal("a")), t.complement(t.literal("x"))}), {{integer(r), 0}}});
    object.any_order = true;
    object.min_members = 3;
    object.max_members = 4;
    return r.object(object, Spacing::flexible);
  });
  add("a need", [](Rules& r) {
    ObjectRule object;
    const RuleId number = integer(r), yes = r.literal("true");
    object.families.push_back({r.terms().anything(), {{number, 0}, {yes, 1}}});
    object.needs = 1;
    object.max_members = 3;
    return r.object(object, Spacing::compact);
  });
  add("different items", [](Rules& r) {
    ArrayRule array;
    array.rest = {{r.texts({"1", "12", "123", "\"a\""}), 0}};
    array.unique = true;
    return r.array(array, Spacing::flexible);
  });
  add("different strings", [](Rules& r) {
    ArrayRule array;
    TermPool& t = r.terms();
    const Term ab = t.chars(CharSet({{'a', 'b'}}));
    array.rest = {{r.text(t.repeat(ab, 0, 2), Encoding::json_string), 0}};
    array.unique = true;
    array.min_items = 3;
    return r.array(array, Spacing::compact);
  });
  add("contains", [](Rules& r) {
    ArrayRule array;
    array.prefix = {{{any_string(r), 0}}};
    array.rest = {{integer(r), 1}, {r.literal("true"), 2}};
    array.counters = {{2, 3}, {1, std::nullopt}};
    array.max_items = 6;
    return r.array(array, Spacing::single);
  });
  add("few keys", [](Rules& r) {
    ObjectRule object;
    TermPool& t = r.terms();
    object.families.push_back({t.repeat(t.chars(CharSet({{'a', 'b'}})), 1, 2), {{integer(r), 0}}});
    return r.object(object, Spacing::compact);
  });
  add("bounded string",
      [](Rules& r) { return r.text(r.terms().repeat(r.terms().any_char(), 2, 40), Encoding::json_string); });
  add("repeats of what may be empty", [](Rules& r) {
    const RuleId a = r.repeat(r.literal("a"), 0, 2), b = r.repeat(r.literal("b"), 0, std::nullopt);
    return r.sequence({r.repeat(r.sequence({a, b}), 2, 5), r.literal("c")});
  });
  add("nested brackets", [](Rules& r) {
    const RuleId s = r.declare();
    r.define(s, r.either({r.empty(), r.sequence({r.literal("["), s, r.literal("]"), s})}));
    return r.sequence({r.literal("["), s, r.literal("]")});
  });
  return all;
}

TEST(Grammar, AcceptsItsLanguageAndNothingElse) {
  struct Case {
    std::string grammar;
    std::vector<std::string> yes, no;
  };
  const std::vector<Case> cases = {
      {"any value",
       {"1", "\"\"", "\"\\n\xC3\xA9\\u0001\"", "[1, 2,3]", "{\"a\" : {\"b\":[]}, \"a b\": null}",
        "{\n  \"k\": [\n    1\n  ]\n}", "{}", "[ ]"},
       {"", "[1,]", "{\"a\":1,\"a\":2}", "{\"a\"}", "\"\\u0041\"", "\"\x01\"", "\"\xC3\"", "tru", "[1  ,2]", " 1",
        "1 "}},
      {"any value, compact", {"{\"a\":{\"b\":[1,\"x\"]}}"}, {"[1, 2]"}},
      {"members in order",
       {"{\"a\": 1, \"name\": {}}", "{\"a\": 1, \"ab\": \"\", \"name\": [1, 2]}"},
       {"{\"a\": 1}", "{\"name\": 1, \"a\": 1}", "{\"a\":1, \"name\": 1}", "{}",
        "{\"a\": 1, \"name\": 1, \"ab\": \"\"}", "{\"a\": 1, \"b\": 2, \"name\": 1}"}},
      {"members in any order, others, at most four",
       {"{\"x\":\"\",\"a\":1,\"y\":2}", "{\"z\":1,\"y\":2,\"a\":3,\"x\":\"q\"}", "{\"a\":1,\"x\":\"\",\"yy\":2}"},
       {"{\"a\":1,\"x\":\"\"}", "{\"a\":1,\"y\":1,\"z\":2}", "{\"a\":1,\"x\":\"\",\"p\":1,\"q\":1,\"r\":1}",
        "{\"x\":\"\",\"a\":1,\"y\":2,\"y\":3}"}},
      {"a need", {"{\"a\":true}", "{\"a\":1,\"b\":2,\"c\":true}"}, {"{}", "{\"a\":1}", "{\"a\":1,\"b\":2,\"c\":3}"}},
      {"different items", {"[]", "[12,1,123]", "[\"a\", 1]"}, {"[1,1]", "[12, 1, 12]", "[1,123,12,\"a\",1]"}},
      {"different strings",
       {"[\"\",\"a\",\"ab\"]", "[\"\",\"a\",\"b\",\"aa\",\"ab\",\"ba\",\"bb\"]"},
       {"[\"\",\"a\"]", "[\"a\",\"b\",\"a\"]", "[\"aaa\"]"}},
      {"contains",
       {"[\"\", 1, 2, true]", "[\"s\", true, 1, true, 2, 3]"},
       {"[\"\", 1, 2]", "[\"\", 1, true]", "[\"\", 1, 2, 3, 4, true]", "[1, 2, true]"}},
      {"few keys", {"{}", "{\"a\":1,\"b\":2,\"ab\":3}"}, {"{\"a\":1,\"a\":2}", "{\"abc\":1}", "{\"\":1}"}},
      {"bounded string", {"\"ab\"", "\"\xE2\x82\xAC\\n\""}, {"\"a\"", "\"\"", "\"" + std::string(41, 'x') + "\""}},
      {"repeats of what may be empty",
       {"c", "aac", "abbbabc", "aaaaaaaaaac", "aabaabaabaabaabbc"},
       {"aaaaaaaaaaac", "aabaabaabaabaaba"}},
      {"nested brackets", {"[]", "[[][[]]]"}, {"[", "[]]", "[[]"}},
  };
  const auto all = grammars();
  for (const Case& c : cases) {
    const auto at = std::find_if(all.begin(), all.end(), [&](const Named& n) { return n.name == c.grammar; });
    ASSERT_NE(at, all.end()) << c.grammar;
    for (const std::string& text : c.yes) EXPECT_TRUE(accepts(at->grammar, text)) << c.grammar << ": " << text;
    for (const std::string& text : c.no) EXPECT_FALSE(accepts(at->grammar, text)) << c.grammar << ": " << text;
  }
}

/// Follows random allowed tokens; every mask on the way is compared with trying each token.
TEST(Grammar, MasksAllowExactlyTheTokensThatCanBeAccepted) {
  std::mt19937 random(1);
  const auto trie = json_trie();
  for (const Named& named : grammars()) {
    for (int walk = 0; walk < 30; ++walk) {
      Budget budget = endless();
      GrammarState state(named.grammar);
      std::string text;
      for (int step = 0; step < 40 && !state.ended(); ++step) {
        const TokenMask mask = state.allowed(budget);
        ASSERT_GT(mask.count(), 0) << named.name << " after " << text;
        std::vector<TokenId> allowed;
        for (TokenId id = 0; id < trie->size(); ++id) {
          GrammarState tried = state;
          ASSERT_EQ(mask.test(id), tried.accept(id, budget))
              << named.name << " after " << text << ", token " << quoted(trie->bytes(id));
          if (mask.test(id)) allowed.push_back(id);
        }
        // Longer tokens are few; take them often.
        TokenId next = allowed[random() % allowed.size()];
        for (int again = 0; again < 4 && trie->bytes(next).size() < 2; ++again)
          next = allowed[random() % allowed.size()];
        text += trie->bytes(next);
        ASSERT_TRUE(state.accept(next, budget));
      }
    }
  }
}

TEST(Grammar, EveryAnswerEndsWithinItsBudget) {
  std::mt19937 random(2);
  const auto trie = json_trie();
  for (const Named& named : grammars()) {
    const int64_t shortest = named.grammar->shortest_tokens();
    for (int walk = 0; walk < 200; ++walk) {
      Budget budget = endless();
      GrammarState state(named.grammar);
      const int64_t tokens = shortest + walk % 20;
      std::string text;
      for (int64_t left = tokens; left > 0 && !state.ended() && !state.must_end(); --left) {
        ASSERT_LE(state.tokens_to_end(budget), left) << named.name << " after " << text;
        const TokenMask& mask = state.allowed_within(left, budget);
        std::vector<TokenId> allowed;
        for (TokenId id = 0; id < trie->size(); ++id) {
          if (mask.test(id)) allowed.push_back(id);
        }
        ASSERT_FALSE(allowed.empty()) << named.name << " after " << text;
        const TokenId next = allowed[random() % allowed.size()];
        text += trie->bytes(next);
        ASSERT_TRUE(state.accept(next, budget));
      }
      ASSERT_TRUE(state.ended() || state.may_end()) << named.name << ": " << text;
      ASSERT_TRUE(accepts(named.grammar, text)) << named.name << ": " << text;
    }
  }
}

TEST(Grammar, ForcedBytesAreAllThatCanCome) {
  Rules rules;
  ObjectRule object;
  object.members = {member("city", any_string(rules), true), member("days", integer(rules), true)};
  const RuleId start = rules.object(object, Spacing::single);
  const auto grammar = make(std::move(rules), start);
  Budget budget = endless();
  GrammarState state(grammar);
  EXPECT_EQ(state.forced(100, budget), "{\"city\": \"");
  ASSERT_TRUE(state.accept_bytes("{\"city\": \"Paris", budget));
  EXPECT_EQ(state.forced(100, budget), "");
  EXPECT_TRUE(state.in_free_string(budget));
  ASSERT_TRUE(state.accept_bytes("\"", budget));
  EXPECT_EQ(state.forced(100, budget), ", \"days\": ");
  EXPECT_EQ(state.forced(3, budget), ", \"");
  EXPECT_FALSE(state.in_free_string(budget));
}

TEST(Grammar, RefusesWhatNothingSatisfies) {
  Rules rules;
  ObjectRule object;
  object.members = {member("a", rules.nothing(), true)};
  const RuleId start = rules.object(object, Spacing::single);
  EXPECT_THROW(make(std::move(rules), start), Error);
}

TEST(Grammar, RefusesLeftRecursion) {
  Rules rules;
  const RuleId s = rules.declare();
  rules.define(s, rules.either({rules.literal("a"), rules.sequence({rules.empty(), s, rules.literal("b")})}));
  EXPECT_THROW(make(std::move(rules), s), Error);
}

}  // namespace
}  // namespace lancet
