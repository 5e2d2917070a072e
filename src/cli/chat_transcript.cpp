#include "cli/chat_transcript.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <boost/json/serialize.hpp>

#include "base/json.h"

namespace lancet {
namespace {
namespace json = boost::json;

[[noreturn]] void fail_io(const std::filesystem::path& path, int reason) {
  throw Error(Fault::io, fmt::format("{}: {}", path.string(), std::strerror(reason)));
}

ChatTurn read_turn(const JsonView& message, size_t index) {
  for (const auto& member : message.object())
    if (member.key() != "role" && member.key() != "content")
      message.fail(R"(an object with nothing but "role" and "content")");
  const JsonView role = message.at("role");
  ChatTurn turn{std::string(role.string()), std::string(message.at("content").string())};
  if (turn.role != "user" && turn.role != "assistant" && (turn.role != "system" || index > 0))
    role.fail(index > 0 ? R"("user" or "assistant")" : R"("system", "user" or "assistant")");
  return turn;
}

void write_all(int file, std::string_view text, const std::filesystem::path& path) {
  while (!text.empty()) {
    const ssize_t written = ::write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_io(path, errno);
    text.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace

std::string transcript_json(const std::vector<ChatTurn>& turns) {
  std::string out = "{\"messages\": [";
  const char* separator = "\n  ";
  for (const ChatTurn& turn : turns) {
    out += separator + json::serialize(json::object{{"role", turn.role}, {"content", turn.text}});
    separator = ",\n  ";
  }
  return out + "\n]}\n";
}

std::vector<ChatTurn> read_transcript(std::string_view text, const std::string& source) {
  Budget budget(source);
  const JsonLimits limits{.depth = 8, .nodes = 6 * kTranscriptTurns};
  const json::value document = parse_json(text, source, limits, budget);
  const JsonView view(document, source, Fault::bad_file);
  if (view.object().size() != 1) view.fail(R"(an object with nothing but "messages")");
  const JsonView messages = view.at("messages");
  if (messages.size() > kTranscriptTurns) messages.fail(fmt::format("at most {} messages", kTranscriptTurns));
  std::vector<ChatTurn> turns;
  for (size_t i = 0; i < messages.size(); i++) turns.push_back(read_turn(messages.element(i), i));
  return turns;
}

void save_transcript(const std::filesystem::path& path, const std::vector<ChatTurn>& turns, bool overwrite) {
  std::filesystem::path written = path;
  if (overwrite) written += fmt::format(".{}.unfinished", ::getpid());
  const int file = ::open(written.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0 && errno == EEXIST && !overwrite)
    throw Error(Fault::io, fmt::format("{} is there already; /save! overwrites it", path.string()));
  if (file < 0) fail_io(written, errno);
  try {
    write_all(file, transcript_json(turns), written);
    if (::fsync(file) != 0) fail_io(written, errno);
    if (overwrite && ::rename(written.c_str(), path.c_str()) != 0) fail_io(path, errno);
  } catch (const Error&) {
    ::close(file);
    ::unlink(written.c_str());  // half a conversation is none
    throw;
  }
  ::close(file);
}

}  // namespace lancet
