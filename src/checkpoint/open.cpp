// The door of this folder: looks at what a path is, calls the readers of that container, and holds what they found.
// A file that is truncated while it is mapped raises SIGBUS in whoever touches the lost pages; nothing here prevents
// that. Lancet's own downloads are renamed into place, so only a foreign writer can do it.
#include <algorithm>
#include <system_error>

#include <fmt/format.h>

#include "base/error.h"
#include "base/hash.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/config_readers.h"
#include "checkpoint/gguf.h"
#include "checkpoint/gguf_names.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_names.h"
#include "checkpoint/text_files.h"

namespace lancet {
namespace fs = std::filesystem;
namespace {

constexpr size_t kConfigBytes = 16 << 20;

/// Everything that a reader found, and the maps that the views point into.
struct Contents {
  std::vector<MappedFile> files;
  ModelConfig config;
  Vocabulary vocabulary;
  std::string chat_template;
  std::string container;
  std::vector<StoredTensor> tensors;
  int stored_tensors = 0;
  int fp8_tensors = 0;
};

class OpenedCheckpoint final : public Checkpoint {
 public:
  explicit OpenedCheckpoint(Contents contents) : contents_(std::move(contents)) {
    for (StoredTensor& tensor : contents_.tensors) {
      for (const MappedFile& file : contents_.files)
        if (holds(file, tensor.bytes)) tensor.mapping = &file;
    }
  }
  const ModelConfig& config() const override { return contents_.config; }
  const Vocabulary& vocabulary() const override { return contents_.vocabulary; }
  std::string_view chat_template() const override { return contents_.chat_template; }
  std::string_view container() const override { return contents_.container; }
  std::span<const StoredTensor> tensors() const override { return contents_.tensors; }
  int stored_tensor_count() const override { return contents_.stored_tensors; }
  int fp8_tensor_count() const override { return contents_.fp8_tensors; }
  uint64_t file_bytes() const override {
    uint64_t total = 0;
    for (const MappedFile& file : contents_.files) total += file.bytes().size();
    return total;
  }
  uint64_t file_identity() const override {
    uint64_t hash = contents_.files.size();
    for (const MappedFile& file : contents_.files) {
      hash = hash_combine(hash, file.bytes().size());
      hash = hash_combine(hash, static_cast<uint64_t>(file.modified_ns()));
    }
    return hash;
  }

 private:
  static bool holds(const MappedFile& file, std::span<const std::byte> bytes) {
    const auto all = file.bytes();
    return bytes.data() >= all.data() && bytes.data() + bytes.size() <= all.data() + all.size();
  }

