// inspect: what the files say, with the origin of every value.
#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "backend/backend.h"
#include "base/error.h"
#include "base/utf8.h"
#include "checkpoint/checkpoint.h"
#include "cli/command.h"
#include "cli/doctor_text.h"
#include "cli/doctor_weights.h"
#include "cli/memory_plan.h"
#include "cli/published_templates.h"
#include "engine/engine.h"
#include "hub/cache.h"
#include "hub/digest.h"
#include "text/tokenizer.h"

namespace lancet {
namespace {
namespace json = boost::json;

std::string scale_text(const StoredTensor& tensor) {
  const ScaleGrid& scale = tensor.scale;
  if (scale.values.empty()) return "";
  if (scale.values.size() == 1) return fmt::format("{:.6g}", scale.values[0]);
  return fmt::format("{} scales of {}x{}", scale.values.size(), scale.row_block, scale.col_block);
}

json::object tensor_json(const StoredTensor& tensor) {
  return {{"name", tensor.name},
          {"file_name", tensor.file_name},
          {"file", tensor.file},
          {"format", format_name(tensor.format)},
          {"shape", json::array{tensor.rows, tensor.cols}},
          {"bytes", tensor.bytes.size()},
          {"scale", scale_text(tensor)}};
}

struct FormatSum {
  int tensors = 0;
  uint64_t bytes = 0;
};

std::map<std::string_view, FormatSum> sums_by_format(const Checkpoint& checkpoint) {
  std::map<std::string_view, FormatSum> sums;
  for (const StoredTensor& tensor : checkpoint.tensors()) {
    FormatSum& sum = sums[format_name(tensor.format)];
    sum.tensors++;
    sum.bytes += tensor.bytes.size();
  }
  return sums;
}

std::vector<TokenId> control_tokens(const Vocabulary& vocabulary) {
  std::vector<TokenId> ids;
  for (size_t id = 0; id < vocabulary.tokens.size(); id++)
    if (vocabulary.tokens[id].kind == Token::Kind::control) ids.push_back(static_cast<TokenId>(id));
  return ids;
}

/// What a token is for, besides its name: "bos", "eos", "ends an answer".
std::string token_use(const Vocabulary& vocabulary, TokenId id) {
  if (id == vocabulary.bos) return vocabulary.add_bos ? "bos, put before plain prompts" : "bos";
  if (id == vocabulary.eos) return "eos";
  const auto& ends = vocabulary.end_of_generation;
  if (std::find(ends.begin(), ends.end(), id) != ends.end()) return "ends an answer";
  if (id == vocabulary.padding) return "padding";
  return id == vocabulary.unknown ? "unknown" : "";
}

/// Numbers of a checkpoint that need a look at the machine or at the whole.
struct Facts {
  std::string template_sha256;
  std::string_view template_name;
  MemoryPlan memory;
  std::vector<std::string> warnings;
};

Facts facts_of(const Checkpoint& checkpoint) {
  Facts facts;
  const std::string_view source = checkpoint.chat_template();
  if (!source.empty()) facts.template_sha256 = digest_of(std::as_bytes(std::span(source)), 64);
  facts.template_name = published_template(facts.template_sha256);
  constexpr int kParallel = 4;  // serve's default
  const auto backend = make_cpu_backend({});
  const MemoryNeeds needs = memory_needs(checkpoint, *backend, EngineOptions().max_batch_rows, kParallel);
  facts.memory = plan_memory(needs, {.parallel = kParallel}, available_memory());
  Report report;
  examine_at_load(checkpoint, Tokenizer(checkpoint.vocabulary()), report);
  for (const Finding& finding : report.findings())
    if (finding.outcome != Outcome::good) facts.warnings.push_back(finding.text);
  for (const std::string& note : checkpoint.vocabulary().notes) facts.warnings.push_back(note);
  return facts;
}

json::object memory_json(const MemoryPlan& plan) {
  return {{"weights_bytes", plan.needs.weights},
          {"cache_bytes", plan.cache_bytes()},
          {"scratch_bytes", plan.needs.scratch},
          {"reserve_bytes", kMemoryReserve},
          {"available_bytes", plan.available == kNoLimit ? json::value() : json::value(plan.available)},
          {"context", plan.context},
          {"fits", plan.fits}};
}

class Inspect : public Command {
 public:
  void declare(Flags& flags) override {
    flags.add("MODEL", model_, "a directory, a .gguf file or a hub name");
    flags.required("MODEL");
    flags.add("--tensors", tensors_, "list every tensor");
    flags.add("--json", json_, "print one JSON document");
    flags.example("lancet inspect MODEL --tensors", "configuration, vocabulary and the table of tensors");
  }

  int run() override {
    const auto checkpoint = open_checkpoint(resolve_weights(model_));
    const Facts facts = facts_of(*checkpoint);
    json_ ? print_json(*checkpoint, facts) : print_text(*checkpoint, facts);
    return 0;
  }

 private:
  static json::array special_tokens_json(const Vocabulary& vocabulary) {
    json::array list;
    for (const TokenId id : control_tokens(vocabulary))
      list.emplace_back(json::object{{"id", id},
                                     {"name", utf8_lossy(vocabulary.tokens[static_cast<size_t>(id)].bytes)},
                                     {"use", token_use(vocabulary, id)}});
    return list;
  }

