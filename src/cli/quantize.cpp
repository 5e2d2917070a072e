// quantize: a model in another number format, as a GGUF that llama.cpp loads too, with what that costs in numbers.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <map>

#include <fmt/format.h>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/check.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "base/quantise.h"
#include "checkpoint/convert.h"
#include "checkpoint/gguf_metadata.h"
#include "cli/activation_recorder.h"
#include "cli/command.h"
#include "cli/forward.h"
#include "cli/memory_plan.h"
#include "hub/cache.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace lancet {
namespace {
namespace fs = std::filesystem;
namespace json = boost::json;

constexpr size_t kTextLimit = size_t{64} << 20;
constexpr uint32_t kBlocksVersion = 2;  // GGUF's general.quantization_version: the layouts of base/format_blocks.cpp

/// What became of all tensors of one format.
struct FormatTotal {
  int tensors = 0;
  int64_t values = 0;
  uint64_t bytes = 0;
  double squares = 0, squared_error = 0;

  void add(const ConvertedTensor& tensor) {
    tensors++;
    values += tensor.values;
    bytes += tensor.bytes;
    squares += tensor.squares;
    squared_error += tensor.squared_error;
  }
  double relative_rms() const { return squares > 0 ? std::sqrt(squared_error / squares) : 0; }
  double bits() const { return 8.0 * static_cast<double>(bytes) / static_cast<double>(values); }
};

std::vector<std::string> mix_names() {
  std::vector<std::string> names;
  for (const FormatMix& mix : format_mixes()) {
    names.emplace_back(mix.name);
    if (mix.name.ends_with("_m")) names.emplace_back(mix.name.substr(0, mix.name.size() - 2));
  }
  return names;
}

// Set by SIGINT and SIGTERM, read between two writes, so that no half of a file stays behind. Orders nothing.
volatile std::sig_atomic_t stopped = 0;

class Quantize : public Command {
 public:
  void declare(Flags& flags) override {
    flags.add("MODEL", model_, "a directory, a .gguf file or a hub name");
    flags.required("MODEL");
    flags.choice("--to", to_, "the format; q5_k, q4_k and q3_k are short for the mixes ending in _m", mix_names());
    flags.required("--to");
    flags.add("-o,--out", out_, "the GGUF to write");
    flags.required("--out");
    flags.add("--force", force_, "replace the output if it exists");
    flags.add("--calibrate", text_,
              "a file with a text like those that the model will see: what it multiplies most counts most");
    flags.add("--calibrate-tokens", most_, "use at most so many tokens of that text", 64, INT32_MAX);
    flags.add("--threads", threads_, "threads; 0: one per usable core", 0, 1024);
    flags.add("--json", json_, "print one JSON document");
    flags.example("lancet quantize MODEL --to q4_k_m -o model-q4_k_m.gguf", "4.5 to 6.6 bits a weight");
    flags.example("lancet quantize MODEL --to q4_k_m -o model.gguf --calibrate text.txt",
                  "less loss for the same bytes");
    flags.example("lancet quantize MODEL --to bf16 -o model-bf16.gguf", "a BF16 checkpoint without loss");
  }

  int run() override {
    const FormatMix* mix = find_format_mix(to_);
    CHECK(mix);
    const fs::path path = resolve_weights(model_);
    const auto checkpoint = open_checkpoint(path);
    Conversion conversion{.mix = *mix, .out = out_, .replace = force_, .progress = [&](uint64_t done, uint64_t all) {
                            report(done, all);
                          }};
    check_output(*checkpoint, conversion);  // before the work of calibrating
    Importance importance;
    if (!text_.empty()) importance = calibrate(*checkpoint);
    conversion.importance = &importance;
    GgufMetadata metadata = metadata_of(*checkpoint, path);
    metadata.add("general.file_type", mix->file_type);
    metadata.add("general.quantization_version", kBlocksVersion);
    std::signal(SIGINT, [](int) { stopped = 1; });
    std::signal(SIGTERM, [](int) { stopped = 1; });
    ThreadPool pool(threads_);
    const Converted converted = convert_to_gguf(*checkpoint, metadata, conversion, pool);
    json_ ? print_json(*checkpoint, *mix, converted) : print_text(*checkpoint, converted);
    return 0;
  }

 private:
  static GgufMetadata metadata_of(const Checkpoint& checkpoint, const fs::path& path) {
    Budget budget("describing the model");
    if (!checkpoint.container().starts_with("gguf"))
      return describe_in_gguf(checkpoint, fs::weakly_canonical(path).filename().string(), budget);
    const GgufModel model = open_gguf(path, budget);
    return copy_metadata(model.parts.front());
  }

