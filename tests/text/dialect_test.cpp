// A dialect that a prompt defines: found in the prompt, and written so that its client reads what was meant. The client
// here is the published one's search as it is described, in the obvious, quadratic way.
#include "text/dialect.h"

#include <random>

#include <gtest/gtest.h>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "support/hash_model.h"
#include "text/fenced_reader.h"
#include "text/fenced_text.h"

namespace lancet::test {
namespace {

bool space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// The end of the expression's match at `at`, and the object in it; 0: it does not match there.
size_t match(const std::string& text, size_t at, std::string& object) {
  if (text.compare(at, 3, "```") != 0) return 0;
  size_t brace = at + 3;
  if (text.compare(brace, 4, "tool") == 0 || text.compare(brace, 4, "json") == 0) brace += 4;
  while (brace < text.size() && space(text[brace])) brace++;
  if (brace >= text.size() || text[brace] != '{') return 0;
  for (size_t close = brace + 1; close < text.size(); close++) {
    if (text[close] != '}') continue;
    size_t fence = close + 1;
    while (fence < text.size() && space(text[fence])) fence++;
    if (text.compare(fence, 3, "```") != 0) continue;
    object = text.substr(brace, close + 1 - brace);
    return fence + 3;
  }
  return 0;
}

/// What the client executes; nothing: it takes the text as the final answer.
std::optional<FencedCall> client(const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    std::string object;
    const size_t end = match(text, at, object);
    if (end > 0)
      if (auto call = read_fenced_call(object)) return call;
    at = end > 0 ? end : at + 1;
  }
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return std::nullopt;
  return read_fenced_call(text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin));
}

const Tokenizer& tokenizer() {
  static const Tokenizer made([] {
    Vocabulary vocabulary = byte_vocabulary(300);
    vocabulary.tokens[260] = {"[TOOL_CALLS]", Token::Kind::control};
    vocabulary.tokens[261] = {"[ARGS]", Token::Kind::control};
    return vocabulary;
  }());
  return made;
}

FencedReader reader() {
  return FencedReader(find_tool_syntax("[TOOL_CALLS] [ARGS]", tokenizer()), {"read_file", "write_file"});
}

struct Answer {
  std::string content, called;
  bool bridged = false;
  int quoted = 0;
};

/// `text` with \x01 and \x02 for the two control tokens, in pieces of `size` bytes.
Answer read(const std::string& text, size_t size) {
  FencedReader fenced = reader();
  AnswerEvents events;
  std::string piece;
  const auto flush = [&] {
    if (!piece.empty()) fenced.text(piece, events);
    piece.clear();
  };
  for (const char c : text) {
    if (c == '\x01' || c == '\x02') {
      flush();
      fenced.control(c == '\x01' ? 260 : 261, events);
      continue;
    }
    piece += c;
    if (piece.size() == size) flush();
  }
  flush();
  fenced.finish(false, events);
  Answer answer{.called = fenced.called(), .bridged = fenced.bridged(), .quoted = fenced.quoted_blocks()};
  for (const AnswerEvent& event : events) {
    EXPECT_EQ(event.kind, AnswerEvent::Kind::content);
    answer.content += event.text;
  }
  return answer;
}

TEST(FencedText, BackticksInsideOfACallDoNotEndIt) {
  const FencedCall call{"write_file", R"({"path":"a.md","content":"```json\n{}\n```\n}"})"};
  const auto found = client("I write.\n" + write_fenced_call(call));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name, "write_file");
  EXPECT_EQ(boost::json::parse(found->arguments), boost::json::parse(call.arguments));
}

TEST(FencedReader, QuotedBlocksAreNotExecuted) {
  for (const std::string text :
       {"The file is:\n```json\n{\"name\": \"my-package\"}\n```\n",
        "```\n{\"tool\": \"x\"}\n```\nand\n```json {\"name\": \"y\"}```", "{\"name\": \"somebody\", \"age\": 4}",
        "````json\n{\"name\": \"a\", \"name\": \"b\"}\n````", "```json\xc2\xa0{\"name\": \"a\"}\xe2\x80\x83```"}) {
    const Answer answer = read(text, 3);
    EXPECT_FALSE(client(answer.content)) << answer.content;
    EXPECT_GT(answer.quoted, 0);
    EXPECT_EQ(answer.called, "");
  }
}

TEST(FencedReader, TextThatIsNoCallStaysAsItIs) {
  for (const std::string text : {"plain", "```python\nprint({})\n```", "a `b` ``c`` ```", "```json\n{\"a\": 1}\n```",
                                 "", "  \n", "``` {not json} ```", "{\"answer\": 4}"})
    for (const size_t size : {1, 2, 100}) EXPECT_EQ(read(text, size).content, text);
}

