// generate: one completion, through the same engine as the server.
#include <cstdio>
#include <variant>

#include <fmt/format.h>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "base/sizes.h"
#include "cli/command.h"
#include "cli/grammar_flags.h"
#include "cli/model_flags.h"
#include "engine/engine.h"

namespace lancet {
namespace {
namespace json = boost::json;

class Generate : public Command {
 public:
  void declare(Flags& flags) override {
    model_.declare(flags);
    flags.required("--model");
    flags.add("-p,--prompt", prompt_, "raw text to continue");
    flags.add("--chat", chat_, "a user message, rendered by the model's chat template");
    flags.add("--tokens", tokens_, "prompt as token ids: 1,2,3");
    flags.exactly_one_of({"--prompt", "--chat", "--tokens"});
    flags.add("-n,--max-tokens", max_tokens_, "at most so many new tokens", 1, 1 << 20);
    flags.add("--temperature", temperature_, "0: always the likeliest token", 0.0, 100.0);
    flags.add("--top-p", top_p_, "nucleus sampling", 0.0, 1.0);
    flags.add("--top-k", top_k_, "0: off", 0, 1 << 20);
    flags.add("--min-p", min_p_, "0: off", 0.0, 1.0);
    flags.add("--seed", seed_, "the same seed gives the same text");
    grammar_.declare(flags);
    flags.add("--no-jump", no_jump_, "tokens that the grammar forces are computed one by one; to measure");
    flags.add("--json", json_, "print one JSON document");
    flags.example("lancet generate -m MODEL --chat 'Name three rivers.' -n 60 --temperature 0", "a short answer");
    flags.example("lancet generate -m MODEL --chat 'Who are you?' --schema person.json",
                  "an answer that is valid JSON");
    flags.example("lancet generate -m MODEL --tokens 1,22177,1044 -n 8 --temperature 0 --json", "ids in, ids out");
  }

  int run() override {
    LoadedModel loaded = load(model_);
    GenerationRequest request{
        .prompt = make_prompt(loaded),
        .sampling = {.temperature = temperature_, .top_p = top_p_, .top_k = top_k_, .min_p = min_p_, .seed = seed_},
        .stop = {},
        .max_tokens = max_tokens_};
    request.grammar = grammar_.make(*loaded.tokenizer);
    const auto prompt_tokens = static_cast<int>(request.prompt.size());
    const int context = loaded.model->limits().context;
    // No more cache than this one request can fill; max_tokens is cut to the context here and said so.
    if (prompt_tokens < context && request.max_tokens > context - prompt_tokens) {
      request.max_tokens = context - prompt_tokens;
      log_warning(fmt::format("at most {} new tokens fit the model's context of {}", request.max_tokens, context));
    }
    const int most = std::min(context, prompt_tokens + request.max_tokens);
    const auto blocks = static_cast<int>(divide_up(static_cast<uint64_t>(most), kBlockTokens));
    Engine engine(*loaded.model, *loaded.tokenizer,
                  {.blocks = blocks, .context = most, .max_sequences = 1, .jump = !no_jump_});
    Generation generation = engine.submit(std::move(request));
    return print_events(engine, generation);
  }

 private:
  std::vector<TokenId> make_prompt(const LoadedModel& loaded) const {
    if (!tokens_.empty()) return tokens_;
    if (!prompt_.empty()) return encode_prompt(*loaded.tokenizer, prompt_);
    if (!loaded.chat_template)
      throw Error(Fault::unsupported, fmt::format("{} has no chat template; use --prompt", loaded.name));
    Conversation conversation;
    conversation.messages.push_back({.role = "user", .content = {{.text = chat_}}});
    Budget budget("the chat template");
    const RenderedPrompt rendered = loaded.chat_template->render(conversation, budget);
    const Encoded encoded = loaded.tokenizer->encode(rendered.pieces, budget);
    report_lost_bytes(encoded.lost_bytes);
    return encoded.ids;
  }

  int print_events(Engine& engine, Generation& generation) const {
    std::string text;
    json::array tokens;
    while (true) {
      const bool more = engine.step();
      while (const auto event = generation.poll()) {
        if (const auto* delta = std::get_if<TextDelta>(&*event)) {
          text += delta->text;
          for (const TokenId id : delta->tokens) tokens.emplace_back(id);
          if (!json_) std::fwrite(delta->text.data(), 1, delta->text.size(), stdout), std::fflush(stdout);
        } else if (const auto* failed = std::get_if<Failed>(&*event)) {
          throw Error(failed->fault, failed->message);
        } else {
          return print_end(std::get<Finished>(*event), engine.stats(), text, tokens);
        }
      }
      CHECK(more);  // a request without a final event still runs
    }
  }

  int print_end(const Finished& finished, const EngineStats& stats, const std::string& text,
                const json::array& tokens) const {
    if (!json_) {
      fmt::print("\n");
      return 0;
    }
    const json::object usage{{"prompt_tokens", finished.usage.prompt_tokens},
                             {"completion_tokens", finished.usage.completion_tokens},
                             {"cached_tokens", finished.usage.cached_tokens}};
    const json::object timings{{"prefill_ms", finished.timings.prefill_ms}, {"decode_ms", finished.timings.decode_ms}};
    fmt::print("{}\n", json::serialize(
                           json::object{{"text", text},
                                        {"tokens", tokens},
                                        {"finish_reason", finished.reason == FinishReason::stop ? "stop" : "length"},
                                        {"closed_early", finished.closed_early},
                                        {"steps", stats.steps},
                                        {"forced_tokens", stats.forced_tokens},
                                        {"grammar_ms", 1000 * stats.grammar_time.sum()},
                                        {"usage", usage},
                                        {"timings", timings}}));
    return 0;
  }

  ModelFlags model_;
  std::string prompt_, chat_;
  std::vector<int32_t> tokens_;
  int max_tokens_ = 128, top_k_ = 0;
  double temperature_ = 1.0, top_p_ = 1.0, min_p_ = 0.0;
  uint64_t seed_ = 0;
  GrammarFlags grammar_;
  bool json_ = false, no_jump_ = false;
};

}  // namespace

std::unique_ptr<Command> make_generate() { return std::make_unique<Generate>(); }

}  // namespace lancet
