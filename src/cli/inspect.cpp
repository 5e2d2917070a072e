// inspect: what the files say, with the origin of every value.
#include <map>

#include <fmt/format.h>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/error.h"
#include "base/hash.h"
#include "checkpoint/checkpoint.h"
#include "cli/command.h"
#include "hub/cache.h"

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

int control_tokens(const Vocabulary& vocabulary) {
  int count = 0;
  for (const Token& token : vocabulary.tokens) count += token.kind == Token::Kind::control;
  return count;
}

std::string template_hash(std::string_view source) {
  return source.empty() ? "" : fmt::format("{:016x}", hash64(std::as_bytes(std::span(source))));
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
    json_ ? print_json(*checkpoint) : print_text(*checkpoint);
    return 0;
  }

 private:
  void print_json(const Checkpoint& checkpoint) const {
    const Vocabulary& vocabulary = checkpoint.vocabulary();
    json::object values;
    for (const ConfigOrigin& origin : checkpoint.config().origins)
      values[origin.name] = json::object{{"value", origin.value}, {"key", origin.key}, {"file", origin.file}};
    json::array notes(checkpoint.config().notes.begin(), checkpoint.config().notes.end());
    for (const std::string& note : vocabulary.notes) notes.emplace_back(note);
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
                                                      {"control", control_tokens(vocabulary)},
                                                      {"add_bos", vocabulary.add_bos}}},
                          {"chat_template", json::object{{"bytes", checkpoint.chat_template().size()},
                                                         {"xxh3", template_hash(checkpoint.chat_template())}}},
                          {"notes", notes}};
    if (tensors_) {
      json::array list;
      for (const StoredTensor& tensor : checkpoint.tensors()) list.emplace_back(tensor_json(tensor));
      document["tensors"] = list;
    }
    fmt::print("{}\n", json::serialize(document));
  }

  void print_text(const Checkpoint& checkpoint) const {
    const Vocabulary& vocabulary = checkpoint.vocabulary();
    fmt::print("{}: {}, {} tensors ({} FP8), {:.2f} GB\n\n", checkpoint.config().architecture, checkpoint.container(),
               checkpoint.stored_tensor_count(), checkpoint.fp8_tensor_count(),
               static_cast<double>(checkpoint.file_bytes()) / 1e9);
    for (const ConfigOrigin& origin : checkpoint.config().origins)
      fmt::print("  {:<28} {:<20} {} in {}\n", origin.name, origin.value, origin.key, origin.file);
    fmt::print("\n  {:<28} {} tokens, {} of them control\n", "vocabulary", vocabulary.tokens.size(),
               control_tokens(vocabulary));
    fmt::print("  {:<28} {}\n", "chat template",
               checkpoint.chat_template().empty() ? "none"
                                                  : fmt::format("{} bytes, xxh3 {}", checkpoint.chat_template().size(),
                                                                template_hash(checkpoint.chat_template())));
    for (const auto& [name, sum] : sums_by_format(checkpoint))
      fmt::print("  {:<28} {} tensors, {:.3f} GB\n", name, sum.tensors, static_cast<double>(sum.bytes) / 1e9);
    for (const std::string& note : checkpoint.config().notes) fmt::print("  note: {}\n", note);
    for (const std::string& note : vocabulary.notes) fmt::print("  note: {}\n", note);
    if (!tensors_) return;
    fmt::print("\n");
    for (const StoredTensor& tensor : checkpoint.tensors())
      fmt::print("  {:<26} {:<8} {:>6} x {:<6} {:>12} bytes  {:<12} {} in {}\n", tensor.name,
                 format_name(tensor.format), tensor.rows, tensor.cols, tensor.bytes.size(), scale_text(tensor),
                 quoted(tensor.file_name), tensor.file);
  }

  std::string model_;
  bool tensors_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_inspect() { return std::make_unique<Inspect>(); }

}  // namespace lancet
