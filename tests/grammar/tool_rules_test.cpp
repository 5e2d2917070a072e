// What an answer with calls may be, in each form: whole answers that must be taken and answers that must not, byte by
// byte and control token by control token.
#include "grammar/tool_rules.h"

#include <gtest/gtest.h>

#include "grammar/grammar.h"
#include "support/hash_model.h"

namespace lancet::test {
namespace {

constexpr TokenId kBegin = 260, kArguments = 261;

Tokenizer tokenizer(bool control) {
  Vocabulary vocabulary = byte_vocabulary(300);
  if (control) {
    vocabulary.tokens[kBegin] = {"[TOOL_CALLS]", Token::Kind::control};
    vocabulary.tokens[kArguments] = {"[ARGS]", Token::Kind::control};
  }
  return Tokenizer(std::move(vocabulary));
}

/// Two functions: f takes {} and g takes {"a": 1}.
class Answers {
 public:
  Answers(const char* chat_template, bool control, bool required, bool parallel, bool fenced = false)
      : tokenizer_(tokenizer(control)) {
    Rules rules;
    ToolUse use{.required = required, .parallel = parallel};
    use.tools = {{"f", rules.literal("{}")}, {"g", rules.literal("{\"a\": 1}")}};
    const ToolSyntax syntax = find_tool_syntax(chat_template, tokenizer_);
    const RuleId start = fenced ? add_fenced_answer(rules, syntax, use) : add_tool_answer(rules, syntax, use);
    grammar_ = Grammar::make(std::move(rules), start, std::make_shared<TokenTrie>(tokenizer_), budget_);
  }

  /// \x01 and \x02 stand for the two control tokens.
  bool takes(std::string_view answer) {
    GrammarState state(grammar_);
    for (const char c : answer) {
      const bool control = c == '\x01' || c == '\x02';
      if (control ? !state.accept(c == '\x01' ? kBegin : kArguments, budget_) : !state.accept_bytes({&c, 1}, budget_))
        return false;
    }
    return state.may_end();
  }
  /// How far a prefix of this answer gets.
  bool begins(std::string_view prefix) {
    GrammarState state(grammar_);
    return state.accept_bytes(prefix, budget_);
  }

