// The machine and its masks: languages by example, masks against trying every token, answers within a budget.
#include "grammar/grammar.h"

#include <random>

#include <gtest/gtest.h>

#include "base/error.h"
#include "grammar/vocabularies.h"
#include "support/json_rules.h"

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

RuleId any_value(Rules& rules, Spacing spacing) { return any_value(rules, spacing, integer(rules)); }

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

/// Random rules over a small alphabet: every kind within every other.
class RandomRules {
 public:
  explicit RandomRules(uint32_t seed) : random_(seed) {}

  RuleId any(Rules& rules, int depth) {
    switch (pick(depth > 0 ? 9 : 3)) {
      case 0: return rules.texts(pieces());
      case 1: return rules.text(string_term(rules.terms(), 2), Encoding::json_string);
      case 2: return rules.text(string_term(rules.terms(), 2), Encoding::utf8);
      case 3: return rules.sequence({any(rules, depth - 1), any(rules, depth - 1)});
      case 4: return rules.either({any(rules, depth - 1), any(rules, depth - 1)});
      case 5: {
        const uint64_t min = pick(3);
        return rules.repeat(any(rules, depth - 1), min,
                            pick(2) ? std::optional<uint64_t>(min + pick(3)) : std::nullopt);
      }
      case 6: return recursive(rules, depth);
      case 7: return object(rules, depth);
      default: return array(rules, depth);
    }
  }

 private:
  uint32_t pick(uint32_t below) { return random_() % below; }
  std::vector<std::string> pieces() {
    static const std::vector<std::string> kAll = {"",     "a", "ab",    "abc",    "1",  "12",
                                                  "true", "{", "\"a\"", "\"ab\"", ", ", "\xC3\xA9"};
    std::vector<std::string> some;
    for (uint32_t i = 0; i <= pick(3); ++i) some.push_back(kAll[pick(static_cast<uint32_t>(kAll.size()))]);
    return some;
  }
  Term string_term(TermPool& terms, int depth) {
    switch (pick(depth > 0 ? 7 : 2)) {
      case 0: return terms.literal(pick(2) ? "a" : "ab");
      case 1: return terms.chars(CharSet({{'a', 'c'}, {U'\u00e9', U'\u20ac'}}));
      case 2: return terms.concat({string_term(terms, depth - 1), string_term(terms, depth - 1)});
      case 3: return terms.either({string_term(terms, depth - 1), string_term(terms, depth - 1)});
      case 4:
        return terms.both(
            {terms.repeat(terms.any_char(), 0, 1 + pick(5)), terms.complement(string_term(terms, depth - 1))});
      case 5:
        return terms.repeat(string_term(terms, depth - 1), pick(2),
                            pick(2) ? std::optional<uint64_t>(2 + pick(3)) : std::nullopt);
      default: return terms.anything();
    }
  }
  RuleId recursive(Rules& rules, int depth) {
    const RuleId self = rules.declare();
    const RuleId inner =
        rules.sequence({rules.literal("["), rules.either({self, any(rules, depth - 1)}), rules.literal("]")});
    rules.define(self, pick(2) ? inner : rules.either({inner, any(rules, depth - 1)}));
    return self;
  }
  Spacing spacing() { return static_cast<Spacing>(pick(3)); }
  RuleId object(Rules& rules, int depth) {
    ObjectRule object;
    object.any_order = pick(2);
    object.needs = pick(3) == 0 ? 1 + pick(3) : 0;
    const auto values = [&] {
      std::vector<ObjectRule::Value> some;
      for (uint32_t i = 0; i <= pick(2); ++i) some.push_back({any(rules, depth - 1), object.needs ? pick(4) : 0});
      return some;
    };
    TermPool& terms = rules.terms();
    Term others = terms.anything();
    for (const char* name : {"a", "ab", "x"}) {
      if (pick(2)) continue;
      object.members.push_back({name, values(), pick(3) == 0, {}});
      others = terms.both({others, terms.complement(terms.literal(name))});
    }
    if (object.members.size() > 1 && pick(3) == 0) object.members[0].requires_ = {1};
    if (pick(2)) object.families.push_back({others, values()});
    if (pick(3) == 0)
      object.families.push_back(
          {terms.both({others, terms.repeat(terms.chars(CharSet({{'a', 'b'}})), 1, 2)}), values()});
    if (pick(3) == 0) object.min_members = pick(4);
    if (pick(3) == 0) object.max_members = object.min_members + pick(3);
    return rules.object(std::move(object), spacing());
  }
  RuleId array(Rules& rules, int depth) {
    ArrayRule array;
    array.unique = pick(4) == 0;
    const auto items = [&] {
      std::vector<ArrayRule::Item> some;
      for (uint32_t i = 0; i <= pick(2); ++i) {
        const RuleId item = !array.unique ? any(rules, depth - 1)
                            : pick(2)     ? rules.texts(pieces())
                                          : rules.text(string_term(rules.terms(), 2), Encoding::json_string);
        some.push_back({item, array.unique ? 0 : pick(4)});
      }
      return some;
    };
    if (pick(2)) array.prefix.push_back(items());
    if (pick(3)) array.rest = items();
    if (!array.unique && pick(2))
      array.counters = {{pick(2), pick(2) ? std::optional<uint64_t>(1 + pick(2)) : std::nullopt},
                        {pick(3), std::nullopt}};
    if (pick(3) == 0) array.min_items = pick(4);
    if (pick(3) == 0) array.max_items = array.min_items + pick(3);
    return rules.array(std::move(array), spacing());
  }

