// Which format each tensor of a quantised model gets. The names and the choices are those that users of GGUF files know
// from llama.cpp (src/llama-quant.cpp): the head and half of the layers' most sensitive tensors keep more bits.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/format.h"
#include "checkpoint/model_config.h"

namespace lancet {

/// A kind of file.
struct FormatMix {
  std::string_view name;  // "q4_k_m"
  uint32_t file_type;     // GGUF's general.file_type
  Format base;            // of what no rule mentions
};

/// All of them.
std::span<const FormatMix> format_mixes();
/// By name, or by the short name of a mix ("q4_k"); null: there is none.
const FormatMix* find_format_mix(std::string_view name);

/// A matrix for which a format is sought.
struct MixTensor {
  std::string_view name;  // canonical
  int64_t rows, cols;
  bool head;  // the output head, or the embedding that is one
};

/// The format of a tensor in a mix. Vectors stay f32. Where rows are no whole number of blocks, a format of smaller
/// blocks and at least as many bits stands in, at worst f16.
Format mix_format(const FormatMix&, const MixTensor&, const TextConfig&);

}  // namespace lancet
