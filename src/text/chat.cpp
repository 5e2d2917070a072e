// Renders as given first, because every template knows best; only a refusal starts the steps of chat_normalise.h.
#include "text/chat.h"

#include <algorithm>

#include <fmt/format.h>
#include <boost/json/array.hpp>

#include "base/error.h"
#include "base/utf8.h"
#include "text/chat_values.h"

namespace lancet {
namespace {

constexpr size_t kMaxRefusalBytes = 500;  // of a template's own message, which may quote the conversation
constexpr BudgetLimits kCompileLimits = {.steps = 1'000'000};

std::tm local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  localtime_r(&now, &parts);
  return parts;
}

std::vector<PromptPiece> pieces_of(const MarkedText& text) {
  std::vector<PromptPiece> pieces;
  size_t begin = 0;
  for (const MarkedText::Run& run : text.runs()) {
    pieces.push_back({text.str().substr(begin, run.end - begin), run.trusted});
    begin = run.end;
  }
  return pieces;
}

/// What the template said, cut and on one line: it may quote the conversation.
std::string refusal_text(const Error& error) {
  const std::string_view said = error.message();
  std::string text = utf8_lossy(said.substr(0, utf8_complete_prefix(said.substr(0, kMaxRefusalBytes))));
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  return text;
}

/// The text up to the end of the last message's own text. Templates may trim that, or put more behind it.
MarkedText cut_after_final(const MarkedText& text, const NormalConversation& normal) {
  const NormalMessage& last = normal.messages.back();
  std::string wanted;
  for (const ContentPart& part : last.message.content) wanted = part.text;
  size_t at = wanted.empty() ? std::string::npos : text.str().rfind(wanted);
  if (at == std::string::npos) {
    const size_t end = wanted.find_last_not_of(" \t\r\n");
    const size_t begin = wanted.find_first_not_of(" \t\r\n");
    wanted = end == std::string::npos ? "" : wanted.substr(begin, end - begin + 1);
    at = wanted.empty() ? std::string::npos : text.str().rfind(wanted);
  }
  if (at == std::string::npos)
    throw Error(Fault::bad_request,
                message_place(last.source, last.message.role) +
                    " cannot be continued: the prompt does not have its text as it was sent",
                "continue_final_message");
  MarkedText cut;
  cut.append_slice(text, 0, at + wanted.size());
  return cut;
}

}  // namespace

struct ChatTemplate::Compiled {
  ChatRenderer renderer;
  TemplateTraits traits;
  std::string source;

  /// One attempt: nothing if the template refuses, with its reason in `refusal`.
  std::optional<MarkedText> attempt(const NormalConversation& normal, const Conversation& sent, Budget& budget,
                                    std::optional<Error>& refusal) const;
  /// Normalises until the template accepts.
  MarkedText accepted(NormalConversation& normal, const Conversation& sent, Budget& budget) const;
  /// The message at which the template begins to refuse: a binary search over prefixes, so about log2(n) renders.
  size_t refused_message(const NormalConversation& normal, const Conversation& sent, Budget& budget) const;
  [[noreturn]] void refuse(const NormalConversation& normal, const Conversation& sent, const Error& refusal,
                           Budget& budget) const;
  /// What the template leaves out without a word, and what it adds.
  void note_silence(const Conversation& sent, std::vector<NormalisationNote>& notes) const;
};

std::optional<MarkedText> ChatTemplate::Compiled::attempt(const NormalConversation& normal, const Conversation& sent,
                                                          Budget& budget, std::optional<Error>& refusal) const {
  try {
    return renderer.render(normal, normal.messages.size(), sent, traits, budget);
  } catch (const Error& error) {
    if (error.fault() != Fault::bad_request) throw;
    refusal = error;
    return std::nullopt;
  }
}