TEST(FencedReader, EveryFormOfACallBecomesTheOneThatTheClientFinds) {
  for (const std::string text :
       {"```tool\n{\"name\": \"read_file\", \"params\": {\"path\": \"}```\"}}\n```",
        "I look.\n```tool\n{\"name\": \"read_file\", \"params\": {\"path\": \"}```\"}}\n```",
        "```json\n{ broken\n```tool\n{\"name\": \"read_file\", \"params\": {\"path\": \"}```\"}}\n```",
        "```json\n{\"a\": 1}\n```tool\n{\"name\": \"read_file\", \"params\": {\"path\": \"}```\"}}\n```",
        "like ```json {\"name\": \"x\"}``` or\n```tool\n{\"name\": \"read_file\", \"params\": {\"path\": "
        "\"}```\"}}\n``` done",
        "\x01read_file\x02{\"path\": \"}```\"}", "Well.\x01read_file\x02{\"path\": \"}```\"}",
        "<tool_call>\n{\"name\": \"read_file\", \"arguments\": {\"path\": \"}```\"}}\n</tool_call>",
        "{\"name\": \"read_file\", \"params\": {\"path\": \"}```\"}}",
        "```json\n{\"tool\": \"read_file\", \"parameters\": {\"path\": \"}```\"}}\n```"}) {
    SCOPED_TRACE(text);
    const Answer whole = read(text, 1000);
    EXPECT_EQ(whole.called, "read_file");
    const auto found = client(whole.content);
    ASSERT_TRUE(found) << whole.content;
    EXPECT_EQ(found->name, "read_file");
    EXPECT_EQ(found->arguments, R"({"path":"}```"})");
    for (size_t size = 1; size < 12; size++) EXPECT_EQ(read(text, size).content, whole.content);
  }
}

TEST(FencedReader, RandomAnswersAreExecutedOnlyWhereTheyCall) {
  const std::vector<std::string> parts = {"```",
                                          "`",
                                          "json",
                                          "tool",
                                          "\n",
                                          " ",
                                          "{",
                                          "}",
                                          "{\"name\": \"read_file\"}",
                                          "{\"name\":\"x\",\"params\":{\"a\":\"}```\"}}",
                                          "text",
                                          "\x01",
                                          "\x02",
                                          "read_file",
                                          "<tool_call>",
                                          "</tool_call>",
                                          "\"",
                                          "{}"};
  std::mt19937 random(7);
  int calls = 0, quoted = 0;
  for (int i = 0; i < 40'000; i++) {
    std::string text;
    for (uint32_t left = random() % 14 + 1; left > 0; left--) text += parts[random() % parts.size()];
    const Answer answer = read(text, random() % 5 + 1);
    const auto found = client(answer.content);
    ASSERT_EQ(found ? found->name : "", answer.called) << "answer: " << text << "\ncontent: " << answer.content;
    calls += !answer.called.empty();
    quoted += answer.quoted > 0;
  }
  EXPECT_GT(calls, 100);
  EXPECT_GT(quoted, 100);
}

constexpr std::string_view kPrompt = R"(You edit files.

Tools you have:
- read_file(path): what a file holds
- write_file(path, content): a new file
* `find(pattern, limit?: integer, deep=false)` - looks for text
- note(text, tags): remember (see read_file(path) for details)
You may say help(me) at any time, but that is no tool.

Call like this:
```tool
{"name": "tool_name", "params": {"key": "value"}}
```
Example:
```tool
{"name": "write_file", "params": {"path": "/tmp/a", "content": "b"}}
```
)";

TEST(Dialect, ToolsAreReadFromThePromptsList) {
  Budget budget("a test");
  const auto dialect = find_fenced_dialect(kPrompt, budget);
  ASSERT_TRUE(dialect);
  std::string shown;
  for (const DialectTool& tool : dialect->tools) shown += tool.name + " " + boost::json::serialize(tool.params) + "\n";
  EXPECT_EQ(
      shown,
      R"(read_file {"type":"object","properties":{"path":{"type":"string","minLength":1}},"additionalProperties":false,"required":["path"]}
write_file {"type":"object","properties":{"path":{"type":"string","minLength":1},"content":{"type":"string","minLength":1}},"additionalProperties":false,"required":["path","content"]}
find {"type":"object","properties":{"pattern":{"type":"string"},"limit":{"type":"integer"},"deep":{"type":"string"}},"additionalProperties":false,"required":["pattern"]}
note {"type":"object","properties":{"text":{"type":"string"},"tags":{"type":"array","items":{"type":"string"}}},"additionalProperties":false,"required":["text","tags"]}
)");
}

TEST(Dialect, ToolsAreReadFromExamplesIfThereIsNoList) {
  Budget budget("a test");
  const auto dialect = find_fenced_dialect(
      "Use\n```tool\n{\"name\": \"add\", \"params\": {\"a\": 1, \"b\": 2.5}}\n```\nor\n```tool\n{\"name\": \"add\", "
      "\"params\": {\"a\": 1}}\n```",
      budget);
  ASSERT_TRUE(dialect);
  ASSERT_EQ(dialect->tools.size(), 1);
  EXPECT_EQ(
      boost::json::serialize(dialect->tools[0].params),
      R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"number"}},"additionalProperties":false,"required":["a"]})");
}

TEST(Dialect, IsNotInferredWithoutAnExample) {
  Budget budget("a test");
  for (const char* prompt :
       {"", "- read_file(path): reads", "```tool\nnot json\n```", "```json\n{\"name\": \"a\", \"params\": {}}\n```",
        "```tool\n{\"name\": \"tool_name\", \"params\": {}}\n```"})
    EXPECT_FALSE(find_fenced_dialect(prompt, budget)) << prompt;
}

TEST(Dialect, ScalpelsOwnToolsNeedContent) {
  const FencedDialect dialect = scalpel_dialect();
  ASSERT_EQ(dialect.tools.size(), 4);
  EXPECT_EQ(dialect.tools[1].params.at("properties").at("content").at("minLength"), 1);
}

}  // namespace
}  // namespace lancet::test
