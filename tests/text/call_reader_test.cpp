// Calls in answers. A program here is text with control tokens as «name»; it is read whole and cut in every way.
#include "text/call_reader.h"

#include <gtest/gtest.h>

#include "support/hash_model.h"

namespace lancet::test {
namespace {

/// Bytes, and the control tokens of Mistral's and Hermes' forms.
const Tokenizer& call_tokenizer() {
  static const Tokenizer tokenizer = [] {
    Vocabulary vocabulary = byte_vocabulary(300);
    TokenId id = 260;
    for (const char* name : {"[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]"})
      vocabulary.tokens[static_cast<size_t>(id++)] = {name, Token::Kind::control};
    return Tokenizer(std::move(vocabulary));
  }();
  return tokenizer;
}

const Tokenizer& plain_tokenizer() {
  static const Tokenizer tokenizer(byte_vocabulary(300));
  return tokenizer;
}

/// Text, or a control token.
struct Piece {
  std::string text;
  TokenId control = -1;
};

/// "a«[ARGS]»b" -> pieces.
std::vector<Piece> pieces_of(std::string_view program) {
  std::vector<Piece> pieces;
  while (!program.empty()) {
    const size_t open = program.find("«");
    if (open > 0) pieces.push_back({std::string(program.substr(0, open))});
    if (open == std::string_view::npos) break;
    const size_t close = program.find("»");
    pieces.push_back({"", *call_tokenizer().control(program.substr(open + 2, close - open - 2))});
    program.remove_prefix(close + 2);
  }
  return pieces;
}

struct Reading {
  AnswerEvents events;
  std::vector<std::string> warnings;
};

/// Neighbouring texts joined, as a client joins the pieces of a stream.
void join(AnswerEvents& into, const AnswerEvents& events) {
  for (const AnswerEvent& event : events) add_event(into, event.kind, event.text);
}

/// Reads with the text cut before every position that is in `cuts`.
Reading read(const ToolSyntax& syntax, std::string_view program, bool cut, auto cuts) {
  CallReader reader(syntax);
  Reading reading;
  size_t at = 0;
  for (const Piece& piece : pieces_of(program)) {
    AnswerEvents events;
    if (piece.control >= 0) {
      reader.control(piece.control, events);
      join(reading.events, events);
      continue;
    }
    size_t begin = 0;
    for (size_t end = 1; end <= piece.text.size(); end++) {
      at++;
      if (end < piece.text.size() && !cuts(at)) continue;
      events.clear();
      reader.text(std::string_view(piece.text).substr(begin, end - begin), events);
      join(reading.events, events);
      begin = end;
    }
  }
  AnswerEvents events;
  reader.finish(cut, events);
  join(reading.events, events);
  for (const AnswerWarning& warning : reader.warnings()) reading.warnings.push_back(warning.code);
  return reading;
}

/// "text|f({...})|text": calls that were cut end in "..." instead of ")"; there is no such event, so all end in ")".
std::string shown(const AnswerEvents& events) {
  std::string out;
  for (const AnswerEvent& event : events) {
    switch (event.kind) {
      case AnswerEvent::Kind::content: out += "|" + event.text; break;
      case AnswerEvent::Kind::call: out += "|" + event.text + "("; break;
      case AnswerEvent::Kind::arguments: out += event.text; break;
      case AnswerEvent::Kind::call_end: out += ")"; break;
    }
  }
  return out;
}

struct Case {
  const char* chat_template;
  const Tokenizer& (*tokenizer)();
  const char* program;
  const char* wanted;
  bool cut = false;
  std::vector<std::string> warnings = {};
};

const char* kMistral = "[TOOL_CALLS] [ARGS]";
const char* kList = "[TOOL_CALLS]";
const char* kHermes = "<tool_call>";
const char* kLlama = "<|python_tag|>";

std::vector<Case> cases() {
  return {
      {kMistral, call_tokenizer, "just text", "|just text"},
      {kMistral, call_tokenizer, "the marker [TOOL_CALLS]f[ARGS]{} is text",
       "|the marker [TOOL_CALLS]f[ARGS]{} is text"},
      {kMistral, call_tokenizer, "«[TOOL_CALLS]»f«[ARGS]»{\"a\": \"}\\\"]\"}", "|f({\"a\": \"}\\\"]\"})"},
      {kMistral, call_tokenizer, "Let me.«[TOOL_CALLS]» f «[ARGS]» {}«[TOOL_CALLS]»g«[ARGS]»{\"b\": [{}]}",
       "|Let me.|f({})|g({\"b\": [{}]})"},
      {kMistral, call_tokenizer, " \n«[TOOL_CALLS]»f«[ARGS]»{} \n", "|f({})"},
      {kMistral, call_tokenizer, " \n", "| \n"},
      {kMistral, call_tokenizer, "«[TOOL_CALLS]»f«[CALL_ID]»abcdefghi«[ARGS]»{}", "|f({})"},
      {kMistral, call_tokenizer, "«[TOOL_CALLS]»f{\"a\":1}", "|f({\"a\":1})"},
      {kMistral, call_tokenizer, "«[TOOL_CALLS]»[{\"name\": \"f\", \"arguments\": {\"a\": 1}}, {\"name\": \"g\"}]",
       "|f({\"a\": 1})|g({})"},
      {kMistral, call_tokenizer, "«[TOOL_CALLS]»f«[ARGS]»{\"path\": \"/etc", "|f({\"path\": \"/etc)", true},
      {kMistral,
       call_tokenizer,
       "«[TOOL_CALLS]»f«[ARGS]»{\"path\": \"/etc",
       "|f({\"path\": \"/etc)",
       false,
       {"tool_arguments_invalid"}},
      {kMistral,
       call_tokenizer,
       "a«[TOOL_CALLS]»no such name«[ARGS]»{}",
       "|a[TOOL_CALLS]no such name{}",
       false,
       {"tool_call_unparsed"}},
      {kMistral, call_tokenizer, "«[TOOL_CALLS]»f«[ARGS]»12", "|[TOOL_CALLS]f[ARGS]12", false, {"tool_call_unparsed"}},
      {kMistral, call_tokenizer, "«[TOOL_CALLS]»f«[ARGS]»{]}x", "|f({])|}x", false, {"tool_arguments_invalid"}},
      {kMistral, call_tokenizer, "«[TOOL_CALLS]»f", "|[TOOL_CALLS]f", true, {"tool_call_unparsed"}},
      {kMistral,
       call_tokenizer,
       "«[TOOL_CALLS]»«[TOOL_CALLS]»f«[ARGS]»{}",
       "|[TOOL_CALLS]|f({})",
       false,
       {"tool_call_unparsed"}},
      {kMistral, call_tokenizer, "«[ARGS]»a«[THINK]»b«[/THINK]»", "|ab"},
      {kMistral, plain_tokenizer, "a [TOOL[TOOL_CALLS]f[ARGS]{}", "|a [TOOL|f({})"},
      {kMistral, plain_tokenizer, "[TOOL_CALLS]f[CALL_ID]123456789[ARGS]{}[TOOL_", "|f({})|[TOOL_"},
      {kList, call_tokenizer, "«[TOOL_CALLS]»[{\"name\": \"f\", \"arguments\": {\"a\": 1}, \"id\": \"123456789\"}]",
       "|f({\"a\": 1})"},
      {kList, call_tokenizer, "«[TOOL_CALLS]»[{\"arguments\": {\"a\": 1}, \"name\": \"f\"}]", "|f({\"a\": 1})"},
      {kList, call_tokenizer, "«[TOOL_CALLS]»[{\"name\": \"f\", \"arguments\": {\"a\": \"b", "|f({\"a\": \"b)", true},
      {kList,
       call_tokenizer,
       "«[TOOL_CALLS]»[{\"name\": 1}]",
       "|[TOOL_CALLS][{\"name\": 1}]",
       false,
       {"tool_call_unparsed"}},
      {kList, call_tokenizer, "«[TOOL_CALLS]»[{\"name\": \"f\"}, ", "|f({})", true},
      {kHermes, plain_tokenizer, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": {}}}\n</tool_call>",
       "|f({\"a\": {}})"},
      {kHermes, plain_tokenizer,
       "Yes.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", "
       "\"arguments\": {}}\n</tool_call>\n",
       "|Yes.\n|f({})|g({})"},
      {kHermes, plain_tokenizer, "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>",
       "|f({\"a\": 1})"},
      {kHermes, plain_tokenizer, "<tool_call>{\"name\": \"f\", \"arguments\": null}", "|f({})"},
      {kHermes, plain_tokenizer, "say <tool_call> to me", "|say <tool_call> to me", false, {"tool_call_unparsed"}},
      {kHermes, plain_tokenizer, "a < b and <tool", "|a < b and <tool"},
      {kHermes,
       plain_tokenizer,
       "<tool_call>{\"name\": \"f\", \"name\": \"g\"}",
       "|<tool_call>{\"name\": \"f\", \"name\": \"g\"}",
       false,
       {"tool_call_unparsed"}},
      {kHermes,
       plain_tokenizer,
       "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}, \"x\": 1]",
       "|f({\"a\": 1})",
       false,
       {"tool_arguments_invalid"}},
      {kLlama, plain_tokenizer, "{\"name\": \"f\", \"parameters\": {\"a\": 1}}", "|f({\"a\": 1})"},
      {kLlama, plain_tokenizer,
       "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {}}", "|f({})|g({})"},
      {kLlama, plain_tokenizer, "A set {1, 2}", "|A set {1, 2}"},
      {kLlama, plain_tokenizer, "{\"answer\": 4}", "|{\"answer\": 4}", false, {"tool_call_unparsed"}},
  };
}

TEST(CallReader, ReadsWhatEachFormWrites) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.program);
    const ToolSyntax syntax = find_tool_syntax(c.chat_template, c.tokenizer());
    const Reading whole = read(syntax, c.program, c.cut, [](size_t) { return false; });
    EXPECT_EQ(shown(whole.events), c.wanted);
    EXPECT_EQ(whole.warnings, c.warnings);
  }
}

