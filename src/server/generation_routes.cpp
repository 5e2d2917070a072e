// POST /v1/chat/completions and /v1/completions: read, render, tokenize, submit.
#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "server/generation_answer.h"
#include "server/prompts.h"
#include "server/requests.h"
#include "server/routes.h"

namespace lancet {
namespace {

constexpr int kDefaultCompletionTokens = 16;  // OpenAI's for completions

/// How many tokens to generate. A request that cannot fit is refused here, with the numbers.
int generation_length(const RequestContext& context, size_t prompt_tokens, const GenerationFields& fields, bool chat) {
  const int64_t room = context.service.engine->context() - static_cast<int64_t>(prompt_tokens);
  const char* param = chat ? "messages" : "prompt";
  if (room < 1)
    throw Error(Fault::context_overflow,
                fmt::format("the prompt has {} tokens; with at least one to generate the context allows {}",
                            prompt_tokens, context.service.engine->context() - 1),
                param);
  if (!fields.max_tokens)
    return static_cast<int>(
        std::min<int64_t>(room, chat ? context.limits.default_chat_tokens : kDefaultCompletionTokens));
  if (*fields.max_tokens > room)
    throw Error(Fault::context_overflow,
                fmt::format("the prompt has {} tokens and max_tokens is {}; together they may be {}", prompt_tokens,
                            *fields.max_tokens, context.service.engine->context()),
                param);
  return *fields.max_tokens;
}

Answer submit(const RequestContext& context, const GenerationFields& fields, std::vector<Prompt> prompts, bool chat) {
  const uint64_t seed = fields.has_seed ? fields.sampling.seed : random_seed();
  std::vector<std::string> notes;
  std::vector<GenerationRequest> requests;
  for (Prompt& prompt : prompts) {
    for (std::string& note : prompt.notes)
      if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(std::move(note));
    GenerationRequest request{.sampling = fields.sampling,
                              .stop = fields.stop,
                              .max_tokens = generation_length(context, prompt.tokens.size(), fields, chat),
                              .ignore_eos = fields.ignore_eos,
                              .on_event = context.wake,
                              .cancel = context.cancel};
    request.prompt = std::move(prompt.tokens);
    // Choice i of a prompt is what a request with seed + i and n = 1 would get.
    for (int i = 0; i < fields.n; i++) {
      request.sampling.seed = seed + static_cast<uint64_t>(i);
      requests.push_back(request);
    }
  }
  std::vector<Generation> generations;
  for (GenerationRequest& request : requests) generations.push_back(context.service.engine->submit(std::move(request)));
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  GenerationAnswer::Options options{
      .identity = {.chat = chat,
                   .id = random_id(chat ? "chatcmpl-" : "cmpl-"),
                   .created = std::chrono::duration_cast<std::chrono::seconds>(now).count(),
                   .model = context.service.model_name,
                   .system_fingerprint = context.service.system_fingerprint,
                   .scores = fields.sampling.top_logprobs >= 0,
                   .include_usage = fields.include_usage,
                   .tokenizer = context.service.tokenizer},
      .stream = fields.stream,
      .choices_per_prompt = fields.n,
      .fields = report_fields(context, fields.ignored, notes)};
  return std::make_unique<GenerationAnswer>(std::move(options), std::move(generations));
}

}  // namespace

Answer handle_chat(const RequestContext& context) {
  Budget budget = request_budget(context);
  const ChatRequest request = read_chat_request(context.request.body, context.limits, budget);
  std::vector<Prompt> prompts;
  prompts.push_back(chat_prompt(context, request, budget));
  return submit(context, request.fields, std::move(prompts), true);
}

Answer handle_completion(const RequestContext& context) {
  Budget budget = request_budget(context);
  const CompletionRequest request =
      read_completion_request(context.request.body, context.service.tokenizer->size(), context.limits, budget);
  std::vector<Prompt> prompts;
  for (const CompletionPrompt& prompt : request.prompts)
    prompts.push_back(completion_prompt(context, prompt, request.fields.parse_special, budget));
  return submit(context, request.fields, std::move(prompts), false);
}

}  // namespace lancet
