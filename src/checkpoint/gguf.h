// The GGUF container, versions 2 and 3: typed metadata, a tensor table, aligned data. Everything is a view into the
// mapped file, so a vocabulary of 131,072 tokens costs a walk, not a copy. Source of the format: ggml docs/gguf.md.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/budget.h"
#include "base/mapped_file.h"
#include "checkpoint/raw_tensor.h"

namespace lancet {

class Reader;

inline constexpr uint64_t kGgufStringBytes = 64 << 20;
inline constexpr uint64_t kGgufArrayValues = uint64_t{1} << 26;
inline constexpr uint64_t kGgufKeys = uint64_t{1} << 20;
inline constexpr uint32_t kGgufDims = 4;
inline constexpr uint64_t kGgufAlignment = 1 << 20;  // largest

enum class GgufType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

struct GgufValue {
  std::string_view key;
  GgufType type;
  GgufType element;                  // of an array; else the same as type
  uint64_t count;                    // of an array; else 1
  std::span<const std::byte> bytes;  // the value, without the array's header
};

/// Metadata and tensors of one file; views into its bytes.
class GgufFile {
 public:
  /// Throws Error{bad_file} that names the key or tensor at fault, and Error{unsupported} for tensor types that
  /// Lancet does not decode.
  GgufFile(std::span<const std::byte> bytes, std::string source, Budget&);

  const std::string& source() const { return source_; }
  uint32_t version() const { return version_; }
  std::vector<RawTensor>& tensors() { return tensors_; }
  const std::vector<RawTensor>& tensors() const { return tensors_; }
  /// All metadata, sorted by key.
  std::span<const GgufValue> values() const { return values_; }

  /// The values below: nothing if the key is absent, Error{bad_file} naming the key if it has another type. Integers
  /// of every width count as integers; a number may be an integer too, and an f32 is the shortest decimal that rounds
  /// to it (0.1, not 0.10000000149), which is what its writer meant and what other containers say.
  const GgufValue* find(std::string_view key) const;
  std::optional<std::string_view> string(std::string_view key) const;
  std::optional<int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  std::vector<std::string_view> strings(std::string_view key) const;  // empty if absent
  std::vector<int32_t> integers(std::string_view key) const;          // empty if absent
  [[noreturn]] void fail(std::string_view key, const std::string& problem) const;

 private:
  void read_values(Reader&, uint64_t count, Budget&);
  void read_tensors(Reader&, uint64_t count, Budget&);

  std::string source_;
  uint32_t version_ = 0;
  std::vector<GgufValue> values_;   // sorted by key
  std::vector<RawTensor> tensors_;  // in the order of the file
};

/// The parts of a model: one file, or all of a split set. Metadata is the first part's.
struct GgufModel {
  std::vector<MappedFile> files;
  std::vector<GgufFile> parts;
};

/// Opens a .gguf and, if it is part of a split, all others (by name: -00001-of-00003.gguf).
/// Throws Error{not_found} naming a missing part and Error{bad_file} for parts that do not belong together.
GgufModel open_gguf(const std::filesystem::path& path, Budget&);

/// ggml's number of a format (enum ggml_type); nothing: GGUF has no such type.
std::optional<uint32_t> gguf_type_number(Format);

/// True if the bytes begin as a GGUF does.
bool has_gguf_magic(std::span<const std::byte> bytes);

}  // namespace lancet