 private:
  Budget budget_{"a test"};
  Tokenizer tokenizer_;
  std::shared_ptr<Grammar> grammar_;
};

TEST(ToolRules, Mistral) {
  Answers answers("[TOOL_CALLS] [ARGS]", true, false, true);
  for (const char* good : {"", "prose", "a [TOOL_CALLS]f[ARGS] in text",
                           "\x01"
                           "f\x02{}",
                           "Let me.\x01g\x02{\"a\": 1}\x01"
                           "f\x02{}"})
    EXPECT_TRUE(answers.takes(good)) << good;
  for (const char* bad : {"\x01",
                          "\x01"
                          "f",
                          "\x01"
                          "f{}",
                          "\x01"
                          "f\x02",
                          "\x01h\x02{}",
                          "\x01"
                          "f\x02{\"a\": 1}",
                          "\x01"
                          "f\x02{}text",
                          "\x02"})
    EXPECT_FALSE(answers.takes(bad)) << bad;
}

TEST(ToolRules, MistralWithIds) {
  Answers answers("[TOOL_CALLS] [CALL_ID] [ARGS]", false, true, true);
  EXPECT_TRUE(answers.takes("[TOOL_CALLS]f[ARGS]{}"));
  EXPECT_TRUE(answers.takes("[TOOL_CALLS]f[CALL_ID]abcDEF123[ARGS]{}"));
  EXPECT_FALSE(answers.takes("[TOOL_CALLS]f[CALL_ID]abc[ARGS]{}"));
}

TEST(ToolRules, RequiredAndSingle) {
  Answers answers("[TOOL_CALLS] [ARGS]", true, true, false);
  EXPECT_TRUE(
      answers.takes("\x01"
                    "f\x02{}"));
  for (const char* bad : {"", "prose",
                          " \x01"
                          "f\x02{}",
                          "\x01"
                          "f\x02{}\x01"
                          "f\x02{}"})
    EXPECT_FALSE(answers.takes(bad)) << bad;
}

TEST(ToolRules, MarkersThatAreText) {
  Answers answers("[TOOL_CALLS] [ARGS]", false, false, true);
  EXPECT_TRUE(answers.takes("a [TOOL_CALL] [TOOL_CALLS]f[ARGS]{}"));
  EXPECT_TRUE(answers.takes("[TOOL_"));
  EXPECT_FALSE(answers.takes("a [TOOL_CALLS] b"));
  EXPECT_FALSE(answers.begins("a [TOOL_CALLS]x"));
}

TEST(ToolRules, MistralList) {
  Answers answers("[TOOL_CALLS]", true, false, true);
  for (const char* good : {"x", "\x01[{\"name\": \"f\", \"arguments\": {}}]",
                           "\x01[{\"name\": \"f\", \"arguments\": {}, \"id\": \"abcDEF123\"}, {\"name\": \"g\", "
                           "\"arguments\": {\"a\": 1}}]"})
    EXPECT_TRUE(answers.takes(good)) << good;
  for (const char* bad :
       {"\x01[]", "\x01[{\"name\": \"g\", \"arguments\": {}}]", "\x01[{\"name\": \"f\", \"arguments\": {}}"})
    EXPECT_FALSE(answers.takes(bad)) << bad;
}

TEST(ToolRules, Hermes) {
  Answers answers("<tool_call>", false, false, true);
  for (const char* good : {"a < b", "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>",
                           "Yes.\n<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>\n<tool_call>\n{\"name\": "
                           "\"g\", \"arguments\": {\"a\": 1}}\n</tool_call>"})
    EXPECT_TRUE(answers.takes(good)) << good;
  for (const char* bad : {"<tool_call>", "say <tool_call> please", "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}"})
    EXPECT_FALSE(answers.takes(bad)) << bad;
}

TEST(ToolRules, Llama) {
  Answers answers("<|python_tag|>", false, false, true);
  for (const char* good :
       {"a {", "{\"name\": \"f\", \"parameters\": {}}", "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}",
        "{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {\"a\": 1}}",
        "Well.<|python_tag|>{\"name\": \"f\", \"parameters\": {}}"})
    EXPECT_TRUE(answers.takes(good)) << good;
  for (const char* bad : {"{", " {}", "{\"answer\": 1}", "<|python_tag|>print()", "<|python_tag|>"})
    EXPECT_FALSE(answers.takes(bad)) << bad;
}

TEST(ToolRules, Fenced) {
  Answers answers("[TOOL_CALLS] [ARGS]", true, false, false, true);
  for (const char* good : {"done", "```json\n{\"name\": 1}\n```", "```tool\n{\"name\": \"f\", \"params\": {}}\n```",
                           "I look.\n```tool\n{\"name\": \"g\", \"params\": {\"a\": 1}}\n```",
                           "\x01"
                           "f\x02{}",
                           "x\x01g\x02{\"a\": 1}", "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>",
                           "{\"name\": \"f\", \"params\": {}}"})
    EXPECT_TRUE(answers.takes(good)) << good;
  for (const char* bad :
       {"```tool", "```tool\n", "```tool\n{\"name\": \"f\", \"params\": {}}", "```tool_call",
        "```tool\n{\"name\": \"f\", \"params\": {}}\n``` and more", "{\"name\": \"h\"",
        "```tool\n{\"name\": \"f\", \"params\": {}}\n```\n```tool\n{\"name\": \"f\", \"params\": {}}\n```"})
    EXPECT_FALSE(answers.takes(bad)) << bad;
}

}  // namespace
}  // namespace lancet::test
