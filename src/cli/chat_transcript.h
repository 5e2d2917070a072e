// A conversation of `lancet chat`, and its file: {"messages": [{"role": "user", "content": "..."}, ...]}, which is a
// request body too (`lancet render` shows its prompt).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace lancet {

struct ChatTurn {
  std::string role;  // system (only the first), user, assistant
  std::string text;
};

inline constexpr size_t kTranscriptBytes = size_t{16} << 20;
inline constexpr size_t kTranscriptTurns = 10'000;

std::string transcript_json(const std::vector<ChatTurn>& turns);

/// The other way. Throws Error{bad_file} with `source` for anything that transcript_json does not write.
std::vector<ChatTurn> read_transcript(std::string_view text, const std::string& source);

/// Error{io} if there is a file already, unless `overwrite`: then it is replaced as a whole or not at all. Only the
/// user may read it.
void save_transcript(const std::filesystem::path& path, const std::vector<ChatTurn>& turns, bool overwrite);

}  // namespace lancet
