// GBNF and Lark: what is matched, what is refused and where. Bounds in time are those of the project: 250 ms.
#include "grammar/text_grammars.h"

#include <chrono>
#include <functional>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "grammar/grammar.h"

namespace lancet {
namespace {

std::shared_ptr<const TokenTrie> bytes() {
  static const auto trie = [] {
    std::vector<std::string> tokens;
    for (int byte = 0; byte < 256; byte++) tokens.emplace_back(1, static_cast<char>(byte));
    tokens.emplace_back();
    return std::make_shared<const TokenTrie>(std::move(tokens), std::vector<TokenId>{256});
  }();
  return trie;
}

using Reader = RuleId (*)(Rules&, std::string_view, Budget&);

BudgetLimits limits() { return {.steps = 2'000'000, .bytes = size_t{64} << 20, .time = std::chrono::seconds(2)}; }

std::shared_ptr<Grammar> compile(Reader reader, std::string_view source) {
  Budget budget("the grammar", limits());
  Rules rules;
  const RuleId start = reader(rules, source, budget);
  return Grammar::make(std::move(rules), start, bytes(), budget);
}

bool matches(const std::shared_ptr<Grammar>& grammar, std::string_view text) {
  Budget budget("matching", {.steps = 10'000'000});
  GrammarState state(grammar);
  for (const char c : text)
    if (!state.accept(static_cast<unsigned char>(c), budget)) return false;
  return state.may_end();
}

void expect(Reader reader, std::string_view source, const std::vector<std::string>& yes,
            const std::vector<std::string>& no) {
  const auto grammar = compile(reader, source);
  for (const auto& text : yes) EXPECT_TRUE(matches(grammar, text)) << source << " <- " << text;
  for (const auto& text : no) EXPECT_FALSE(matches(grammar, text)) << source << " <- " << text;
}

/// The message with which the source is refused, in time.
std::string refusal(Reader reader, std::string_view source, Fault fault = Fault::bad_request) {
  const auto start = std::chrono::steady_clock::now();
  std::string message;
  try {
    compile(reader, source);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), fault) << error.message();
    message = error.message();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(250)) << source.substr(0, 60);
  EXPECT_FALSE(message.empty()) << source.substr(0, 200);
  EXPECT_LT(message.size(), 400u);
  return message;
}

void expect_refused(Reader reader, std::string_view source, std::string_view says) {
  const std::string message = refusal(reader, source);
  EXPECT_NE(message.find(says), std::string::npos) << message << " <- " << source.substr(0, 200);
}

std::string repeated(std::string_view text, int count) {
  std::string all;
  for (int i = 0; i < count; i++) all += text;
  return all;
}

TEST(Gbnf, LiteralsClassesAndRepetitions) {
  expect(add_gbnf, R"(root ::= "a\n\"\\\x41\u00e9\U0001F600" )", {"a\n\"\\A\xc3\xa9\xf0\x9f\x98\x80"}, {"", "a"});
  expect(add_gbnf, R"(root ::= [a-cx\]\-] [^a-z\n] .)", {"a1\n", "]A!", "-\xc3\xa9z", "x0\xf0\x9f\x98\x80"},
         {"d1a", "aaa", "a\na", "a1"});
  expect(add_gbnf, R"(root ::= "ab"* "c"+ "d"? "e"{2} "f"{1,} "g"{,2} "h"{0,1})", {"abcceef", "ceefff", "cdeefggh"},
         {"ceefggg", "cef", "eef", "acee", "ceefhh"});
  expect(add_gbnf, R"(root ::= "a" | "b" ("c" | "d") | )", {"", "a", "bc", "bd"}, {"b", "ac"});
  expect(add_gbnf, R"(root ::= "")", {""}, {"a"});
}

TEST(Gbnf, LayoutAndComments) {
  expect(add_gbnf,
         "# a comment\nroot ::= # here\n  rule-1 (\n \"x\" |\n# there\n \"y\" )\n  | \"z\"\n\nrule-1 ::= [0-9]\r\n",
         {"1x", "2y", "z"}, {"x", "1"});
  expect(add_gbnf, "item_2 ::= \"b\"\nroot::=item_2\"a\"", {"ba"}, {"b"});
}

TEST(Gbnf, RecursionIsExact) {
  expect(add_gbnf, "root ::= \"(\" root \")\" root | \"\"",
         {"", "()", "(())()", repeated("(", 500) + repeated(")", 500)},
         {"(", ")", "())", repeated("(", 500) + repeated(")", 499)});
  expect(add_gbnf, "root ::= sum\nsum ::= term ((\"+\" | \"-\") term)*\nterm ::= [0-9]+ | \"(\" sum \")\"",
         {"1", "1+(2-3)", "((7))"}, {"1+", "()", "(1"});
}

