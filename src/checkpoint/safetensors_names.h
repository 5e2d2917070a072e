// Names in safetensors files -> ours, for every spelling that was published, and FP8 scales folded into their
// weights. Sources: docs/ministral3.md, "Names" and "FP8".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/budget.h"
#include "checkpoint/config_readers.h"
#include "checkpoint/tensor_set.h"

namespace lancet {

/// What a name in the file says about the tensor.
struct SafetensorsName {
  enum class Role { weight, weight_scale, activation_scale, skipped, unknown };
  Role role = Role::unknown;
  std::string canonical;  // of the module that the tensor belongs to; empty if skipped or unknown
};
SafetensorsName parse_safetensors_name(std::string_view name);

/// How Hugging Face's (or, if `native`, Mistral's) files spell a canonical name.
std::string spell_safetensors_name(const std::string& canonical);
std::string spell_native_name(const std::string& canonical);

/// Above this many bytes of weights the FP8 codes are not searched for NaN at load: that would read the whole file,
/// which opening must not. `lancet doctor` does it for every size.
inline constexpr uint64_t kNanSearchBytes = 64 << 20;

struct SafetensorsWeights {
  TensorInventory inventory;
  int fp8_tensors = 0;
  int activation_scales = 0;  // recognised and ignored: activations are not quantised with them
};

/// Sorts tensors by meaning and folds weight scales. Throws Error{bad_file} for an FP8 tensor without its scale, a
/// scale without an FP8 tensor, scales that are not finite and positive or of a shape that fits nothing, and NaN
/// codes.
SafetensorsWeights name_safetensors(std::vector<RawTensor> tensors, const SafetensorsConfig&, const std::string& source,
                                    Budget&);

/// The grid that a scale tensor means for a weight of these dimensions. `block` is the configuration's, if it has
/// one.
ScaleGrid read_scale_grid(const RawTensor& scale, int64_t rows, int64_t cols,
                          std::optional<std::pair<int64_t, int64_t>> block);

}  // namespace lancet
