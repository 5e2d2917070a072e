// Which tensors a model must have, and the comparison of that list with what a container brought. Shared by both
// containers, so that a missing or misshapen tensor is told with the same words.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/model_config.h"
#include "checkpoint/raw_tensor.h"

namespace lancet {

/// A tensor whose meaning is known.
struct NamedTensor {
  std::string canonical;
  RawTensor raw;
  ScaleGrid scale;
};

/// A container's tensors, sorted by what the names say.
struct TensorInventory {
  std::string source;  // names the model in messages
  std::vector<NamedTensor> named;
  std::vector<std::string> unknown;  // names in the file that mean nothing to us
  /// The file's usual spelling of a canonical name, for messages.
  std::string (*spell)(const std::string& canonical) = nullptr;
};

/// A layer's number as names spell it: decimal, no sign, no leading zero, below 10,000; else nothing.
std::optional<int> parse_layer(std::string_view text);

/// One tensor that the architecture has. Vectors have rows == 1.
struct WantedTensor {
  std::string name;  // canonical
  int64_t rows, cols;
  bool required;
};

/// All tensors of a model with this configuration.
std::vector<WantedTensor> wanted_tensors(const ModelConfig&);

/// Matches the inventory with the architecture: duplicates, missing, unknown and misshapen tensors and number formats
/// without arithmetic are refused. If no tensor of the image part is there, config.vision is dropped with a note.
/// The result is sorted by canonical name.
std::vector<StoredTensor> select_tensors(ModelConfig&, TensorInventory);

}  // namespace lancet
