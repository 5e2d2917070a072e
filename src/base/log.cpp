// Makes a line and offers it to stderr. Never waits: stderr's own O_NONBLOCK is left alone, because the flag belongs to
// the open file and a shell may share it; instead poll() says whether there is room. A pipe that is writable has room
// for PIPE_BUF bytes, and no line is longer, so with the lock below the write does not wait.
#include "base/log.h"

#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <ctime>
#include <mutex>

#include <fmt/format.h>

#include "base/utf8.h"

namespace lancet {
namespace {

std::atomic<LogLevel> g_level = LogLevel::info;  // relaxed: a line more or less at start does no harm
std::atomic<LogFormat> g_format = LogFormat::text;
std::mutex g_writing;
std::atomic<uint64_t> g_dropped = 0;
uint64_t g_reported = 0;  // of g_dropped, told already; guarded by g_writing

constexpr std::string_view kLevelNames[] = {"debug", "info", "warning", "error"};
// What a line has beside its strings never fills more than this: time, level, the keys and numbers of some 30 fields.
constexpr size_t kStringBytes = 3000;

std::string timestamp() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm utc = {};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec, ms);
}

bool is_control(char32_t c) { return c < 0x20 || (c >= 0x7f && c < 0xa0); }

/// Appends the text with everything escaped that could end the line, move a cursor or break the format. `room` is what
/// all strings of the line may still add.
void append_escaped(std::string& out, std::string_view text, LogFormat format, size_t& room) {
  while (!text.empty()) {
    if (room < 12) {
      if (room > 0) out += "...";
      room = 0;
      return;
    }
    const Utf8Step step = utf8_next(text);
    const std::string_view bytes = text.substr(0, step.length);
    const size_t before = out.size();
    if (format == LogFormat::json && (step.code_point == '"' || step.code_point == '\\')) {
      out += '\\';
      out += bytes;
    } else if (format == LogFormat::json && (is_control(step.code_point) || !step.valid)) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<uint32_t>(step.code_point));
    } else if (is_control(step.code_point) || !step.valid) {
      for (const char c : bytes) fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += bytes;
    }
    room -= std::min(room, out.size() - before);
    text.remove_prefix(step.length);
  }
}

/// A text value that a reader could take for more than one is quoted.
bool needs_quotes(std::string_view text) { return text.empty() || text.find_first_of(" =\"\\") != text.npos; }

void append_value(std::string& out, const LogField& field, LogFormat format, size_t& room) {
  if (const auto* number = std::get_if<int64_t>(&field.value)) {
    fmt::format_to(std::back_inserter(out), "{}", *number);
  } else if (const auto* real = std::get_if<double>(&field.value)) {
    fmt::format_to(std::back_inserter(out), "{:.3f}", std::isfinite(*real) ? *real : 0.0);
  } else {
    const std::string_view text = std::get<std::string_view>(field.value);
    const bool quotes = format == LogFormat::json || needs_quotes(text);
    if (quotes) out += '"';
    // Inside quotes the text format escapes as JSON does.
    append_escaped(out, text, quotes ? LogFormat::json : format, room);
    if (quotes) out += '"';
  }
}

/// False: stderr has no room, or nobody reads it.
bool offer(std::string_view line) {
  pollfd ready{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (::poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT)) return false;
  ssize_t written = 0;
  do {
    written = ::write(STDERR_FILENO, line.data(), line.size());
  } while (written < 0 && errno == EINTR);
  return written == static_cast<ssize_t>(line.size());
}

}  // namespace

std::string_view log_level_name(LogLevel level) { return kLevelNames[static_cast<int>(level)]; }
void set_log_level(LogLevel level) { g_level.store(level, std::memory_order_relaxed); }
bool log_enabled(LogLevel level) { return level >= g_level.load(std::memory_order_relaxed); }
void set_log_format(LogFormat format) { g_format.store(format, std::memory_order_relaxed); }
uint64_t log_lines_dropped() { return g_dropped.load(std::memory_order_relaxed); }

std::string log_line_text(LogFormat format, LogLevel level, std::string_view time, std::string_view message,
                          std::span<const LogField> fields) {
  const bool json = format == LogFormat::json;
  size_t room = kStringBytes;
  std::string line = json ? fmt::format(R"({{"time":"{}","level":"{}","message":")", time, log_level_name(level))
                          : fmt::format("{} {} ", time, log_level_name(level));
  append_escaped(line, message, format, room);
  if (json) line += '"';
  for (const LogField& field : fields) {
    line += json ? fmt::format(R"(,"{}":)", field.key) : fmt::format(" {}=", field.key);
    append_value(line, field, format, room);
  }
  return line + (json ? "}\n" : "\n");
}

void log_event(LogLevel level, std::string_view message, std::span<const LogField> fields) {
  if (!log_enabled(level)) return;
  const LogFormat format = g_format.load(std::memory_order_relaxed);
  const std::string time = timestamp();
  const std::string line = log_line_text(format, level, time, message, fields);
  const std::lock_guard lock(g_writing);
  const uint64_t dropped = g_dropped.load(std::memory_order_relaxed);
  if (dropped > g_reported) {
    const LogField count[] = {{"dropped", static_cast<int64_t>(dropped - g_reported)}};
    if (offer(log_line_text(format, LogLevel::warning, time, "log lines were lost, stderr was full", count)))
      g_reported = dropped;
  }
  if (!offer(line)) g_dropped.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace lancet
