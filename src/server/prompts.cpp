// Templates and tokenizing, on a worker thread.
#include "server/prompts.h"

#include <chrono>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/utf8.h"
#include "server/fields.h"

namespace lancet {

Budget request_budget(const RequestContext& context) {
  const auto time =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(context.limits.prompt_s));
  return Budget("the request", {.time = time}, context.cancel);
}

void note_lost_bytes(const Encoded& encoded, std::vector<std::string>& notes) {
  if (encoded.lost_bytes.empty()) return;
  std::vector<std::string> names;
  for (const uint8_t byte : encoded.lost_bytes) names.push_back(fmt::format("0x{:02X}", byte));
  notes.push_back(
      fmt::format("the vocabulary has no token for the bytes {}; they were left out", fmt::join(names, ", ")));
}

Prompt chat_prompt(const RequestContext& context, const ChatRequest& request, Budget& budget) {
  if (!context.service.chat_template)
    throw Error(Fault::unsupported, "this model has no chat template; /v1/completions takes plain prompts", "messages");
  const RenderedPrompt rendered = context.service.chat_template->render(request.conversation, budget);
  Encoded encoded = context.service.tokenizer->encode(rendered.pieces, budget);
  Prompt prompt{.tokens = std::move(encoded.ids)};
  for (const PromptPiece& piece : rendered.pieces) prompt.text += piece.text;
  for (const NormalisationNote& note : rendered.notes) prompt.notes.push_back(note.text);
  note_lost_bytes(encoded, prompt.notes);
  return prompt;
}

Prompt completion_prompt(const RequestContext& context, const CompletionPrompt& wanted, bool parse_special,
                         const char* param, Budget& budget) {
  Prompt prompt;
  if (const auto* tokens = std::get_if<std::vector<TokenId>>(&wanted)) {
    prompt.tokens = *tokens;  // exactly as sent: no bos
    return prompt;
  }
  prompt.text = std::get<std::string>(wanted);
  const Vocabulary& vocabulary = context.service.tokenizer->vocabulary();
  if (vocabulary.add_bos && vocabulary.bos) prompt.tokens.push_back(*vocabulary.bos);
  prompt.hidden_tokens = prompt.tokens.size();
  const Encoded encoded = context.service.tokenizer->encode(prompt.text, parse_special, budget);
  prompt.tokens.insert(prompt.tokens.end(), encoded.ids.begin(), encoded.ids.end());
  note_lost_bytes(encoded, prompt.notes);
  if (prompt.tokens.empty()) throw Error(Fault::bad_request, "the prompt is empty", param);
  return prompt;
}

std::vector<std::string> idle_variables(const RequestContext& context, const Conversation& conversation) {
  std::vector<std::string> idle;
  if (!context.service.chat_template) return idle;
  for (const auto& member : conversation.variables) {
    const std::string name(member.key());
    if (context.service.chat_template->mentions(name)) continue;
    const bool own_field = name == "reasoning_effort" || name == "verbosity";
    idle.push_back(own_field ? name : "chat_template_kwargs." + name);
  }
  return idle;
}

std::vector<size_t> message_tokens(const RequestContext& context, const Conversation& conversation, Budget& budget) {
  std::vector<size_t> counts;
  try {
    for (const ChatMessage& message : conversation.messages) {
      size_t count = 0;
      const auto count_text = [&](std::string_view text) {
        if (!text.empty()) count += context.service.tokenizer->encode(text, false, budget).ids.size();
      };
      for (const ContentPart& part : message.content) count_text(part.text);
      for (const ToolCall& call : message.tool_calls) count_text(call.name + call.arguments);
      counts.push_back(count);
    }
  } catch (const Error& error) {
    if (error.fault() != Fault::budget) throw;
  }
  return counts;
}

std::optional<std::chrono::steady_clock::time_point> begin_before(const RequestContext& context) {
  if (context.limits.queue_s <= 0) return std::nullopt;
  const std::chrono::duration<double> patience(context.limits.queue_s);
  return std::chrono::steady_clock::now() + std::chrono::duration_cast<std::chrono::nanoseconds>(patience);
}

HttpFields report_fields(const RequestContext& context, const std::vector<std::string>& ignored,
                         const std::vector<std::string>& notes) {
  HttpFields fields{{"x-model-resolved", header_text(context.service.model_name)}};
  if (!ignored.empty()) fields.emplace_back("x-ignored-params", ignored_header(ignored));
  if (!notes.empty()) fields.emplace_back("x-prompt-notes", header_text(fmt::format("{}", fmt::join(notes, "; "))));
  return fields;
}

}  // namespace lancet
