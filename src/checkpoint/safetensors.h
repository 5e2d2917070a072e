// The safetensors container: an eight-byte length, a JSON header, and bytes. Every invariant of the format is checked
// before a view is handed out (huggingface/safetensors, README.md, "Format"), so that nobody above has to ask whether
// a range lies inside the file.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/budget.h"
#include "base/mapped_file.h"
#include "checkpoint/raw_tensor.h"

namespace lancet {

inline constexpr uint64_t kSafetensorsHeaderBytes = 100'000'000;  // the format's own cap
inline constexpr size_t kTensorLimit = size_t{1} << 20;           // in one file, either container

/// The tensors of one file, in the order of their data; views into `bytes`. Throws Error{bad_file} that names the
/// tensor (both tensors, where two contradict each other).
std::vector<RawTensor> read_safetensors(std::span<const std::byte> bytes, const std::string& source, Budget&);

/// The (tensor, shard) pairs of a model.safetensors.index.json. Shard names are plain file names: no folders.
std::vector<std::pair<std::string, std::string>> read_safetensors_index(std::string_view text,
                                                                        const std::string& source, Budget&);

/// All weights of a folder: the maps and what they hold. The views live as long as the maps.
struct SafetensorsFolder {
  std::vector<MappedFile> files;
  std::vector<RawTensor> tensors;
};

/// Opens `<stem>.safetensors`, or without it the shards that `<stem>.safetensors.index.json` names.
/// Throws Error{not_found} for a missing shard and Error{bad_file} where index and shards contradict each other.
SafetensorsFolder open_safetensors_folder(const std::filesystem::path& folder, const std::string& stem, Budget&);

}  // namespace lancet
