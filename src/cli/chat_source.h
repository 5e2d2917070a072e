// Who answers in `lancet chat`: a model in this process, or a server.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/chat_transcript.h"
#include "cli/model_flags.h"
#include "engine/generation.h"

namespace lancet {

struct ChatWish {
  double temperature = 1.0;  // 0: always the likeliest token
  double top_p = 1.0;
  uint64_t seed = 0;   // 0: another one for each answer
  int max_tokens = 0;  // 0: until the context is full
};

struct Answered {
  Usage usage;
  FinishReason reason = FinishReason::stop;
  bool interrupted = false;
  std::vector<std::string> notes;  // what was changed on the way to the prompt
};

class ChatSource {
 public:
  virtual ~ChatSource() = default;
  /// What answers, in a few words.
  virtual std::string description() const = 0;
  using Say = std::function<void(std::string_view)>;
  /// Calls say() with text as it comes, whole characters; ends early when interrupted() says so. Throws Error.
  virtual Answered answer(const std::vector<ChatTurn>& turns, const Say& say,
                          const std::function<bool()>& interrupted) = 0;
};

/// Loads the model with room for one conversation. `context` as in `lancet serve --ctx`.
std::unique_ptr<ChatSource> make_local_source(const ModelFlags&, int context, const ChatWish&);

/// Asks the server what it serves. `url` is http://host:port, with or without /v1; `key` goes there and nowhere else.
std::unique_ptr<ChatSource> make_remote_source(const std::string& url, const std::string& key, const ChatWish&);

}  // namespace lancet