TEST(CallReader, SaysTheSameHoweverTheTextIsCut) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.program);
    const ToolSyntax syntax = find_tool_syntax(c.chat_template, c.tokenizer());
    const Reading whole = read(syntax, c.program, c.cut, [](size_t) { return false; });
    EXPECT_EQ(read(syntax, c.program, c.cut, [](size_t) { return true; }).events, whole.events);
    const size_t size = std::string_view(c.program).size();
    for (size_t first = 1; first < size; first++)
      for (size_t second = first; second < size; second++)
        ASSERT_EQ(read(syntax, c.program, c.cut, [&](size_t at) { return at == first || at == second; }).events,
                  whole.events)
            << first << " " << second;
  }
}

TEST(CallReader, ArgumentsArePassedOnAsTheyCome) {
  CallReader reader(find_tool_syntax(kHermes, plain_tokenizer()));
  AnswerEvents events;
  reader.text("<tool_call>{\"name\": \"f\", \"arguments\": {\"text\": \"long", events);
  EXPECT_EQ(shown(events), "|f({\"text\": \"long");
}

TEST(ToolSyntax, IsChosenFromTemplateAndVocabulary) {
  EXPECT_EQ(find_tool_syntax(kMistral, call_tokenizer()).form, CallForm::mistral);
  EXPECT_EQ(find_tool_syntax(kMistral, call_tokenizer()).controls(), (std::vector<TokenId>{260, 261, 262}));
  EXPECT_EQ(find_tool_syntax(kMistral, call_tokenizer()).thought, (std::vector<TokenId>{263, 264}));
  EXPECT_EQ(find_tool_syntax(kList, call_tokenizer()).form, CallForm::mistral_list);
  EXPECT_EQ(find_tool_syntax(kLlama, plain_tokenizer()).form, CallForm::llama);
  const ToolSyntax unknown = find_tool_syntax("{{ messages }}", plain_tokenizer());
  EXPECT_EQ(unknown.form, CallForm::hermes);
  EXPECT_FALSE(unknown.known);
}

}  // namespace
}  // namespace lancet::test
