// POST /v1/embeddings: each input is one request of the engine that generates nothing; its answer is the pooled state.
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "server/errors.h"
#include "server/prompts.h"
#include "server/requests.h"
#include "server/routes.h"

namespace lancet {
namespace json = boost::json;
namespace {

/// RFC 4648, with padding.
std::string base64_text(std::string_view bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t at = 0; at < bytes.size(); at += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - at);
    uint32_t group = 0;
    for (size_t i = 0; i < 3; i++) group = group << 8 | (i < count ? static_cast<unsigned char>(bytes[at + i]) : 0u);
    for (size_t i = 0; i < 4; i++) text += i <= count ? kDigits[group >> (18 - 6 * i) & 63] : '=';
  }
  return text;
}

/// Scaled to length 1; a state of zeros stays as it is.
void normalise(std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * value;
  const double scale = sum > 0 ? 1 / std::sqrt(sum) : 1;
  for (float& value : values) value = static_cast<float>(value * scale);
}

/// Little-endian whatever the machine.
std::string float_bytes(const std::vector<float>& values) {
  std::string bytes;
  for (const float value : values) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(bits >> shift & 0xff);
  }
  return bytes;
}

class EmbeddingAnswer : public RunningAnswer {
 public:
  EmbeddingAnswer(EmbeddingRequest request, std::vector<Generation> generations, std::string model, HttpFields fields)
      : request_(std::move(request)), model_(std::move(model)), fields_(std::move(fields)) {
    for (Generation& generation : generations) inputs_.emplace_back().generation.emplace(std::move(generation));
  }

  Output poll() override {
    Output output;
    bool all_done = true;
    for (Input& input : inputs_) {
      try {
        advance(input);
      } catch (const Error& error) {
        return abort(error);
      }
      all_done &= !input.generation;
    }
    if (all_done) complete(output);
    return output;
  }
  Output keep_alive() override { return {}; }
  Output abort(const Error& error) override {
    Output output;
    inputs_.clear();  // cancels what runs
    output.finished = true;
    output.facts.reason = code_of(error);
    output.head = error_response(error);
    output.head->fields.insert(output.head->fields.end(), fields_.begin(), fields_.end());
    return output;
  }

 private:
  struct Input {
    std::optional<Generation> generation;  // until its final event
    std::vector<float> values;
    Usage usage;
  };

  void advance(Input& input) {
    while (input.generation) {
      auto event = input.generation->poll();
      if (!event) return;
      if (auto* state = std::get_if<PooledState>(&*event)) take(input, std::move(state->values));
      if (const auto* failed = std::get_if<Failed>(&*event)) throw Error(failed->fault, failed->message);
      if (const auto* finished = std::get_if<Finished>(&*event)) {
        input.usage = finished->usage;
        input.generation.reset();
      }
    }
  }

  void take(Input& input, std::vector<float> values) {
    if (request_.dimensions && static_cast<size_t>(*request_.dimensions) != values.size())
      throw Error(Fault::unsupported,
                  fmt::format("dimensions is {}, wanted the model's width {}", *request_.dimensions, values.size()),
                  "dimensions");
    input.values = std::move(values);
    normalise(input.values);
  }

  void complete(Output& output) {
    json::array data;
    Usage total;
    for (const Input& input : inputs_) {
      json::value embedding;
      if (request_.base64)
        embedding = json::value(base64_text(float_bytes(input.values)));
      else
        embedding = json::array(input.values.begin(), input.values.end());
      data.push_back(
          json::object{{"object", "embedding"}, {"index", data.size()}, {"embedding", std::move(embedding)}});
      total.prompt_tokens += input.usage.prompt_tokens;
      total.cached_tokens += input.usage.cached_tokens;
    }
    const json::object usage{{"prompt_tokens", total.prompt_tokens}, {"total_tokens", total.prompt_tokens}};
    const json::object body{{"object", "list"}, {"data", std::move(data)}, {"model", model_}, {"usage", usage}};
    output.finished = true;
    output.facts = {.reason = "stop",
                    .prompt_tokens = total.prompt_tokens,
                    .cached_tokens = total.cached_tokens,
                    .generated_tokens = 0};
    output.head = HttpResponse{.fields = fields_, .body = json::serialize(body)};
  }

  EmbeddingRequest request_;
  std::string model_;
  HttpFields fields_;
  std::vector<Input> inputs_;
};

}  // namespace

Answer handle_embeddings(const RequestContext& context) {
  Budget budget = request_budget(context);
  EmbeddingRequest request =
      read_embedding_request(context.request.body, context.service.tokenizer->size(), context.limits, budget);
  std::vector<GenerationRequest> requests;
  std::vector<std::string> notes;
  for (const CompletionPrompt& input : request.inputs) {
    Prompt prompt = completion_prompt(context, input, false, "input", budget);
    if (prompt.tokens.size() > static_cast<size_t>(context.service.engine->context()))
      throw Error(Fault::context_overflow,
                  fmt::format("an input has {} tokens; the context allows {}", prompt.tokens.size(),
                              context.service.engine->context()),
                  "input");
    notes.insert(notes.end(), prompt.notes.begin(), prompt.notes.end());
    GenerationRequest wanted{.kind = request.last ? GenerationKind::last_state : GenerationKind::mean_state,
                             .max_tokens = 1,
                             .priority = request.priority,
                             .owner = context.owner,
                             .cache_salt = request.cache_salt,
                             .begin_before = begin_before(context),
                             .on_event = context.wake,
                             .cancel = context.cancel};
    wanted.prompt = std::move(prompt.tokens);
    requests.push_back(std::move(wanted));
  }
  std::vector<Generation> generations;
  for (GenerationRequest& ready : requests) generations.push_back(context.service.engine->submit(std::move(ready)));
  HttpFields fields = report_fields(context, request.ignored, notes);
  return std::make_unique<EmbeddingAnswer>(std::move(request), std::move(generations), context.service.model_name,
                                           std::move(fields));
}

}  // namespace lancet