  std::mt19937 random_;
};

/// Of random rules: masks are what can be accepted, nothing gets stuck, answers end in time.
void check_random(uint32_t seed) {
  RandomRules source(seed);
  Rules rules;
  const RuleId start = source.any(rules, 3);
  const auto trie = json_trie();
  Budget budget = endless();
  std::shared_ptr<Grammar> grammar;
  try {
    grammar = Grammar::make(std::move(rules), start, trie, budget);
  } catch (const Error&) {
    return;  // nothing satisfies it, or it is left-recursive
  }
  std::mt19937 random(seed);
  for (int walk = 0; walk < 6; ++walk) {
    GrammarState state(grammar);
    std::string text;
    for (int64_t left = grammar->shortest_tokens() + walk * 4; left > 0 && !state.ended() && !state.must_end();
         --left) {
      ASSERT_LE(state.tokens_to_end(budget), left) << "seed " << seed << " after " << text;
      const TokenMask all = state.allowed(budget);
      std::vector<TokenId> allowed;
      for (TokenId id = 0; id < trie->size(); ++id) {
        GrammarState tried = state;
        ASSERT_EQ(all.test(id), tried.accept(id, budget))
            << "seed " << seed << " after " << text << ", token " << quoted(trie->bytes(id));
      }
      const TokenMask& within = state.allowed_within(left, budget);
      for (TokenId id = 0; id < trie->size(); ++id) {
        if (within.test(id)) allowed.push_back(id);
      }
      ASSERT_FALSE(allowed.empty()) << "seed " << seed << " after " << text;
      TokenId next = allowed[random() % allowed.size()];
      for (int again = 0; again < 4 && trie->bytes(next).size() < 2; ++again) next = allowed[random() % allowed.size()];
      text += trie->bytes(next);
      ASSERT_TRUE(state.accept(next, budget));
    }
    ASSERT_TRUE(state.ended() || state.may_end()) << "seed " << seed << ": " << text;
  }
}

TEST(Grammar, RandomRulesKeepTheSamePromises) {
  const char* seeds = std::getenv("LANCET_GRAMMAR_SEEDS");
  const uint32_t count = seeds != nullptr ? static_cast<uint32_t>(std::stoul(seeds)) : 300;
  for (uint32_t seed = 1; seed <= count && !HasFatalFailure(); ++seed) check_random(seed);
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
