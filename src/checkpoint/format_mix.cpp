#include "checkpoint/format_mix.h"

#include "checkpoint/tensor_set.h"

namespace lancet {
namespace {

constexpr FormatMix kMixes[] = {
    {"f32", 0, Format::f32},      {"f16", 1, Format::f16},      {"bf16", 32, Format::bf16},
    {"q8_0", 7, Format::q8_0},    {"q6_k", 18, Format::q6_k},   {"q5_k_m", 17, Format::q5_k},
    {"q4_k_m", 15, Format::q4_k}, {"q3_k_m", 12, Format::q3_k}, {"q2_k", 10, Format::q2_k},
    {"q5_1", 9, Format::q5_1},    {"q5_0", 8, Format::q5_0},    {"q4_1", 3, Format::q4_1},
    {"q4_0", 2, Format::q4_0},
};

/// The first and last eighth of the layers, and every third between.
bool gets_more_bits(int layer, int layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

Format value_format(Format base, int layer, const TextConfig& text) {
  switch (base) {
    case Format::q2_k: return text.heads / text.kv_heads >= 4 ? Format::q4_k : Format::q3_k;
    case Format::q3_k: return layer < 2 ? Format::q5_k : Format::q4_k;
    case Format::q4_k:
    case Format::q5_k: return gets_more_bits(layer, text.layers) ? Format::q6_k : base;
    default: return base;
  }
}

Format down_format(Format base, int layer, const TextConfig& text) {
  switch (base) {
    case Format::q2_k: return Format::q3_k;
    case Format::q3_k: return layer < text.layers / 16 ? Format::q5_k : Format::q4_k;
    case Format::q4_k:
    case Format::q5_k: return gets_more_bits(layer, text.layers) ? Format::q6_k : base;
    default: return base;
  }
}

Format output_format(Format base) {
  return base == Format::q2_k ? Format::q3_k : base == Format::q3_k ? Format::q4_k : base;
}

/// "text.3.ffn.down" -> layer 3, "ffn.down".
Format wanted_format(Format base, const MixTensor& tensor, const TextConfig& text) {
  if (format_info(base).floating || base == Format::q8_0) return base;
  if (tensor.head) return tensor.cols % format_info(base).block_values == 0 ? Format::q6_k : Format::q8_0;
  const size_t dot = tensor.name.find('.'), second = tensor.name.find('.', dot + 1);
  if (second == std::string_view::npos) return base;
  const auto layer = parse_layer(tensor.name.substr(dot + 1, second - dot - 1));
  if (!layer) return base;
  const std::string_view part = tensor.name.substr(second + 1);
  if (part == "attention.v") return value_format(base, *layer, text);
  if (part == "attention.o") return output_format(base);
  if (part == "ffn.down") return down_format(base, *layer, text);
  return base;
}

/// The next format to try for rows that do not divide into blocks.
Format stand_in(Format format) {
  switch (format) {
    case Format::q2_k:
    case Format::q3_k: return Format::q4_0;
    case Format::q4_k: return Format::q5_0;
    case Format::q5_k: return Format::q5_1;
    case Format::q6_k: return Format::q8_0;
    default: return Format::f16;
  }
}

}  // namespace

std::span<const FormatMix> format_mixes() { return kMixes; }

const FormatMix* find_format_mix(std::string_view name) {
  for (const FormatMix& mix : kMixes) {
    if (mix.name == name || (mix.name.ends_with("_m") && mix.name.substr(0, mix.name.size() - 2) == name)) return &mix;
  }
  return nullptr;
}

Format mix_format(const FormatMix& mix, const MixTensor& tensor, const TextConfig& text) {
  if (tensor.rows == 1) return Format::f32;
  Format format = wanted_format(mix.base, tensor, text);
  while (tensor.cols % format_info(format).block_values != 0) format = stand_in(format);
  return format;
}

}  // namespace lancet
