// Events -> output. A stream's head is sent with its first event or ping, so that a request which fails before that
// still gets its proper status.
#include "server/generation_answer.h"

#include <algorithm>

#include "server/errors.h"

namespace lancet {

namespace {

/// A part of an answer that is not streamed.
void add_part(const AnswerPart& part, ChoiceResult& result) {
  switch (part.kind) {
    case AnswerPart::Kind::content: result.text += part.text; break;
    case AnswerPart::Kind::call: result.calls.push_back({.id = part.id, .name = part.text}); break;
    case AnswerPart::Kind::arguments: result.calls.back().arguments += part.text; break;
    case AnswerPart::Kind::refusal: result.refusal += part.text; break;
  }
}

}  // namespace

GenerationAnswer::GenerationAnswer(Options options, std::vector<Generation> generations)
    : options_(std::move(options)) {
  for (Generation& generation : generations) {
    Choice& choice = choices_.emplace_back();
    choice.generation.emplace(std::move(generation));
    choice.reading =
        std::make_unique<ChoiceReading>(options_.plan, options_.identity.id + "/" + std::to_string(choices_.size()));
  }
}

void GenerationAnswer::begin(Output& output) {
  if (begun_) return;
  begun_ = true;
  HttpResponse head{.content_type = "text/event-stream", .fields = options_.fields};
  head.fields.emplace_back("Cache-Control", "no-cache");
  head.fields.emplace_back("X-Accel-Buffering", "no");
  output.head = std::move(head);
}

ChunkContext GenerationAnswer::place(int index) const {
  const Choice& choice = choices_[static_cast<size_t>(index)];
  const size_t prompt = static_cast<size_t>(index / options_.choices_per_prompt);
  return {.choice = index,
          .text_offset = choice.characters,
          .so_far = {.prompt_tokens = options_.prompt_tokens[prompt], .completion_tokens = choice.tokens},
          .old_names = options_.plan->old_names};
}

/// Parts and scores that became certain.
void GenerationAnswer::show(int index, const std::vector<AnswerPart>& parts, const std::vector<TokenScore>& scores,
                            Output& output) {
  Choice& choice = choices_[static_cast<size_t>(index)];
  if (!options_.stream) {
    for (const AnswerPart& part : parts) add_part(part, choice.result);
    choice.result.scores.insert(choice.result.scores.end(), scores.begin(), scores.end());
    return;
  }
  begin(output);
  if (parts.empty()) output.bytes += part_event(options_.identity, place(index), {}, scores);
  for (size_t i = 0; i < parts.size(); i++)
    output.bytes += part_event(options_.identity, place(index), parts[i], i == 0 ? scores : std::vector<TokenScore>());
  if (!options_.identity.scores) return;
  for (const TokenScore& score : scores)
    choice.characters += shown_characters(*options_.identity.tokenizer, score.token);
}

/// What comes before an answer's own text: the role, or the prompt.
void GenerationAnswer::open(int index, const PromptScores& prompt, bool call_first, Output& output) {
  Choice& choice = choices_[static_cast<size_t>(index)];
  if (choice.begun) return;
  choice.begun = true;
  if (options_.stream) {
    begin(output);
    output.bytes += role_event(options_.identity, place(index), call_first);
  }
  if (options_.echo.empty()) return;
  const Echo& echo = options_.echo[static_cast<size_t>(index / options_.choices_per_prompt)];
  std::vector<TokenScore> scores;
  if (options_.identity.scores && prompt.scores.size() > echo.hidden_tokens)
    scores.assign(prompt.scores.begin() + static_cast<std::ptrdiff_t>(echo.hidden_tokens), prompt.scores.end());
  show(index, {{.text = echo.text}}, scores, output);
}

void GenerationAnswer::take(int index, const PromptScores& prompt, Output& output) {
  open(index, prompt, false, output);
}

void GenerationAnswer::take(int index, const TextDelta& delta, Output& output) {
  Choice& choice = choices_[static_cast<size_t>(index)];
  const std::vector<AnswerPart> parts = choice.reading->take(delta);
  const bool call_first = !parts.empty() && parts[0].kind != AnswerPart::Kind::content;
  // Whether the message begins with a call is not known before its first part.
  if (!parts.empty() || !options_.plan->makes_calls()) open(index, {}, call_first, output);
  choice.tokens += static_cast<int>(delta.tokens.size());
  if (parts.empty() && delta.scores.empty()) return;  // tokens whose text is still held back
  open(index, {}, call_first, output);
  show(index, parts, delta.scores, output);
}

void GenerationAnswer::finish(int index, const Finished& finished, Output& output) {
  Choice& choice = choices_[static_cast<size_t>(index)];
  const std::vector<AnswerPart> parts = choice.reading->finish(finished);
  open(index, {}, !parts.empty() && parts[0].kind != AnswerPart::Kind::content, output);
  choice.generation.reset();
  choice.done = true;
  choice.tokens = finished.usage.completion_tokens;
  if (!parts.empty()) show(index, parts, {}, output);
  choice.result.end = {.finished = finished,
                       .has_calls = choice.reading->has_calls(),
                       .old_names = options_.plan->old_names,
                       .report = choice.reading->report()};
  if (options_.stream) output.bytes += finish_event(options_.identity, place(index), choice.result.end);
}

void GenerationAnswer::fail(const Error& error, Output& output) {
  choices_.clear();  // cancels the others
  output.finished = true;
  output.facts.reason = code_of(error);
  if (options_.stream && begun_) {
    output.bytes += "data: " + error_json(error) + "\n\n";
    output.broken = true;
    return;
  }
  output.head = error_response(error);
  output.head->fields.insert(output.head->fields.end(), options_.fields.begin(), options_.fields.end());
}

Usage GenerationAnswer::total() const {
  Usage total;
  for (size_t i = 0; i < choices_.size(); i++) {
    const Usage& usage = choices_[i].result.end.finished.usage;
    total.completion_tokens += usage.completion_tokens;
    if (i % static_cast<size_t>(options_.choices_per_prompt)) continue;  // a prompt counts once
    total.prompt_tokens += usage.prompt_tokens;
    total.cached_tokens += usage.cached_tokens;
  }
  return total;
}

AnswerFacts GenerationAnswer::facts() const {
  const Usage usage = total();
  const FinishReason reason = choices_.front().result.end.finished.reason;
  return {.reason = reason == FinishReason::length ? "length"
                    : reason == FinishReason::stop ? "stop"
                                                   : "repetition",
          .prompt_tokens = usage.prompt_tokens,
          .cached_tokens = usage.cached_tokens,
          .generated_tokens = usage.completion_tokens};
}

void GenerationAnswer::complete(Output& output) {
  output.finished = true;
  const Usage used = total();
  output.facts = {.reason = std::string(reason_name(choices_.front().result.end)),
                  .prompt_tokens = used.prompt_tokens,
                  .cached_tokens = used.cached_tokens,
                  .generated_tokens = used.completion_tokens};
  output.facts = facts();
  if (options_.stream) {
    if (options_.identity.include_usage) {
      AnswerTimings timings;
      for (const Choice& choice : choices_) timings.add(choice.result.end.finished);
      output.bytes += usage_event(options_.identity, used, timings);
    }
    output.bytes += "data: [DONE]\n\n";
    return;
  }
  std::vector<ChoiceResult> results;
  for (Choice& choice : choices_) results.push_back(std::move(choice.result));
  output.head = HttpResponse{.fields = options_.fields, .body = whole_json(options_.identity, results, used)};
}

Output GenerationAnswer::poll() {
  Output output;
  for (size_t i = 0; i < choices_.size(); i++) {
    while (choices_[i].generation) {
      const auto event = choices_[i].generation->poll();
      if (!event) break;
      const int index = static_cast<int>(i);
      if (const auto* delta = std::get_if<TextDelta>(&*event)) take(index, *delta, output);
      if (const auto* scores = std::get_if<PromptScores>(&*event)) take(index, *scores, output);
      if (const auto* finished = std::get_if<Finished>(&*event)) finish(index, *finished, output);
      if (const auto* failed = std::get_if<Failed>(&*event)) {
        fail(Error(failed->fault, failed->message), output);
        return output;
      }
    }
  }
  if (std::all_of(choices_.begin(), choices_.end(), [](const Choice& choice) { return choice.done; })) complete(output);
  return output;
}

Output GenerationAnswer::keep_alive() {
  Output output;
  if (!options_.stream) return output;
  begin(output);
  output.bytes = ": ping\n\n";
  return output;
}

Output GenerationAnswer::abort(const Error& error) {
  Output output;
  fail(error, output);
  return output;
}

}  // namespace lancet