  Contents contents_;
};

/// What a folder's files say about its layout. Mistral's repositories ship the weights twice; Hugging Face's win, and
/// the other copy is never touched.
struct Layout {
  bool hugging_face;
  std::string config_name;
  std::string weights;  // stem of the weight files
};

std::optional<Layout> find_layout(const fs::path& folder) {
  if (path_exists(folder / "config.json")) return Layout{true, "config.json", "model"};
  if (path_exists(folder / "params.json")) return Layout{false, "params.json", "consolidated"};
  return std::nullopt;
}

SafetensorsConfig read_config(const fs::path& folder, const Layout& layout, Budget& budget) {
  const std::string text = read_text_file(folder / layout.config_name, kConfigBytes);
  refuse_impostor(std::as_bytes(std::span(text)), layout.config_name);
  return layout.hugging_face ? read_config_json(text, layout.config_name, budget)
                             : read_params_json(text, layout.config_name, budget);
}

/// A broken download often has its full length and zeros at the end; weights hardly ever do.
void note_zero_tail(const MappedFile& file, std::vector<std::string>& notes) {
  constexpr size_t kTail = 4096;
  const auto bytes = file.bytes();
  if (bytes.size() < 2 * kTail) return;
  const auto tail = bytes.last(kTail);
  if (std::any_of(tail.begin(), tail.end(), [](std::byte b) { return b != std::byte{0}; })) return;
  notes.push_back(fmt::format("{}: its last {} bytes are all zero, as a download that broke off leaves them",
                              file.path().filename().string(), kTail));
}

/// What a folder has instead of what was wanted: "; the folder has ...", or nothing.
std::string list_weights(const fs::path& folder) {
  constexpr int kShown = 6;
  std::string list;
  int count = 0;
  std::error_code ignored;  // a folder that cannot be read has nothing to show
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const auto ends = {".safetensors", ".gguf", ".bin", ".pt"};
    if (std::none_of(ends.begin(), ends.end(), [&](const char* end) { return name.ends_with(end); })) continue;
    if (++count <= kShown) list += (list.empty() ? "; the folder has " : ", ") + lancet::quoted(name);
  }
  return count > kShown ? list + ", ..." : list;
}

/// The weights that the layout promises, or a sentence about what the folder has instead.
void check_weights_exist(const fs::path& folder, const Layout& layout) {
  if (path_exists(folder / (layout.weights + ".safetensors")) ||
      path_exists(folder / (layout.weights + ".safetensors.index.json"))) {
    return;
  }
  throw Error(Fault::not_found,
              fmt::format("{}: has {}, but neither {}.safetensors nor its index{}", lancet::quoted(folder.string()),
                          layout.config_name, layout.weights, list_weights(folder)));
}

void note_ties(const SafetensorsConfig& config, Contents& out) {
  const auto has_head = std::any_of(out.tensors.begin(), out.tensors.end(),
                                    [](const StoredTensor& t) { return t.name == "text.output"; });
  if (!config.tied || *config.tied != has_head) return;
  out.config.notes.push_back(has_head
                                 ? "the tie flag says that the embedding is the head, the file has a head of its own: "
                                   "the head is used"
                                 : "the tie flag says that there is a head, the file has none: the embedding is used");
}

Contents open_folder(const fs::path& folder, Budget& budget) {
  const auto layout = find_layout(folder);
  if (!layout) {
    throw Error(Fault::not_found, fmt::format("{}: is a folder without config.json or params.json: no model to open{}",
                                              lancet::quoted(folder.string()), list_weights(folder)));
  }
  SafetensorsConfig config = read_config(folder, *layout, budget);
  check_weights_exist(folder, *layout);
  Contents out;
  SafetensorsFolder weights = open_safetensors_folder(folder, layout->weights, budget);
  out.files = std::move(weights.files);
  out.container = fmt::format("safetensors, {} {}", out.files.size(), out.files.size() == 1 ? "file" : "shards");
  if (!layout->hugging_face) out.container += ", Mistral-native";
  out.stored_tensors = static_cast<int>(weights.tensors.size());
  const std::string source =
      out.files.size() == 1 ? out.files[0].path().filename().string() : layout->weights + ".safetensors.index.json";
  SafetensorsWeights named = name_safetensors(std::move(weights.tensors), config, source, budget);
  out.fp8_tensors = named.fp8_tensors;
  out.config = config.model;
  if (named.activation_scales > 0) {
    out.config.notes.push_back(fmt::format("{} activation scales are not used: activations are not quantised to FP8",
                                           named.activation_scales));
  }
  out.tensors = select_tensors(out.config, std::move(named.inventory));
  note_ties(config, out);
  for (const MappedFile& file : out.files) note_zero_tail(file, out.config.notes);
  TextAssets text = read_text_folder(folder, config.special_ids, budget);
  fit_vocabulary(text.vocabulary, out.config.text.vocabulary, layout->config_name);
  out.vocabulary = std::move(text.vocabulary);
  out.chat_template = std::move(text.chat_template);
  return out;
}

Contents open_gguf_model(const fs::path& path, Budget& budget) {
  Contents out;
  GgufModel model = open_gguf(path, budget);
  const GgufFile& first = model.parts.front();
  out.config = read_gguf_config(first);
  out.container = fmt::format("gguf v{}", first.version());
  if (model.parts.size() > 1) out.container += fmt::format(", {} parts", model.parts.size());
  for (const GgufFile& part : model.parts) out.stored_tensors += static_cast<int>(part.tensors().size());
  out.tensors = select_tensors(out.config, name_gguf(model.parts, out.config, budget));
  for (const MappedFile& file : model.files) note_zero_tail(file, out.config.notes);
  TextAssets text = read_text_gguf(first, budget);
  fit_vocabulary(text.vocabulary, out.config.text.vocabulary, first.source());
  out.vocabulary = std::move(text.vocabulary);
  out.chat_template = std::move(text.chat_template);
  out.files = std::move(model.files);
  return out;
}

enum class PathKind { folder, gguf, safetensors, other };

PathKind kind_of(const fs::path& path) {
  if (!path_exists(path))
    throw Error(Fault::not_found, fmt::format("{}: there is no such file or folder", lancet::quoted(path.string())));
  std::error_code ignored;  // what is no folder is opened, which says what is wrong with it
  if (fs::is_directory(path, ignored)) return PathKind::folder;
  const MappedFile file(path);
  if (has_gguf_magic(file.bytes())) return PathKind::gguf;
  if (path.extension() == ".safetensors" || path.string().ends_with(".safetensors.index.json"))
    return PathKind::safetensors;
  refuse_impostor(file.bytes(), path.filename().string());
  return PathKind::other;
}

fs::path folder_of(const fs::path& file) { return file.has_parent_path() ? file.parent_path() : fs::path("."); }

}  // namespace

