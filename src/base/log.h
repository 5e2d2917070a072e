// One line per event on stderr. Untrusted text must be passed through quoted() by the caller or lands here escaped.
#pragma once

#include <string_view>

namespace lancet {

enum class LogLevel { debug, info, warning, error };

/// Lines below this level are dropped. Any thread; set once at start.
void set_log_level(LogLevel);
bool log_enabled(LogLevel);

/// Writes "2026-11-24T10:51:00.123Z warning message\n" in one write; control characters are escaped. Any thread.
void log_line(LogLevel, std::string_view message);

inline void log_debug(std::string_view message) { log_line(LogLevel::debug, message); }
inline void log_info(std::string_view message) { log_line(LogLevel::info, message); }
inline void log_warning(std::string_view message) { log_line(LogLevel::warning, message); }
inline void log_error(std::string_view message) { log_line(LogLevel::error, message); }

}  // namespace lancet