  void print_json(const Checkpoint& checkpoint, const Facts& facts) const {
    const Vocabulary& vocabulary = checkpoint.vocabulary();
    json::object values;
    for (const ConfigOrigin& origin : checkpoint.config().origins)
      values[origin.name] = json::object{{"value", origin.value}, {"key", origin.key}, {"file", origin.file}};
    json::object formats;
    for (const auto& [name, sum] : sums_by_format(checkpoint))
      formats[name] = json::object{{"tensors", sum.tensors}, {"bytes", sum.bytes}};
    json::object document{{"container", checkpoint.container()},
                          {"architecture", checkpoint.config().architecture},
                          {"stored_tensors", checkpoint.stored_tensor_count()},
                          {"fp8_tensors", checkpoint.fp8_tensor_count()},
                          {"file_bytes", checkpoint.file_bytes()},
                          {"formats", formats},
                          {"config", values},
                          {"vocabulary", json::object{{"tokens", vocabulary.tokens.size()},
                                                      {"control", control_tokens(vocabulary).size()},
                                                      {"add_bos", vocabulary.add_bos}}},
                          {"chat_template", json::object{{"bytes", checkpoint.chat_template().size()},
                                                         {"sha256", facts.template_sha256},
                                                         {"published_as", facts.template_name}}},
                          {"special_tokens", special_tokens_json(vocabulary)},
                          {"memory", memory_json(facts.memory)},
                          {"warnings", json::array(facts.warnings.begin(), facts.warnings.end())}};
    if (tensors_) {
      json::array list;
      for (const StoredTensor& tensor : checkpoint.tensors()) list.emplace_back(tensor_json(tensor));
      document["tensors"] = list;
    }
    fmt::print("{}\n", json::serialize(document));
  }

  void print_text(const Checkpoint& checkpoint, const Facts& facts) const {
    const Vocabulary& vocabulary = checkpoint.vocabulary();
    fmt::print("{}: {}, {} tensors ({} FP8), {:.2f} GB\n\n", checkpoint.config().architecture, checkpoint.container(),
               checkpoint.stored_tensor_count(), checkpoint.fp8_tensor_count(),
               static_cast<double>(checkpoint.file_bytes()) / 1e9);
    for (const ConfigOrigin& origin : checkpoint.config().origins)
      fmt::print("  {:<28} {:<20} {} in {}\n", origin.name, origin.value, origin.key, origin.file);
    fmt::print("\n");
    for (const auto& [name, sum] : sums_by_format(checkpoint))
      fmt::print("  {:<28} {} tensors, {:.3f} GB\n", name, sum.tensors, static_cast<double>(sum.bytes) / 1e9);
    fmt::print("  {:<28} {} tokens, {} of them control\n", "vocabulary", vocabulary.tokens.size(),
               control_tokens(vocabulary).size());
    print_special_tokens(vocabulary);
    if (facts.template_sha256.empty()) {
      fmt::print("  {:<28} none\n", "chat template");
    } else {
      fmt::print("  {:<28} {} bytes, sha256 {}\n  {:<28} {}\n", "chat template", checkpoint.chat_template().size(),
                 facts.template_sha256, "",
                 facts.template_name.empty() ? "none of the published ones that are known" : facts.template_name);
    }
    fmt::print("\non this machine, with the defaults of serve\n");
    for (const std::string& line : memory_table(facts.memory)) fmt::print("  {}\n", line);
    if (!facts.warnings.empty()) fmt::print("\n");
    for (const std::string& warning : facts.warnings) fmt::print("warning: {}\n", warning);
    if (!tensors_) return;
    fmt::print("\n");
    for (const StoredTensor& tensor : checkpoint.tensors())
      fmt::print("  {:<26} {:<8} {:>6} x {:<6} {:>12} bytes  {:<12} {} in {}\n", tensor.name,
                 format_name(tensor.format), tensor.rows, tensor.cols, tensor.bytes.size(), scale_text(tensor),
                 quoted(tensor.file_name), tensor.file);
  }

  /// Those with a use, then the others up to a number that can be read.
  static void print_special_tokens(const Vocabulary& vocabulary) {
    constexpr size_t kShown = 32;
    std::vector<TokenId> ids = control_tokens(vocabulary);
    std::stable_partition(ids.begin(), ids.end(), [&](TokenId id) { return !token_use(vocabulary, id).empty(); });
    for (size_t i = 0; i < std::min(ids.size(), kShown); i++)
      fmt::print("  {:<28} {:<8} {} {}\n", i == 0 ? "special tokens" : "", ids[i],
                 quoted(vocabulary.tokens[static_cast<size_t>(ids[i])].bytes), token_use(vocabulary, ids[i]));
    if (ids.size() > kShown) fmt::print("  {:<28} and {} more: --json\n", "", ids.size() - kShown);
  }

  std::string model_;
  bool tensors_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_inspect() { return std::make_unique<Inspect>(); }

}  // namespace lancet