const StoredTensor* Checkpoint::find(std::string_view name) const {
  const auto all = tensors();
  const auto at = std::lower_bound(all.begin(), all.end(), name,
                                   [](const StoredTensor& tensor, std::string_view n) { return tensor.name < n; });
  return at != all.end() && at->name == name ? &*at : nullptr;
}

const StoredTensor& require(const Checkpoint& checkpoint, std::string_view name, int64_t rows, int64_t cols) {
  const StoredTensor* tensor = checkpoint.find(name);
  if (!tensor) {
    throw Error(Fault::bad_file, fmt::format("the model has no tensor {}, wanted [{}, {}]", name, rows, cols),
                std::string(name));
  }
  if (tensor->rows != rows || tensor->cols != cols) {
    throw Error(Fault::bad_file,
                fmt::format("{}: tensor {} ({}) is [{}, {}], wanted [{}, {}]", tensor->file,
                            lancet::quoted(tensor->file_name), name, tensor->rows, tensor->cols, rows, cols),
                std::string(name));
  }
  return *tensor;
}

std::unique_ptr<Checkpoint> open_checkpoint(const fs::path& path) {
  Budget budget("opening the model");
  switch (kind_of(path)) {
    case PathKind::folder: return std::make_unique<OpenedCheckpoint>(open_folder(path, budget));
    case PathKind::gguf: return std::make_unique<OpenedCheckpoint>(open_gguf_model(path, budget));
    case PathKind::safetensors: return std::make_unique<OpenedCheckpoint>(open_folder(folder_of(path), budget));
    case PathKind::other: break;
  }
  throw Error(Fault::bad_file, fmt::format("{}: is no model: wanted a folder with safetensors, or a .gguf file",
                                           lancet::quoted(path.string())));
}

TextAssets open_text_assets(const fs::path& path) {
  Budget budget("opening the tokenizer");
  const PathKind kind = kind_of(path);
  if (kind == PathKind::gguf) {
    const GgufModel model = open_gguf(path, budget);
    return read_text_gguf(model.parts.front(), budget);
  }
  if (kind == PathKind::other) return read_text_file_alone(path, budget);
  const fs::path folder = kind == PathKind::folder ? path : folder_of(path);
  // The architecture does not matter for text, so that prompts of models that Lancet cannot run can be looked at.
  std::string special_ids = "{}";
  if (path_exists(folder / "config.json")) {
    special_ids = read_special_ids(read_text_file(folder / "config.json", kConfigBytes), "config.json", budget);
  }
  return read_text_folder(folder, special_ids, budget);
}

}  // namespace lancet
