// render: what the model will really see of a chat request.
#include <fmt/format.h>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/error.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "cli/command.h"
#include "cli/model_flags.h"
#include "hub/cache.h"
#include "server/requests.h"

namespace lancet {
namespace {

class Render : public Command {
 public:
  void declare(Flags& flags) override {
    flags.add("-m,--model", model_, "a model, a directory without weights, or a tokenizer file beside a chat template");
    flags.required("--model");
    flags.add("--ids", ids_, "print the token ids too");
    flags.add("--json", json_, "print one JSON document: prompt, tokens, notes");
    flags.example("lancet render -m MODEL --ids < request.json", "the exact prompt and its ids");
  }

  int run() override {
    const ServerLimits limits;
    const TextAssets assets = open_text_assets(resolve_model(model_));
    const Tokenizer tokenizer(assets.vocabulary);
    const auto chat_template = compile_template(assets.chat_template, tokenizer);
    if (!chat_template) throw Error(Fault::unsupported, fmt::format("{} has no chat template", model_));
    Budget budget("the chat request");
    const ChatRequest request = read_chat_request(read_stdin(limits.body_bytes), limits, budget);
    const RenderedPrompt rendered = chat_template->render(request.conversation, budget);
    const Encoded encoded = tokenizer.encode(rendered.pieces, budget);
    json_ ? print_json(rendered, encoded) : print_text(rendered, encoded);
    return 0;
  }

 private:
  static std::string prompt_text(const RenderedPrompt& rendered) {
    std::string text;
    for (const PromptPiece& piece : rendered.pieces) text += piece.text;
    return text;
  }

  void print_json(const RenderedPrompt& rendered, const Encoded& encoded) const {
    boost::json::array notes;
    for (const NormalisationNote& note : rendered.notes) notes.emplace_back(note.text);
    fmt::print("{}\n", boost::json::serialize(boost::json::object{
                           {"prompt", prompt_text(rendered)},
                           {"tokens", boost::json::array(encoded.ids.begin(), encoded.ids.end())},
                           {"lost_bytes", boost::json::array(encoded.lost_bytes.begin(), encoded.lost_bytes.end())},
                           {"notes", notes}}));
  }

  void print_text(const RenderedPrompt& rendered, const Encoded& encoded) const {
    for (const NormalisationNote& note : rendered.notes) log_info(note.text);
    report_lost_bytes(encoded.lost_bytes);
    fmt::print("{}\n", prompt_text(rendered));
    if (!ids_) return;
    for (const TokenId id : encoded.ids) fmt::print("{} ", id);
    fmt::print("\n");
  }

  std::string model_;
  bool ids_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_render() { return std::make_unique<Render>(); }

}  // namespace lancet
