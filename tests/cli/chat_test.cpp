// The parts of `lancet chat` that need neither a terminal nor a model: lines, commands, saved conversations, the event
// stream of a server, and what may reach the terminal.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/utf8.h"
#include "cli/chat_lines.h"
#include "cli/chat_transcript.h"
#include "cli/line_history.h"
#include "cli/sse_reader.h"
#include "cli/terminal_text.h"

namespace lancet {
namespace {

/// What a person has said after these lines; "…" for a message that is not complete.
std::vector<std::string> said(std::initializer_list<std::string_view> lines) {
  LineAssembly assembly;
  std::vector<std::string> out;
  for (const std::string_view line : lines)
    if (auto message = assembly.add(line)) out.push_back(*message);
  if (assembly.open()) out.push_back("…" + assembly.finish().value());
  return out;
}

using Messages = std::vector<std::string>;

TEST(ChatLines, ALineIsAMessage) { EXPECT_EQ(said({"a", "", "b c"}), (Messages{"a", "", "b c"})); }

TEST(ChatLines, ABackslashGoesOn) {
  EXPECT_EQ(said({"a\\", "b\\", "c", "d"}), (Messages{"a\nb\nc", "d"}));
  EXPECT_EQ(said({"a\\"}), (Messages{"…a\n"}));
}

TEST(ChatLines, AnOpenFenceGoesOn) {
  EXPECT_EQ(said({"look:", "```c", "int a\\", "", "  ```", "d"}), (Messages{"look:", "```c\nint a\\\n\n  ```", "d"}));
  EXPECT_EQ(said({"```\nx\n```"}), (Messages{"```\nx\n```"})) << "pasted in one piece";
  EXPECT_EQ(said({"```\nx", "```"}), (Messages{"```\nx\n```"}));
}

TEST(ChatLines, QuotedBlocksKeepEverything) {
  EXPECT_EQ(said({"\"\"\"", "a\\", "/quit", "```", "\"\"\"", "b"}), (Messages{"a\\\n/quit\n```", "b"}));
  EXPECT_EQ(said({"\"\"\"a", "b\"\"\""}), (Messages{"a\nb"}));
  EXPECT_EQ(said({"\"\"\"a\"\"\""}), (Messages{"a"}));
}

TEST(ChatLines, TooLongAMessageIsRefusedAndForgotten) {
  LineAssembly assembly;
  const std::string half(kMessageBytes / 2, 'x');
  EXPECT_FALSE(assembly.add(half + "\\"));
  EXPECT_THROW(assembly.add(half + "\\"), Error);
  EXPECT_FALSE(assembly.open());
  EXPECT_EQ(assembly.add("a"), "a");
}

TEST(ChatLines, CommandsHaveANameAndAnArgument) {
  EXPECT_FALSE(chat_command("help"));
  EXPECT_FALSE(chat_command("//help"));
  EXPECT_FALSE(chat_command(" /help"));
  const auto command = chat_command("/system  You are\ta clerk. ");
  ASSERT_TRUE(command);
  EXPECT_EQ(command->name, "system");
  EXPECT_EQ(command->argument, "You are\ta clerk.");
  EXPECT_EQ(chat_command("/quit")->argument, "");
  EXPECT_EQ(chat_command("/")->name, "");
  EXPECT_EQ(chat_message("//etc/passwd"), "/etc/passwd");
  EXPECT_EQ(chat_message("a//b"), "a//b");
}

TEST(Transcript, SurvivesTheRoundTrip) {
  const std::vector<ChatTurn> turns = {{"system", "Be \"short\"."}, {"user", "a\nb\x01"}, {"assistant", "é"}};
  const std::vector<ChatTurn> again = read_transcript(transcript_json(turns), "t");
  ASSERT_EQ(again.size(), turns.size());
  for (size_t i = 0; i < turns.size(); i++) {
    EXPECT_EQ(again[i].role, turns[i].role);
    EXPECT_EQ(again[i].text, turns[i].text);
  }
  EXPECT_TRUE(read_transcript(transcript_json({}), "t").empty());
}

TEST(Transcript, AnythingElseIsRefusedByPlace) {
  const auto complaint = [](std::string_view text) {
    try {
      read_transcript(text, "talk.json");
    } catch (const Error& error) {
      return error.message();
    }
    return std::string("nothing");
  };
  for (const auto& [text, place] : {std::pair(R"([])", "the document"),
                                    {R"({"messages": [], "model": "x"})", "the document"},
                                    {R"({"messages": {}})", "messages"},
                                    {R"({"messages": [{"role": "user"}]})", "messages[0].content"},
                                    {R"({"messages": [{"role": "user", "content": ["a"]}]})", "messages[0].content"},
                                    {R"({"messages": [{"role": "tool", "content": "a"}]})", "messages[0].role"},
                                    {R"({"messages": [{"role": "user", "content": "a", "name": "b"}]})", "messages[0]"},
                                    {R"({"messages": [{"role": "user", "content": "a"},
                                                      {"role": "system", "content": "b"}]})",
                                     "messages[1].role"},
                                    {R"({"messages": )", "at byte 13"}})
    EXPECT_NE(complaint(text).find(place), std::string::npos) << text << ": " << complaint(text);
  std::vector<ChatTurn> many(kTranscriptTurns + 1, {"user", ""});
  EXPECT_NE(complaint(transcript_json(many)).find("at most 10000"), std::string::npos);
  many.pop_back();
  EXPECT_EQ(complaint(transcript_json(many)), "nothing");
}

