// POST /v1/chat/completions and /v1/completions: read, render, tokenize, submit.
#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "engine/penalties.h"
#include "server/errors.h"
#include "server/generation_answer.h"
#include "server/prompts.h"
#include "server/requests.h"
#include "server/routes.h"

namespace lancet {
namespace json = boost::json;
namespace {

constexpr int kDefaultCompletionTokens = 16;  // OpenAI's for completions

/// How many tokens to generate. A request that cannot fit is refused here, with the numbers.
int generation_length(const RequestContext& context, size_t prompt_tokens, const GenerationFields& fields, bool chat) {
  const int64_t room = context.service.engine->context() - static_cast<int64_t>(prompt_tokens);
  const char* param = chat ? "messages" : "prompt";
  if (room < (fields.max_tokens == 0 ? 0 : 1))
    throw Error(Fault::context_overflow,
                fmt::format("the prompt has {} tokens; with at least one to generate the context allows {}",
                            prompt_tokens, context.service.engine->context() - 1),
                param);
  const int usual = std::max(fields.min_tokens, chat ? context.limits.default_chat_tokens : kDefaultCompletionTokens);
  const int64_t wanted = fields.max_tokens.value_or(static_cast<int>(std::min<int64_t>(room, usual)));
  if (wanted > room || fields.min_tokens > room)
    throw Error(Fault::context_overflow,
                fmt::format("the prompt has {} tokens and {} is {}; together they may be {}", prompt_tokens,
                            wanted > room ? "max_tokens" : "min_tokens", wanted > room ? wanted : fields.min_tokens,
                            context.service.engine->context()),
                param);
  return static_cast<int>(wanted);
}

/// The request without prompt, length and seed, which differ between the generations of an answer.
GenerationRequest common_request(const RequestContext& context, const GenerationFields& fields,
                                 const AnswerPlan& plan) {
  GenerationRequest request{.sampling = fields.sampling,
                            .stop = fields.stop,
                            .stop_tokens = fields.stop_tokens,
                            .keep_stop = fields.keep_stop,
                            .min_tokens = fields.min_tokens,
                            .ignore_eos = fields.ignore_eos,
                            .repetition = fields.repetition,
                            .show_tokens = plan.show_tokens(),
                            .grammar = plan.grammar,
                            .priority = fields.priority,
                            .owner = context.owner,
                            .cache_salt = fields.cache_salt,
                            .begin_before = begin_before(context),
                            .on_event = context.wake,
                            .cancel = context.cancel};
  // Nothing to generate is the engine's word for: only the prompt's scores.
  request.prompt_scores = fields.echo && (fields.sampling.top_logprobs >= 0 || fields.max_tokens == 0);
  if (request.prompt_scores) request.sampling.top_logprobs = std::max(0, request.sampling.top_logprobs);
  if (fields.sampling.dry.multiplier > 0)
    request.sampling.dry.breakers = dry_breakers(*context.service.tokenizer, fields.dry_breakers);
  return request;
}

std::vector<Generation> submit_all(const RequestContext& context, const GenerationFields& fields,
                                   const AnswerPlan& plan, const std::vector<Prompt>& prompts, bool chat) {
  const uint64_t seed = fields.has_seed ? fields.sampling.seed : random_seed();
  GenerationRequest request = common_request(context, fields, plan);
  std::vector<GenerationRequest> requests;
  for (const Prompt& prompt : prompts) {
    request.prompt = prompt.tokens;
    request.max_tokens = generation_length(context, prompt.tokens.size(), fields, chat);
    // Choice i of a prompt is what a request with seed + i and n = 1 would get.
    for (int i = 0; i < fields.n; i++) {
      request.sampling.seed = seed + static_cast<uint64_t>(i);
      requests.push_back(request);
    }
  }
  std::vector<Generation> generations;
  for (GenerationRequest& ready : requests) generations.push_back(context.service.engine->submit(std::move(ready)));
  return generations;
}

Answer submit(const RequestContext& context, const GenerationFields& fields, AnswerPlan plan,
              std::vector<Prompt> prompts, bool chat) {
  std::vector<Generation> generations = submit_all(context, fields, plan, prompts, chat);
  std::vector<std::string> notes = plan.notes;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  GenerationAnswer::Options options{
      .identity = {.chat = chat,
                   .id = random_id(chat ? "chatcmpl-" : "cmpl-"),
                   .created = std::chrono::duration_cast<std::chrono::seconds>(now).count(),
                   .model = context.service.model_name,
                   .system_fingerprint = context.service.system_fingerprint,
                   .scores = fields.sampling.top_logprobs >= 0,
                   .include_usage = fields.include_usage,
                   .continuous_usage = fields.continuous_usage,
                   .tokenizer = context.service.tokenizer},
      .stream = fields.stream,
      .choices_per_prompt = fields.n};
  for (Prompt& prompt : prompts) {
    options.prompt_tokens.push_back(static_cast<int>(prompt.tokens.size()));
    for (std::string& note : prompt.notes)
      if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(std::move(note));
    if (fields.echo) options.echo.push_back({std::move(prompt.text), prompt.hidden_tokens});
  }
  options.fields = report_fields(context, fields.ignored, notes);
  if (!plan.dialect.empty())
    options.fields.emplace_back("x-dialect", plan.dialect + (plan.inferred ? "; inferred" : "; asked for"));
  options.plan = std::make_shared<const AnswerPlan>(std::move(plan));
  return std::make_unique<GenerationAnswer>(std::move(options), std::move(generations));
}

/// The refusal of a conversation that is too long, with the tokens of each message: what to shorten.
HttpResponse overflow_response(const RequestContext& context, const Error& error, const Conversation& conversation,
                               Budget& budget) {
  const std::vector<size_t> counts = message_tokens(context, conversation, budget);
  std::string message = error.message();
  if (!counts.empty()) {
    const auto longest = std::max_element(counts.begin(), counts.end());
    message += fmt::format("; the longest message is messages[{}] with {} tokens", longest - counts.begin(), *longest);
  }
  const Error told(error.fault(), message, error.param());
  HttpResponse response = error_response(told);
  json::value body = json::parse(response.body);
  json::array numbers;
  for (const size_t count : counts) numbers.push_back(count);
  body.at("error").as_object()["tokens_per_message"] = std::move(numbers);
  response.body = json::serialize(body);
  return response;
}

}  // namespace

Answer handle_chat(const RequestContext& context) {
  Budget budget = request_budget(context);
  ChatRequest request =
      read_chat_request(context.request.body, context.limits, budget, context.service.tokenizer->size());
  for (std::string& name : idle_variables(context, request.conversation))
    request.fields.ignored.push_back(std::move(name));
  AnswerPlan plan = plan_answer(context, request.constraints, &request.conversation, budget);
  std::vector<Prompt> prompts;
  prompts.push_back(chat_prompt(context, request, budget));
  try {
    return submit(context, request.fields, std::move(plan), std::move(prompts), true);
  } catch (const Error& error) {
    if (error.fault() != Fault::context_overflow) throw;
    return overflow_response(context, error, request.conversation, budget);
  }
}

Answer handle_completion(const RequestContext& context) {
  Budget budget = request_budget(context);
  const CompletionRequest request =
      read_completion_request(context.request.body, context.service.tokenizer->size(), context.limits, budget);
  std::vector<Prompt> prompts;
  for (const CompletionPrompt& prompt : request.prompts) {
    prompts.push_back(completion_prompt(context, prompt, request.fields.parse_special, "prompt", budget));
    // A prompt of ids is shown as the text that they stand for.
    if (request.fields.echo && std::holds_alternative<std::vector<TokenId>>(prompt))
      prompts.back().text = context.service.tokenizer->decode(prompts.back().tokens, false);
  }
  AnswerPlan plan = plan_answer(context, request.constraints, nullptr, budget);
  return submit(context, request.fields, std::move(plan), std::move(prompts), false);
}

}  // namespace lancet
