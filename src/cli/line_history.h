// What was typed in earlier conversations: a file of one JSON string a line, which only the user may read.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace lancet {

/// lancet/history in $XDG_STATE_HOME, else in ~/.local/state; empty: there is no place.
std::filesystem::path history_path();

inline constexpr size_t kHistoryLines = 1000;
inline constexpr size_t kHistoryLineBytes = size_t{64} << 10;

/// The last kHistoryLines entries of a file's text; lines that are no JSON string are left out.
std::vector<std::string> read_history(std::string_view text);

/// The entries of the file; none if it is absent. A file that has grown beyond a megabyte is cut to what is returned.
std::vector<std::string> load_history(const std::filesystem::path& path);

/// Appends an entry. One that is too long, or a file that cannot be written, is left out: a history is a convenience.
void append_history(const std::filesystem::path& path, std::string_view entry);

}  // namespace lancet