class Folder : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() / ("lancet-chat-" + std::to_string(::getpid()));
    std::filesystem::create_directories(path_);
  }
  void TearDown() override { std::filesystem::remove_all(path_); }
  static std::string bytes(const std::filesystem::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static int mode(const std::filesystem::path& path) {
    return static_cast<int>(std::filesystem::status(path).permissions());
  }
  std::filesystem::path path_;
};

using TranscriptFile = Folder;

TEST_F(TranscriptFile, IsNeverReplacedWithoutBeingAsked) {
  const std::filesystem::path file = path_ / "talk.json";
  const std::vector<ChatTurn> turns = {{"user", "a"}};
  save_transcript(file, turns, false);
  EXPECT_EQ(bytes(file), transcript_json(turns));
  EXPECT_EQ(mode(file), 0600);
  EXPECT_THROW(save_transcript(file, {}, false), Error);
  EXPECT_EQ(bytes(file), transcript_json(turns));
  save_transcript(file, {}, true);
  EXPECT_EQ(bytes(file), transcript_json({}));
  EXPECT_THROW(save_transcript(path_ / "no" / "such" / "folder", {}, false), Error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(path_), {}), 1) << "nothing unfinished is left";
}

using History = Folder;

TEST_F(History, IsKeptForTheUserAlone) {
  const std::filesystem::path file = path_ / "state" / "lancet" / "history";
  EXPECT_TRUE(load_history(file).empty());
  append_history(file, "one");
  append_history(file, "two\nlines \"quoted\"");
  append_history(file, std::string(kHistoryLineBytes, 'x'));
  EXPECT_EQ(load_history(file), (Messages{"one", "two\nlines \"quoted\""}));
  EXPECT_EQ(mode(file), 0600);
  EXPECT_EQ(mode(file.parent_path()), 0700);
}

TEST_F(History, DamagedLinesAreLeftOut) {
  EXPECT_EQ(read_history("\"a\"\nnot json\n{}\n\"b\"\n\"unfinished"), (Messages{"a", "b"}));
}

TEST_F(History, DoesNotGrowForever) {
  const std::filesystem::path file = path_ / "history";
  for (int i = 0; i < 1300; i++) append_history(file, std::to_string(i) + std::string(1000, 'x'));
  EXPECT_GT(std::filesystem::file_size(file), 1u << 20);
  const Messages entries = load_history(file);
  ASSERT_EQ(entries.size(), kHistoryLines);
  EXPECT_TRUE(entries.back().starts_with("1299x"));
  EXPECT_LT(std::filesystem::file_size(file), 1u << 20);
  EXPECT_EQ(load_history(file).back(), entries.back());
}

