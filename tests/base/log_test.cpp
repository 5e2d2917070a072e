// The log's promises: one line an event, nothing untrusted in it, and no waiting for a reader.
#include "base/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <thread>
#include <vector>

#include <boost/json/parse.hpp>

namespace lancet {
namespace {

const std::string kNasty =
    "a\r\nb\x1b[2J\x7f\xc2\x9b"
    "31m\xff\xe2\x82 \"q\\\u00e9";

TEST(Log, TextLinesCannotBeForged) {
  const LogField fields[] = {{"reason", kNasty}, {"status", int64_t{200}}, {"ms", 1.5}};
  const std::string line = log_line_text(LogFormat::text, LogLevel::info, "T", kNasty, fields);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(line.find('\x1b'), line.npos);
  EXPECT_EQ(line.find("\xc2\x9b"), line.npos);
  EXPECT_EQ(line.find('\xff'), line.npos);
  EXPECT_NE(line.find(" status=200 ms=1.500\n"), line.npos) << line;
  EXPECT_TRUE(line.starts_with("T info a\\x0d\\x0ab\\x1b[2J\\x7f\\xc2\\x9b")) << line;
  const LogField plain[] = {{"route", "/health"}, {"reason", ""}};
  EXPECT_EQ(log_line_text(LogFormat::text, LogLevel::error, "T", "m", plain), "T error m route=/health reason=\"\"\n");
}

TEST(Log, JsonLinesAreOneValidObject) {
  const LogField fields[] = {{"reason", kNasty}, {"status", int64_t{200}}, {"ms", 1.5}};
  const std::string line = log_line_text(LogFormat::json, LogLevel::warning, "T", kNasty, fields);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  for (const char c : line.substr(0, line.size() - 1)) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
  const auto object = boost::json::parse(line).as_object();
  EXPECT_EQ(object.at("level"), "warning");
  EXPECT_EQ(object.at("message"),
            "a\r\nb\x1b[2J\x7f\xc2\x9b"
            "31m\xef\xbf\xbd\xef\xbf\xbd \"q\\\u00e9");
  EXPECT_EQ(object.at("reason"), object.at("message"));
  EXPECT_EQ(object.at("status"), 200);
}

TEST(Log, LongTextsAreCutAndTheLineStaysWhole) {
  for (const std::string& text : {std::string(100'000, 'x'), std::string(100'000, '\n'), std::string(100'000, '"')}) {
    for (const LogFormat format : {LogFormat::text, LogFormat::json}) {
      const LogField fields[] = {{"a", text}, {"b", text}, {"n", int64_t{1}}};
      const std::string line = log_line_text(format, LogLevel::info, "2026-11-24T10:51:00.123Z", text, fields);
      EXPECT_LE(line.size(), kLogLineBytes);
      EXPECT_TRUE(line.ends_with("\n"));
      if (format == LogFormat::json) {
        EXPECT_EQ(boost::json::parse(line).at("n"), 1);
      }
    }
  }
}

/// Stderr is a pipe for as long as this lives.
class StderrPipe {
 public:
  StderrPipe() {
    std::signal(SIGPIPE, SIG_IGN);
    EXPECT_EQ(::pipe(ends_), 0);
    saved_ = ::dup(STDERR_FILENO);
    ::dup2(ends_[1], STDERR_FILENO);
  }
  ~StderrPipe() {
    ::dup2(saved_, STDERR_FILENO);
    for (const int descriptor : {saved_, ends_[0], ends_[1]}) ::close(descriptor);
  }
  void close_reader() {
    ::close(ends_[0]);
    ends_[0] = ::open("/dev/null", O_RDONLY);
  }
  std::string read_some() {
    std::string text(1 << 20, '\0');
    text.resize(static_cast<size_t>(::read(ends_[0], text.data(), text.size())));
    return text;
  }

 private:
  int ends_[2] = {-1, -1}, saved_ = -1;
};

TEST(Log, AFullPipeDropsLinesAndSaysSoLater) {
  StderrPipe pipe;
  const uint64_t before = log_lines_dropped();
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; i++)
    writers.emplace_back([] {
      for (int line = 0; line < 1000; line++) log_error(std::string(500, 'x'));
    });
  for (std::thread& writer : writers) writer.join();  // nobody reads: returning at all is the promise
  EXPECT_GT(log_lines_dropped(), before + 3000);
  while (pipe.read_some().size() == 1 << 20) {}
  log_error("after");
  const std::string text = pipe.read_some();
  EXPECT_NE(text.find("log lines were lost, stderr was full dropped="), text.npos) << text;
  EXPECT_NE(text.find(" error after\n"), text.npos);
}

TEST(Log, AClosedReaderHarmsNobody) {
  StderrPipe pipe;
  pipe.close_reader();
  const uint64_t before = log_lines_dropped();
  log_error("into the void");
  EXPECT_EQ(log_lines_dropped(), before + 1);
}

}  // namespace
}  // namespace lancet
