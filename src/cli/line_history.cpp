#include "cli/line_history.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <system_error>

#include <boost/json/serialize.hpp>

#include "base/json.h"
#include "base/mapped_file.h"

namespace lancet {
namespace {

constexpr uintmax_t kFileBytes = uintmax_t{1} << 20;

std::string entry_line(std::string_view entry) {
  return boost::json::serialize(boost::json::value(boost::json::string_view(entry.data(), entry.size()))) + "\n";
}

/// One write: two conversations at once do not mix their lines.
bool write_file(const std::filesystem::path& path, const std::string& text, int flags) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
  if (file < 0) return false;
  const bool complete = ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(file);
  return complete;
}

}  // namespace

std::filesystem::path history_path() {
  const auto environment = [](const char* name) {
    const char* value = std::getenv(name);
    return std::filesystem::path(value ? value : "");
  };
  if (const auto state = environment("XDG_STATE_HOME"); state.is_absolute()) return state / "lancet" / "history";
  const auto home = environment("HOME");
  return home.is_absolute() ? home / ".local" / "state" / "lancet" / "history" : std::filesystem::path();
}

std::vector<std::string> read_history(std::string_view text) {
  std::vector<std::string> entries;
  Budget budget("the history");
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (line.size() > kHistoryLineBytes) continue;
    try {
      const boost::json::value value = parse_json(line, "the history", {.depth = 1, .nodes = 2}, budget);
      if (value.is_string()) entries.emplace_back(value.get_string().data(), value.get_string().size());
    } catch (const Error&) {  // a line that a killed process left unfinished
    }
  }
  if (entries.size() > kHistoryLines)
    entries.erase(entries.begin(), entries.end() - static_cast<std::ptrdiff_t>(kHistoryLines));
  return entries;
}

std::vector<std::string> load_history(const std::filesystem::path& path) {
  std::error_code ignored;
  if (path.empty() || !std::filesystem::is_regular_file(path, ignored)) return {};
  std::vector<std::string> entries;
  try {
    const MappedFile file(path);
    entries =
        read_history(file.text().substr(file.text().size() - std::min<size_t>(file.text().size(), 2 * kFileBytes)));
    if (file.text().size() <= kFileBytes) return entries;
  } catch (const Error&) {
    return {};
  }
  std::string kept;
  for (auto entry = entries.rbegin(); entry != entries.rend() && kept.size() < kFileBytes / 2; ++entry)
    kept.insert(0, entry_line(*entry));
  const std::filesystem::path renewed = path.string() + ".unfinished";
  if (write_file(renewed, kept, O_TRUNC)) std::filesystem::rename(renewed, path, ignored);
  return entries;
}

void append_history(const std::filesystem::path& path, std::string_view entry) {
  const std::string line = entry_line(entry);
  if (path.empty() || line.size() > kHistoryLineBytes) return;
  std::error_code ignored;
  if (std::filesystem::create_directories(path.parent_path(), ignored))
    std::filesystem::permissions(path.parent_path(), std::filesystem::perms::owner_all, ignored);
  write_file(path, line, O_APPEND);
}

}  // namespace lancet