TEST(Gbnf, UsedTwiceIsSharedNotCopied) {
  std::string source = "root ::= r0\nr40 ::= \"ab\"\n";
  for (int i = 0; i < 40; i++) source += fmt::format("r{} ::= r{} r{}?\n", i, i + 1, i + 1);
  EXPECT_TRUE(matches(compile(add_gbnf, source), "abababab"));
}

TEST(Gbnf, ChainsOfRulesAreWalkedNotRecursed) {
  std::string plain = "root ::= r0\n", called = "root ::= r0\n";
  for (int i = 0; i < 5000; i++) {
    plain += fmt::format("r{} ::= r{}\n", i, i + 1);
    called += fmt::format("r{} ::= \"a\" r{} \"b\"?\n", i, i + 1);
  }
  plain += "r5000 ::= \"x\"", called += "r5000 ::= \"(\" root \")\" | \"x\"";
  const auto start = std::chrono::steady_clock::now();
  expect(add_gbnf, plain, {"x"}, {"", "y"});
  expect(add_gbnf, called, {repeated("a", 5000) + "x", repeated("a", 5000) + "xbb"}, {"x", "a"});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST(Gbnf, RefusesWithPlaceAndReason) {
  expect_refused(add_gbnf, "root ::= \"a\"\nroot ::= \"b\"", "2:1: \"root\" is defined a second time, first at 1:1");
  expect_refused(add_gbnf, "root ::= \"a\" foo", "1:14: \"foo\" is used and never defined");
  expect_refused(add_gbnf, "foo ::= \"a\"", "no rule \"root\"");
  expect_refused(add_gbnf, "", "no rule \"root\"");
  expect_refused(add_gbnf, "root ::=", "1:1: rule \"root\" has no body");
  expect_refused(add_gbnf, "root ::=\nfoo ::= \"a\"", "1:1: rule \"root\" has no body");
  expect_refused(add_gbnf, "root ::= \"a", "1:10: the literal that begins here");
  expect_refused(add_gbnf, "root ::= [a", "1:10: the character class that begins here");
  expect_refused(add_gbnf, "root ::= [z-a]", "runs backwards");
  expect_refused(add_gbnf, "root ::= \"\\q\"", "1:11: unknown escape");
  expect_refused(add_gbnf, "root ::= \"\\ud800\"", "U+D800 is no character");
  expect_refused(add_gbnf, "root ::= \"a\"{3,1}", "has no count");
  expect_refused(add_gbnf, "root ::= (\"a\"", "expected \")\" at the end of a group, found the end of the grammar");
  expect_refused(add_gbnf, "root ::= \"a\" )", "1:14");
  expect_refused(add_gbnf, "root = \"a\"", "expected \"::=\"");
  expect_refused(add_gbnf, "root ::= \"\xff\"", "UTF-8");
  EXPECT_NE(refusal(add_gbnf, "root ::= <[12]>", Fault::unsupported).find("tokens"), std::string::npos);
}

TEST(Gbnf, RefusesLeftRecursionAndRulesWithoutEnd) {
  expect_refused(add_gbnf, "root ::= root \"a\" | \"b\"", "1:1: rule \"root\" may begin with itself");
  expect_refused(add_gbnf, "root ::= a\na ::= \"x\"? b\nb ::= a \"y\"", "a -> b -> a");
  expect_refused(add_gbnf, "root ::= a\na ::= root", "may begin with itself");
  expect_refused(add_gbnf, "root ::= \"x\" root", "needs itself");
  expect_refused(add_gbnf, "root ::= (\"x\"? root)*", "may begin with itself");
}

TEST(Gbnf, BombsEndInTime) {
  expect_refused(add_gbnf, "root ::= " + repeated("(", 60000) + "\"a\"" + repeated(")", 60000),
                 "1:210: groups nest deeper than 200");
  refusal(add_gbnf, "root ::= " + repeated("(", 60000));
  refusal(add_gbnf, "root ::= \"a\"" + repeated("*", 60000));
  std::string cycle = "root ::= r0\n";
  for (int i = 0; i < 5000; i++) cycle += fmt::format("r{} ::= r{}\n", i, (i + 1) % 5000);
  expect_refused(add_gbnf, cycle, "may begin with itself");
}

TEST(Gbnf, LargeCountsCostNothing) {
  const auto start = std::chrono::steady_clock::now();
  expect(add_gbnf, "root ::= [a-z]{3,1000000} \"!\"", {"abc!", "abcdefgh!"}, {"ab!", "abc"});
  expect(add_gbnf, "root ::= item{2,1000000}\nitem ::= \"(\" item* \")\"", {"()()", "(())()"}, {"()"});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(250));
}

