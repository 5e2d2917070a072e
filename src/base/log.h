// One line per event on stderr, as text or as JSON. Untrusted text must be passed through quoted() by the caller or
// lands here escaped. A line that stderr does not take at once (a full pipe) is dropped and counted: a reader that has
// stopped must not stop the server.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace lancet {

enum class LogLevel { debug, info, warning, error };
enum class LogFormat { text, json };

/// "debug", "info", "warning", "error".
std::string_view log_level_name(LogLevel);

/// Lines below this level are dropped. Any thread; set once at start.
void set_log_level(LogLevel);
bool log_enabled(LogLevel);
/// Any thread; set once at start.
void set_log_format(LogFormat);

struct LogField {
  std::string_view key;  // our own word: [a-z_]+
  std::variant<std::string_view, int64_t, double> value;
};

/// "2026-11-24T10:51:00.123Z warning message key=value\n", or
/// {"time":"2026-11-24T10:51:00.123Z","level":"warning","message":"message","key":"value"}. Control characters (C0, C1,
/// DEL) and ill-formed UTF-8 are escaped. At most kLogLineBytes, cut inside strings. One write a line. Any thread.
void log_event(LogLevel, std::string_view message, std::span<const LogField> fields);

inline void log_line(LogLevel level, std::string_view message) { log_event(level, message, {}); }
inline void log_debug(std::string_view message) { log_line(LogLevel::debug, message); }
inline void log_info(std::string_view message) { log_line(LogLevel::info, message); }
inline void log_warning(std::string_view message) { log_line(LogLevel::warning, message); }
inline void log_error(std::string_view message) { log_line(LogLevel::error, message); }

/// Longest line with its end: what POSIX promises to write to a pipe in one piece (PIPE_BUF on Linux).
inline constexpr size_t kLogLineBytes = 4096;

/// Lines that stderr did not take. Any thread.
uint64_t log_lines_dropped();

/// The line as log_event writes it, but for the time, which is given: for tests.
std::string log_line_text(LogFormat, LogLevel, std::string_view time, std::string_view message,
                          std::span<const LogField> fields);

}  // namespace lancet
