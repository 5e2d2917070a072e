// What a template does with lists, tools, calls and late system messages is not written anywhere: it is tried out once,
// at load, on conversations of a few words. (llama.cpp's common/jinja finds a template's capabilities the same way.)
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "base/error.h"
#include "text/chat_values.h"

namespace lancet {
namespace {

constexpr std::string_view kWord = "qzsentinelzq";  // in no template's own text
constexpr uint64_t kProbeSteps = 200'000;           // a template that needs more for five words stays unknown

ChatMessage message(std::string role, std::string_view text) {
  ChatMessage result;
  result.role = std::move(role);
  if (!text.empty()) result.content = {{ContentPart::Kind::text, std::string(text)}};
  return result;
}

ChatMessage call_message(std::string_view name, std::string_view arguments) {
  ChatMessage result = message("assistant", "");
  result.tool_calls = {{"abcdefgh1", std::string(name), std::string(arguments)}};
  return result;
}

ChatMessage result_message(std::string_view text) {
  ChatMessage result = message("tool", text);
  result.tool_call_id = "abcdefgh1";
  result.name = "f";
  return result;
}

class Probe {
 public:
  Probe(const ChatRenderer& renderer, const TemplateTraits& traits) : renderer_(renderer), traits_(traits) {}

  /// The text, or nothing if the template refuses.
  std::optional<MarkedText> operator()(std::vector<ChatMessage> messages, bool prompt = false,
                                       bool tools = false) const {
    Conversation sent;
    sent.add_generation_prompt = prompt;
    if (tools) {
      sent.tools = boost::json::array{boost::json::object{
          {"type", "function"},
          {"function",
           boost::json::object{
               {"name", kWord},
               {"description", "d"},
               {"parameters", boost::json::object{{"type", "object"}, {"properties", boost::json::object{}}}}}}}};
    }
    NormalConversation normal;
    for (size_t i = 0; i < messages.size(); i++) normal.messages.push_back({std::move(messages[i]), i});
    Budget budget("the chat template", {.steps = kProbeSteps});
    try {
      return renderer_.render(normal, normal.messages.size(), sent, traits_, budget);
    } catch (const Error&) {
      return std::nullopt;
    }
  }

  /// True unless the template renders this and leaves the word out.
  bool shows(std::vector<ChatMessage> messages, bool tools = false) const {
    const auto text = (*this)(std::move(messages), false, tools);
    return !text || text->str().find(kWord) != std::string::npos;
  }

 private:
  const ChatRenderer& renderer_;
  const TemplateTraits& traits_;
};

bool takes_lists(const Probe& probe) {
  ChatMessage listed = message("user", kWord);
  listed.content_is_list = true;
  const auto text = probe({std::move(listed)}), plain = probe({message("user", kWord)});
  return text && plain && text->str() == plain->str();
}

/// The middle of the text without system message, if its ends are those of the text around a given system message.
std::string default_prompt(const Probe& probe) {
  const auto without = probe({message("user", "u")}), with = probe({message("system", kWord), message("user", "u")});
  if (!without || !with) return {};
  const size_t at = with->str().find(kWord);
  if (at == std::string::npos) return {};
  const std::string front = with->str().substr(0, at), back = with->str().substr(at + kWord.size());
  const std::string& text = without->str();
  if (text.size() <= front.size() + back.size() || !text.starts_with(front) || !text.ends_with(back)) return {};
  return text.substr(front.size(), text.size() - front.size() - back.size());
}

bool bridges_cleanly(const Probe& probe, const std::string& eos, const std::vector<ChatMessage>& before) {
  if (eos.empty()) return false;
  std::vector<ChatMessage> bridged = before;
  bridged.push_back(message("assistant", kBridgeMarker));
  bridged.push_back(message("user", "u"));
  const auto without = probe(before), with = probe(bridged);
  if (!without || !with || !cut_bridges(*with, eos, 1)) return false;
  return with->str().starts_with(without->str() + kBridgeMarker);
}

}  // namespace

TemplateTraits probe_template(const ChatRenderer& renderer) {
  TemplateTraits traits;
  const Probe probe(renderer, traits);
  traits.user_lists = takes_lists(probe);
  const std::vector<ChatMessage> called = {message("user", "u"), call_message("f", "{\"x\": \"y\"}"),
                                           result_message("r")};
  if (!probe(called)) {
    traits.object_arguments = false;
    traits.object_arguments = !probe(called);  // text helps, or nothing does
  }
  traits.shows_system = probe.shows({message("system", kWord), message("user", "u")});
  traits.shows_later_system =
      probe.shows({message("user", "u"), message("assistant", "a"), message("system", kWord), message("user", "v")});
  traits.shows_tools = probe.shows({message("user", "u")}, true);
  traits.shows_calls = probe.shows({message("user", "u"), call_message(kWord, "{}"), result_message("r")});
  traits.shows_results = probe.shows({message("user", "u"), call_message("f", "{}"), result_message(kWord)});
  traits.can_bridge = bridges_cleanly(probe, renderer.eos, called) &&
                      bridges_cleanly(probe, renderer.eos, {message("user", "u"), call_message("f", "{}")});
  traits.default_system_prompt = default_prompt(probe);
  return traits;
}

}  // namespace lancet