TEST(Gbnf, ManyAlternativesCompileInTime) {
  std::string source = "root ::= \"word0\"";
  for (int i = 1; i < 20'000; i++) source += fmt::format(" | \"word{}\"", i);
  const auto start = std::chrono::steady_clock::now();
  expect(add_gbnf, source, {"word0", "word19999", "word777"}, {"word20000", "word"});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(1000));
}

TEST(Lark, RulesTerminalsAndOperators) {
  expect(add_lark,
         "start: \"a\" B [c] d~2 e~0..1 -> alias\n  | \"z\"i\nB: \"b\" | \"c\"..\"e\"\n?c: \"x\"+\n!d: \"y\"\n_e: "
         "\"q\"\ne: _e*\n",
         {"abyy", "adxxyyqq", "z", "Z"}, {"aby", "abyyy", "ab", "ayy"});
  expect(add_lark, "start: (\"a\" | \"b\"){1,3} // comment\n# another\n", {"a", "bab"}, {"", "abab"});
  expect(add_lark, "start: | \"a\"", {"", "a"}, {"b"});
}

TEST(Lark, RegularExpressionsWithFlags) {
  expect(add_lark, "start: /[a-c]+\\/x/ /./s /q w/x", {"ab/x\nqw"}, {"ab/x\nq w", "/x qw"});
  expect(add_lark, "start: /ab[c-e]{2}[^f]/i", {"ABcDg", "abEEG"}, {"abccf", "abccF", "abffg"});
  expect(add_lark, "start: /a{,2}\\-\\\"\\#[]x]/", {"aa-\"#]", "-\"#x"}, {"aaa-\"#]", "-\"#"});
}

TEST(Lark, IgnoredTextMayStandBetweenTerminals) {
  expect(add_lark,
         "%import common.INT\n%import common.WS_INLINE -> BLANK\n%ignore BLANK\n%ignore /;/\nstart: INT (\"+\" INT)*",
         {"1+2", " 1 +;; 2 ", "12"}, {"1 2", "1++2", " "});
}

TEST(Lark, CommonTerminals) {
  expect(add_lark,
         "%import common (ESCAPED_STRING, SIGNED_NUMBER, CNAME)\nstart: ESCAPED_STRING | SIGNED_NUMBER | CNAME",
         {R"("a\"b")", "-1.5e3", "+7", ".5", "_x1"}, {R"("a"b")", "1x", "-", R"("a\")"});
}

TEST(Lark, RefusesWithPlaceAndReason) {
  expect_refused(add_lark, "start: start \"a\" | \"b\"", "1:1: rule \"start\" may begin with itself");
  expect_refused(add_lark, "start: A\nA: B | \"x\"\nB: \"y\" A", "refers to itself");
  expect_refused(add_lark, "start: A\nA: b\nb: \"x\"", "2:4: a terminal may not refer to the rule \"b\"");
  expect_refused(add_lark, "start: foo", "1:8: \"foo\" is used and never defined");
  expect_refused(add_lark, "begin: \"a\"", "no rule \"start\"");
  expect_refused(add_lark, "start: \"a\"\nstart: \"b\"", "second time");
  expect_refused(add_lark, "start:", "has no body");
  expect_refused(add_lark, "start: \"a", "no closing quote");
  expect_refused(add_lark, "start: /a", "no closing slash");
  expect_refused(add_lark, "start: /a(/", "1:8");
  expect_refused(add_lark, "%import common.NOTHING\nstart: \"a\"", "1:16: \"common\" has no terminal");
  expect_refused(add_lark, "start: " + repeated("(", 60000), "nest deeper than 200");
  for (const char* source : {"start.2: \"a\"", "start: t{\"a\"}", "%declare X\nstart: X", "%import other.X\nstart: X",
                             "start: <end>", "%override start: \"a\"", "start: /a/m"})
    refusal(add_lark, source, Fault::unsupported);
}

TEST(Choice, ExactlyOneOfThem) {
  const std::string choices[] = {"yes", "no", "not sure", "yes"};
  Budget budget("choices", limits());
  Rules rules;
  const RuleId start = add_choice(rules, choices, budget);
  const auto grammar = Grammar::make(std::move(rules), start, bytes(), budget);
  for (const char* text : {"yes", "no", "not sure"}) EXPECT_TRUE(matches(grammar, text));
  for (const char* text : {"", "y", "nope", "yesno"}) EXPECT_FALSE(matches(grammar, text));
  Rules none;
  EXPECT_THROW(add_choice(none, {}, budget), Error);
}

TEST(Regex, TheWholeAnswerMatches) {
  expect(add_regex, "[a-z]{2,3}(-\\d+)?", {"ab", "abc-12"}, {"a", "abcd", "ab-"});
  expect(add_regex, "^a$", {"a"}, {"ba"});
}

}  // namespace
}  // namespace lancet