MarkedText ChatTemplate::Compiled::accepted(NormalConversation& normal, const Conversation& sent,
                                            Budget& budget) const {
  std::optional<Error> refusal;
  if (!traits.shows_later_system) hoist_system_messages(normal);
  if (auto text = attempt(normal, sent, budget, refusal)) return std::move(*text);
  if (hoist_system_messages(normal))
    if (auto text = attempt(normal, sent, budget, refusal)) return std::move(*text);
  if (join_neighbours(normal))
    if (auto text = attempt(normal, sent, budget, refusal)) return std::move(*text);
  if (!traits.can_bridge) refuse(normal, sent, *refusal, budget);
  NormalConversation bridged = normal;
  if (!bridge_user_turns(bridged, kBridgeMarker)) refuse(normal, sent, *refusal, budget);
  std::optional<MarkedText> text = attempt(bridged, sent, budget, refusal);
  if (!text) refuse(bridged, sent, *refusal, budget);
  const auto bridges = std::count_if(bridged.messages.begin(), bridged.messages.end(),
                                     [](const NormalMessage& message) { return message.bridge; });
  text = cut_bridges(*text, renderer.eos, static_cast<size_t>(bridges));
  if (!text) refuse(normal, sent, *refusal, budget);
  normal = std::move(bridged);
  return std::move(*text);
}

size_t ChatTemplate::Compiled::refused_message(const NormalConversation& normal, const Conversation& sent,
                                               Budget& budget) const {
  size_t accepted = 0, refused = normal.messages.size();
  while (refused - accepted > 1) {
    const size_t middle = accepted + (refused - accepted) / 2;
    try {
      renderer.render(normal, middle, sent, traits, budget);
      accepted = middle;
    } catch (const Error& error) {
      if (error.fault() != Fault::bad_request) throw;
      refused = middle;
    }
  }
  return normal.messages[refused - 1].source;
}

void ChatTemplate::Compiled::refuse(const NormalConversation& normal, const Conversation& sent, const Error& refusal,
                                    Budget& budget) const {
  const size_t index = refused_message(normal, sent, budget);
  throw Error(Fault::bad_request, message_place(index, sent.messages[index].role) + ": " + refusal_text(refusal),
              fmt::format("messages[{}]", index));
}

void ChatTemplate::Compiled::note_silence(const Conversation& sent, std::vector<NormalisationNote>& notes) const {
  const std::string& first = sent.messages[0].role;
  const bool has_system = first == "system" || first == "developer";
  if (has_system && !traits.shows_system) {
    notes.push_back({"messages[0] (role " + first + ") is not in the prompt: the model's chat template leaves it out"});
  }
  if (!has_system && !traits.default_system_prompt.empty()) {
    notes.push_back(
        {fmt::format("the model's chat template put its default system prompt ({} bytes) in front; a system "
                     "message, even an empty one, replaces it",
                     traits.default_system_prompt.size())});
  }
  if (sent.tools.is_array() && !sent.tools.get_array().empty() && !traits.shows_tools) {
    notes.push_back({"tools are not in the prompt: the model's chat template leaves them out"});
  }
  for (const bool results : {false, true}) {
    if (results ? traits.shows_results : traits.shows_calls) continue;
    std::string places;
    for (size_t i = 0; i < sent.messages.size(); i++) {
      const ChatMessage& message = sent.messages[i];
      if (results ? message.role != "tool" : message.tool_calls.empty()) continue;
      places += fmt::format("{}{}", places.empty() ? "" : ", ", i);
    }
    if (places.empty()) continue;
    notes.push_back({fmt::format("{} of messages[{}] are not in the prompt: the model's chat template leaves them out",
                                 results ? "tool results" : "tool calls", places)});
  }
}

ChatTemplate::ChatTemplate(std::string_view source, std::string bos, std::string eos, std::function<std::tm()> now) {
  Budget budget("compiling the chat template", kCompileLimits);
  compiled_ = std::make_unique<Compiled>(
      Compiled{{JinjaTemplate(source, budget), std::move(bos), std::move(eos), now ? std::move(now) : local_time, {}},
               {},
               std::string(source)});
  compiled_->traits = probe_template(compiled_->renderer);
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;

RenderedPrompt ChatTemplate::render(const Conversation& sent, Budget& budget) const {
  if (sent.messages.empty()) {
    throw Error(Fault::bad_request, "messages is empty, wanted at least one message", "messages");
  }
  NormalConversation normal = contract_form(sent, compiled_->traits.user_lists);
  MarkedText text = compiled_->accepted(normal, sent, budget);
  if (sent.continue_final) text = cut_after_final(text, normal);
  compiled_->note_silence(sent, normal.notes);
  return {pieces_of(text), std::move(normal.notes)};
}

bool ChatTemplate::mentions(std::string_view name) const { return compiled_->source.find(name) != std::string::npos; }

const std::string& ChatTemplate::default_system_prompt() const { return compiled_->traits.default_system_prompt; }

}  // namespace lancet