TEST(TerminalText, NothingReachesTheTerminalRaw) {
  EXPECT_EQ(terminal_text("a\tb\r\n\xc3\xa9"), "a\tb\n\xc3\xa9");
  EXPECT_EQ(terminal_text("\033[31mred\007"), "\u241b[31mred\u2407");
  EXPECT_EQ(terminal_text("\x7f"), "\u2421");
  EXPECT_EQ(terminal_text("\u009b31m"), "<U+009B>31m");
  EXPECT_EQ(terminal_text("\u202egpj.exe"), "<U+202E>gpj.exe");
  EXPECT_EQ(terminal_text(std::string_view("\x9b\xff\0", 3)), "\ufffd\ufffd\u2400");
  std::mt19937 random(7);
  for (int i = 0; i < 20000; i++) {
    std::string text;
    for (int j = 0; j < 8; j++) text += static_cast<char>(random());
    const std::string shown = terminal_text(text);
    EXPECT_TRUE(utf8_valid(shown));
    for (std::string_view rest = shown; !rest.empty(); rest.remove_prefix(utf8_next(rest).length)) {
      const char32_t code = utf8_next(rest).code_point;
      EXPECT_TRUE(code == '\n' || code == '\t' || (code >= 0x20 && code < 0x7f) || code > 0x9f);
    }
  }
}

TEST(Sse, EventsAreTheSameHoweverTheBytesAreCut) {
  const std::string stream =
      "\xef\xbb\xbf"
      "data: one\n\n: ping\r\n\r\nevent: x\ndata:two\r\ndata: \rdata\r\rid: 3\n\ndata: {\"a\": 1}\n\ndata: unfinished";
  const Messages wanted = {"one", "two\n\n", "{\"a\": 1}"};
  for (size_t piece = 1; piece <= stream.size(); piece++) {
    SseReader reader;
    Messages events;
    for (size_t at = 0; at < stream.size(); at += piece)
      for (const std::string& event : reader.push(std::string_view(stream).substr(at, piece))) events.push_back(event);
    EXPECT_EQ(events, wanted) << piece;
  }
}

TEST(Sse, AnEndlessEventIsRefused) {
  SseReader reader;
  const std::string line = "data: " + std::string(1000, 'x') + "\n";
  EXPECT_THROW(
      {
        for (int i = 0; i < 1100; i++) reader.push(line);
      },
      Error);
}

TEST(Sse, ChunksSayTextUsageAndErrors) {
  EXPECT_EQ(read_chat_chunk(R"({"choices":[{"delta":{"role":"assistant","content":""}}]})").text, "");
  EXPECT_EQ(read_chat_chunk(R"({"choices":[{"delta":{"content":"a"},"finish_reason":null}],"usage":null})").text, "a");
  EXPECT_EQ(read_chat_chunk(R"({"choices":[{"delta":{},"finish_reason":"length"}]})").finish_reason, "length");
  const ChatChunk last = read_chat_chunk(R"({"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,
    "prompt_tokens_details":{"cached_tokens":5}}})");
  ASSERT_TRUE(last.usage);
  EXPECT_EQ(last.usage->prompt, 7);
  EXPECT_EQ(last.usage->cached, 5);
  EXPECT_EQ(last.usage->completion, 3);
  try {
    read_chat_chunk(R"({"error":{"message":"draining\u001b[2J"}})");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("draining"), std::string::npos);
    EXPECT_EQ(error.message().find('\033'), std::string::npos);
  }
  for (const char* broken : {"", "[1]", "{", "{\"a\":1}x"}) EXPECT_THROW(read_chat_chunk(broken), Error) << broken;
  EXPECT_EQ(error_message_of("<html>"), "\"<html>\"");
}

}  // namespace
}  // namespace lancet
