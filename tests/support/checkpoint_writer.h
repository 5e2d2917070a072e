// Writes model files by hand, right ones and wrong ones: safetensors, GGUF, and whole tiny models of both kinds whose
// every part a test can change before it is written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lancet::test {

/// A folder that goes away with its object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  ~TemporaryFolder();
  const std::filesystem::path& path() const { return path_; }
  /// Writes a file in the folder (folders on the way are made) and returns its path.
  std::filesystem::path write(const std::filesystem::path& name, std::string_view bytes) const;

 private:
  std::filesystem::path path_;
};

/// Little-endian bytes of a number.
template <typename T>
std::string little_endian(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(T));
}

/// A tensor about to be written. Types are spelled as the container does: "BF16", "F8_E4M3"; for GGUF "F32", "Q8_0".
struct WriterTensor {
  std::string name, type;
  std::vector<int64_t> shape;  // outermost first, in both containers
  std::string bytes;
};

/// A tensor of small deterministic numbers (a function of name and index) in F32, F16, BF16 or F8_E4M3.
WriterTensor make_tensor(const std::string& name, const std::string& type, std::vector<int64_t> shape);
/// A tensor of given numbers in F32 or BF16.
WriterTensor make_values(const std::string& name, const std::string& type, std::vector<int64_t> shape,
                         const std::vector<float>& values);

/// A safetensors file of this header text and data.
std::string safetensors_file(std::string_view header, std::string_view data);
/// A valid safetensors file, tensors in the given order.
std::string safetensors_file(const std::vector<WriterTensor>& tensors);

/// Metadata of a GGUF in the order of the calls; a key may be set again, which replaces it in place.
class GgufWriter {
 public:
  uint32_t version = 3;
  uint32_t alignment = 32;  // where data goes; the key general.alignment is the caller's
  std::vector<WriterTensor> tensors;

  GgufWriter& u16(const std::string& key, uint16_t value) { return raw(key, 2, little_endian(value)); }
  GgufWriter& u32(const std::string& key, uint32_t value) { return raw(key, 4, little_endian(value)); }
  GgufWriter& i32(const std::string& key, int32_t value) { return raw(key, 5, little_endian(value)); }
  GgufWriter& f32(const std::string& key, float value) { return raw(key, 6, little_endian(value)); }
  GgufWriter& boolean(const std::string& key, bool value) { return raw(key, 7, std::string(1, value ? '\1' : '\0')); }
  GgufWriter& string(const std::string& key, std::string_view value);
  GgufWriter& strings(const std::string& key, const std::vector<std::string>& values);
  GgufWriter& i32s(const std::string& key, const std::vector<int32_t>& values);
  /// Any type number with any bytes.
  GgufWriter& raw(const std::string& key, uint32_t type, std::string bytes);
  GgufWriter& remove(const std::string& key);
  std::string bytes() const;

  struct Entry {
    std::string key;
    uint32_t type;
    std::string bytes;
  };
  std::vector<Entry> entries;
};

/// Sizes shared by the tiny models below. The vocabulary is <unk>, <s>, </s>, 256 bytes and one merged token, "he".
struct TinySizes {
  int layers = 2, hidden = 16, heads = 2, kv_heads = 1, head_width = 8, ffn = 16, vocabulary = 260;
  int vision_layers = 1, vision_hidden = 8, vision_heads = 1, vision_ffn = 8, patch = 2, image_size = 8;
};

/// A Hugging Face folder in memory; write() puts it on disk. Ministral 3, FP8 linears, tied, with an image part.
struct TinyFolder {
  std::string config, generation_config, tokenizer, tokenizer_config, chat_template;
  std::vector<WriterTensor> tensors;

  explicit TinyFolder(const TinySizes& sizes = {});
  WriterTensor& tensor(std::string_view name);
  void remove(std::string_view name);
  /// Replaces the first occurrence of `from` in the configuration; it must be there.
  void configure(std::string_view from, std::string_view to);
  void write(const TemporaryFolder& folder) const;
};

/// The same text model as a GGUF: arch mistral3, F32.
GgufWriter tiny_gguf(const TinySizes& sizes = {});

/// The message of the lancet::Error that this throws; "" if it throws none.
std::string error_message(const std::function<void()>& action);

}  // namespace lancet::test
