// chat with a model in this process. The engine has a thread of its own, so that Ctrl-C is answered at once, also
// while a long prompt is read.
#include <algorithm>
#include <optional>
#include <random>

#include <fmt/format.h>

#include "base/error.h"
#include "cli/chat_source.h"
#include "cli/memory_plan.h"
#include "engine/engine_thread.h"

namespace lancet {
namespace {

class LocalSource : public ChatSource {
 public:
  LocalSource(const ModelFlags& flags, int context, const ChatWish& wish) : wish_(wish) {
    MemoryPlan plan;
    loaded_ = load(flags, [&](const Checkpoint& checkpoint, Backend& backend) {
      const MemoryNeeds needs = memory_needs(checkpoint, backend, EngineOptions().max_batch_rows, 1);
      plan = plan_memory(needs, {.context = context, .parallel = 1}, available_memory());
      require_fit(plan);
      backend.limit_packing(plan.for_weights());
    });
    if (!loaded_.chat_template)
      throw Error(Fault::unsupported,
                  fmt::format("{} has no chat template; lancet generate -p continues plain text", loaded_.name));
    engine_.emplace(
        *loaded_.model, *loaded_.tokenizer,
        EngineOptions{.blocks = static_cast<int>(plan.blocks), .context = plan.context, .max_sequences = 1});
    thread_.emplace(*engine_);
  }

  std::string description() const override {
    return fmt::format("{}, context {} tokens", loaded_.name, thread_->context());
  }

  Answered answer(const std::vector<ChatTurn>& turns, const Say& say,
                  const std::function<bool()>& interrupted) override {
    Answered answered;
    GenerationRequest wanted = request(turns, answered.notes);
    answered.usage.prompt_tokens = static_cast<int>(wanted.prompt.size());
    Generation generation = thread_->submit(std::move(wanted));
    constexpr auto kLook = std::chrono::milliseconds(50);
    while (!interrupted()) {
      const auto event = generation.next(kLook);
      if (!event) continue;
      if (const auto* delta = std::get_if<TextDelta>(&*event)) {
        answered.usage.completion_tokens += static_cast<int>(delta->tokens.size());
        if (!delta->text.empty()) say(delta->text);
      } else if (const auto* failed = std::get_if<Failed>(&*event)) {
        throw Error(failed->fault, failed->message);
      } else if (const auto* finished = std::get_if<Finished>(&*event)) {
        answered.usage = finished->usage;
        answered.reason = finished->reason;
        return answered;
      }
    }
    answered.interrupted = true;  // and the Generation that goes now cancels the request
    return answered;
  }

 private:
  GenerationRequest request(const std::vector<ChatTurn>& turns, std::vector<std::string>& notes) const {
    Conversation conversation;
    for (const ChatTurn& turn : turns)
      conversation.messages.push_back({.role = turn.role, .content = {{.text = turn.text}}});
    Budget budget("the chat template");
    const RenderedPrompt rendered = loaded_.chat_template->render(conversation, budget);
    for (const NormalisationNote& note : rendered.notes) notes.push_back(note.text);
    Encoded encoded = loaded_.tokenizer->encode(rendered.pieces, budget);
    report_lost_bytes(encoded.lost_bytes);
    const int room = std::max(1, thread_->context() - static_cast<int>(encoded.ids.size()));
    std::random_device any;
    return {.prompt = std::move(encoded.ids),
            .sampling = {.temperature = wish_.temperature,
                         .top_p = wish_.top_p,
                         .seed = wish_.seed ? wish_.seed : (uint64_t{any()} << 32 | any())},
            .stop = {},
            .max_tokens = wish_.max_tokens ? std::min(wish_.max_tokens, room) : room};
  }

  ChatWish wish_;
  LoadedModel loaded_;
  std::optional<Engine> engine_;
  std::optional<EngineThread> thread_;
};

}  // namespace

std::unique_ptr<ChatSource> make_local_source(const ModelFlags& flags, int context, const ChatWish& wish) {
  return std::make_unique<LocalSource>(flags, context, wish);
}

}  // namespace lancet
