// A model on disk, whatever its container. Readers translate names, metadata, FP8 scales and rotary order to ours;
// above this line nobody knows which kind of file it was.
//
// Canonical tensor names: "text.embedding", "text.output" (untied head), "text.output_norm",
// "text.<layer>.attention_norm", ".attention.q|k|v|o", ".ffn_norm", ".ffn.gate|up|down";
// "vision.patch", "vision.norm", "vision.<layer>.attention_norm|attention.q|k|v|o|ffn_norm|ffn.gate|up|down";
// "projector.norm", "projector.merge", "projector.1", "projector.2".
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/format.h"
#include "base/mapped_file.h"
#include "checkpoint/model_config.h"
#include "checkpoint/vocabulary.h"

namespace lancet {

/// FP8 scales: value = decoded * values[row / row_block][col / col_block]. Empty: no scale.
/// One scalar is a grid of one; one scale a row has row_block 1 and col_block = cols.
struct ScaleGrid {
  int64_t row_block = 0, col_block = 0;
  std::vector<float> values;  // row-major, [ceil(rows / row_block), ceil(cols / col_block)]
};

/// One matrix as it lies in the file: a view, never a copy; valid while its Checkpoint lives.
/// Vectors have rows == 1. The patch convolution is [out, 3 * patch * patch].
struct StoredTensor {
  std::string name;       // canonical
  std::string file_name;  // what the file calls it
  std::string file;       // which file, without its folder
  Format format = Format::f32;
  int64_t rows = 0, cols = 0;
  std::span<const std::byte> bytes;
  ScaleGrid scale;
  const MappedFile* mapping = nullptr;  // the file that the bytes are mapped from; null: they lie elsewhere
};

/// Immutable after opening; any thread.
class Checkpoint {
 public:
  virtual ~Checkpoint() = default;
  virtual const ModelConfig& config() const = 0;
  virtual const Vocabulary& vocabulary() const = 0;
  /// The chat template's text (Jinja), or empty if the model has none.
  virtual std::string_view chat_template() const = 0;
  /// What the container is: "safetensors, 2 shards", "gguf v3".
  virtual std::string_view container() const = 0;
  /// All tensors in the order of their canonical names; scale tensors are folded into their weights.
  virtual std::span<const StoredTensor> tensors() const = 0;
  /// Number of tensors as the files count them (scales included), and of FP8 ones among them.
  virtual int stored_tensor_count() const = 0;
  virtual int fp8_tensor_count() const = 0;
  /// Bytes of all files that hold tensors.
  virtual uint64_t file_bytes() const = 0;
  /// A hash of the sizes and times of those files, which another content has others of; 0: unknown.
  virtual uint64_t file_identity() const { return 0; }

  /// By canonical name; null: not in the file. Logarithmic.
  const StoredTensor* find(std::string_view name) const;
};

/// Opens a safetensors directory (Hugging Face or Mistral-native) or a .gguf file (the first part of a split brings
/// the others), judged by content. Everything is validated before this returns: containers, configuration, vocabulary,
/// FP8 scales, and that the text model's tensors are all there in the right shapes.
/// Throws Error: not_found, io, bad_file (says what and where), unsupported.
std::unique_ptr<Checkpoint> open_checkpoint(const std::filesystem::path& path);

/// The parts of a checkpoint that need no weights, for tokenize and render: a directory without weights, a bare
/// tokenizer.json or tekken.json, or anything that open_checkpoint takes.
struct TextAssets {
  Vocabulary vocabulary;
  std::string chat_template;  // may be empty
};
TextAssets open_text_assets(const std::filesystem::path& path);

/// The tensor, or Error{bad_file} that names it and states wanted and found shapes.
const StoredTensor& require(const Checkpoint&, std::string_view name, int64_t rows, int64_t cols);

}  // namespace lancet
