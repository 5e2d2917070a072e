// A conversation -> the exact prompt, as pieces that know whether the template or a person wrote them.
#pragma once

#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "base/budget.h"
#include "text/tokenizer.h"

namespace lancet {

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON text as the client sent it; may be invalid JSON
};

struct ContentPart {
  enum class Kind { text, image };
  Kind kind = Kind::text;
  std::string text;  // text parts only
};

struct ChatMessage {
  std::string role;                  // system, developer, user, assistant, tool
  std::vector<ContentPart> content;  // empty: null or absent
  bool content_is_list = false;      // the client sent parts rather than a string
  std::vector<ToolCall> tool_calls;  // assistant
  std::string tool_call_id;          // tool
  std::string name;
};

struct Conversation {
  std::vector<ChatMessage> messages;
  boost::json::value tools;  // array as sent, or null
  bool add_generation_prompt = true;
  bool continue_final = false;  // the prompt ends where the text of the last message ends
  /// Further variables of the template; none named as one that every template gets.
  boost::json::object variables;
};

/// What normalisation did, so that the answer can say it (promise P3).
struct NormalisationNote {
  std::string text;  // "message 3 (developer) was read as system"
};

struct RenderedPrompt {
  std::vector<PromptPiece> pieces;
  std::vector<NormalisationNote> notes;
};

/// A compiled chat template. Immutable; any thread.
class ChatTemplate {
 public:
  /// Compiles the Jinja text. `bos` and `eos` are the texts behind bos_token and eos_token; `now` is what the
  /// template's strftime_now shows (absent: local time). Throws Error{bad_file} with line:column for what the language
  /// does not have.
  ChatTemplate(std::string_view source, std::string bos, std::string eos, std::function<std::tm()> now = {});
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;

  /// Renders as given; if the template refuses that, normalises step by step until it accepts (docs/chat.md lists the
  /// steps); every change is in the notes. Throws Error{bad_request} "messages[3] (role user): ...", param
  /// "messages[3]", if the template refuses all the same; Error{budget} if it runs away.
  RenderedPrompt render(const Conversation&, Budget&) const;

  /// What the template puts in front of a conversation that has no system message; empty if nothing.
  const std::string& default_system_prompt() const;

  /// True if the template's text has that name somewhere: a variable that it does not name changes nothing.
  bool mentions(std::string_view name) const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace lancet