  /// Runs the model over the text, in chunks that know nothing of each other.
  Importance calibrate(const Checkpoint& checkpoint) const {
    const Tokenizer tokenizer(checkpoint.vocabulary());
    Budget budget("the tokenizer");
    std::vector<TokenId> ids = tokenizer.encode(read_text_file(text_, kTextLimit), false, budget).ids;
    ids.resize(std::min(ids.size(), static_cast<size_t>(most_)));
    if (ids.empty())
      throw Error(Fault::bad_request, fmt::format("{}: has no text to calibrate with", lancet::quoted(text_)));
    const uint64_t available = available_memory(), memory = available > kMemoryReserve ? available - kMemoryReserve : 0;
    ActivationRecorder recorder(make_cpu_backend({.threads = threads_, .packing = {.memory = memory}}));
    const auto model = load_model(checkpoint, recorder);
    const auto chunk = static_cast<size_t>(std::min(kCalibrationChunk, model->limits().context));
    ForwardRun forward(*model, 1, static_cast<int>(chunk));
    const auto& bos = checkpoint.vocabulary().bos;
    for (size_t begin = 0; begin < ids.size(); begin += chunk) {
      std::vector<TokenId> part(ids.begin() + static_cast<ptrdiff_t>(begin),
                                ids.begin() + static_cast<ptrdiff_t>(std::min(begin + chunk, ids.size())));
      if (checkpoint.vocabulary().add_bos && bos) part[0] = *bos;
      forward.rewind(0);
      forward.append(0, part, true, [](int, std::span<const float>) {});
      show("calibrating", begin + part.size(), ids.size());
    }
    return recorder.importance();
  }

  static std::vector<std::string> notes_of(const Checkpoint& checkpoint) {
    std::vector<std::string> out;
    if (checkpoint.config().vision) out.emplace_back("the image part is left out: the file is the text model");
    const auto tensors = checkpoint.tensors();
    const auto coarse =
        std::find_if(tensors.begin(), tensors.end(), [](const StoredTensor& t) { return can_quantise(t.format); });
    if (coarse != tensors.end())
      out.push_back(fmt::format("the model was quantised already ({}): errors are counted from there, and add up",
                                format_name(coarse->format)));
    return out;
  }

  void report(uint64_t done, uint64_t all) const {
    if (stopped)
      throw Error(Fault::cancelled, fmt::format("{}: interrupted, nothing is written", lancet::quoted(out_)));
    show("writing", done, all);
  }

  /// A line that overwrites itself, for people at a terminal.
  void show(std::string_view what, uint64_t done, uint64_t all) const {
    if (json_ || !isatty(STDERR_FILENO)) return;
    fmt::print(stderr, "\r{}: {} %{}", what, done * 100 / all, done == all ? "\r\033[K" : "");
  }

  static std::map<std::string_view, FormatTotal> totals(const Converted& converted) {
    std::map<std::string_view, FormatTotal> out;
    for (const ConvertedTensor& tensor : converted.tensors) out[format_name(tensor.to)].add(tensor);
    return out;
  }

  static FormatTotal total(const Converted& converted) {
    FormatTotal out;
    for (const ConvertedTensor& tensor : converted.tensors) out.add(tensor);
    return out;
  }

  static const ConvertedTensor& worst(const Converted& converted) {
    return *std::max_element(converted.tensors.begin(), converted.tensors.end(),
                             [](const auto& a, const auto& b) { return a.relative_rms() < b.relative_rms(); });
  }

  void print_json(const Checkpoint& checkpoint, const FormatMix& mix, const Converted& converted) const {
    const auto facts = [](const FormatTotal& sum) {
      return json::object{{"tensors", sum.tensors},
                          {"bytes", sum.bytes},
                          {"bits_per_weight", sum.bits()},
                          {"relative_rms", sum.relative_rms()}};
    };
    json::object formats;
    for (const auto& [name, sum] : totals(converted)) formats[name] = facts(sum);
    json::array tensors;
    for (const ConvertedTensor& tensor : converted.tensors) {
      tensors.emplace_back(json::object{{"name", tensor.name},
                                        {"from", format_name(tensor.from)},
                                        {"to", format_name(tensor.to)},
                                        {"bytes", tensor.bytes},
                                        {"relative_rms", tensor.relative_rms()}});
    }
    const std::vector<std::string> notes = notes_of(checkpoint);
    const json::object document{{"out", out_},
                                {"format", mix.name},
                                {"calibrated", !text_.empty()},
                                {"bytes", converted.bytes},
                                {"source_bytes", checkpoint.file_bytes()},
                                {"all", facts(total(converted))},
                                {"formats", formats},
                                {"tensors", tensors},
                                {"notes", json::array(notes.begin(), notes.end())}};
    fmt::print("{}\n", json::serialize(document));
  }

  void print_text(const Checkpoint& checkpoint, const Converted& converted) const {
    const auto line = [](std::string_view name, const FormatTotal& sum) {
      fmt::print("  {:<6} {:>4} tensors {:>9.1f} MB {:>6.2f} bits a weight   relative error {:.6f}\n", name,
                 sum.tensors, static_cast<double>(sum.bytes) / 1e6, sum.bits(), sum.relative_rms());
    };
    fmt::print("{}: {:.3f} GB (the model's files: {:.3f} GB)\n", out_, static_cast<double>(converted.bytes) / 1e9,
               static_cast<double>(checkpoint.file_bytes()) / 1e9);
    for (const auto& [name, sum] : totals(converted)) line(name, sum);
    line("all", total(converted));
    const ConvertedTensor& most = worst(converted);
    fmt::print("  the greatest error is in {}: {:.6f}\n", most.name, most.relative_rms());
    for (const std::string& note : notes_of(checkpoint)) fmt::print("  note: {}\n", note);
  }

  static constexpr int kCalibrationChunk = 512;  // tokens
  std::string model_, to_, out_, text_;
  int most_ = 65536, threads_ = 0;
  bool force_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_quantize() { return std::make_unique<Quantize>(); }

}  // namespace lancet
