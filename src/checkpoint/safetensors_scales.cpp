// FP8 weights and their scales. A scale is found through the module that both belong to, whatever it is called; its
// shape says what it covers. value = decoded * scale: multiplied, in spite of the "inv" in the published name.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "base/sizes.h"
#include "checkpoint/safetensors_names.h"

namespace lancet {
namespace {

using Role = SafetensorsName::Role;
constexpr int64_t kUsualBlock = 128;  // DeepSeek's, and what vLLM takes when a file says nothing

[[noreturn]] void fail(const RawTensor& tensor, const std::string& problem) {
  throw Error(Fault::bad_file, fmt::format("{}: tensor {}: {}", tensor.file, lancet::quoted(tensor.name), problem),
              tensor.name);
}

float read_number(const RawTensor& tensor, size_t index) {
  const std::byte* from = tensor.bytes.data();
  uint16_t half = 0;
  float single = 0;
  switch (*tensor.format) {
    case Format::f32: std::memcpy(&single, from + index * 4, 4); return single;
    case Format::f16: std::memcpy(&half, from + index * 2, 2); return f32_from_f16(half);
    default: std::memcpy(&half, from + index * 2, 2); return f32_from_bf16(half);
  }
}

std::vector<float> read_values(const RawTensor& scale) {
  if (!scale.format ||
      (*scale.format != Format::f32 && *scale.format != Format::f16 && *scale.format != Format::bf16)) {
    fail(scale, fmt::format("a scale is stored as {}, wanted F32, F16 or BF16", lancet::quoted(scale.type)));
  }
  size_t count = 1;
  for (const int64_t dim : scale.shape) count *= static_cast<size_t>(dim);  // the container checked the product
  std::vector<float> values(count);
  for (size_t i = 0; i < count; i++) {
    values[i] = read_number(scale, i);
    if (!std::isfinite(values[i]) || values[i] <= 0) {
      fail(scale, fmt::format("scale {} of {} is {}, wanted a finite number above 0", i, count, values[i]));
    }
  }
  return values;
}

/// NaN codes of E4M3FN: all bits but the sign are set.
size_t count_nans(std::span<const std::byte> codes) {
  size_t count = 0;
  for (const std::byte code : codes) count += (code & std::byte{0x7f}) == std::byte{0x7f};
  return count;
}

struct Module {
  RawTensor* weight = nullptr;
  RawTensor* scale = nullptr;
};

void put(RawTensor*& place, RawTensor& tensor) {
  if (place) {
    fail(tensor, fmt::format("{} is another spelling of the same tensor", lancet::quoted(place->name)));
  }
  place = &tensor;
}

void refuse_missing_scales(const std::map<std::string, Module>& modules) {
  const RawTensor* first = nullptr;
  int missing = 0;
  for (const auto& [canonical, module] : modules) {
    if (!module.weight || module.weight->format != Format::f8_e4m3 || module.scale) continue;
    if (missing++ == 0) first = module.weight;
  }
  if (missing == 0) return;
  fail(*first,
       fmt::format("is F8_E4M3, and the file has no scale for it (weight_scale_inv, weight_scale or qscale_weight){}",
                   missing > 1 ? fmt::format("; the scales of {} tensors are missing", missing) : ""));
}

ScaleGrid fold(const Module& module, const SafetensorsConfig& config) {
  RawTensor& weight = *module.weight;
  const bool fp8 = weight.format == Format::f8_e4m3;
  if (!fp8 && module.scale) {
    fail(*module.scale,
         fmt::format("is the scale of {}, which is {} and needs none", lancet::quoted(weight.name), weight.type));
  }
  if (!fp8) return {};
  CHECK(module.scale);  // refuse_missing_scales
  if (weight.shape.size() != 2) {
    fail(weight, fmt::format("is F8_E4M3 with the shape {}: wanted a matrix", shape_text(weight.shape)));
  }
  return read_scale_grid(*module.scale, weight.shape[0], weight.shape[1], config.scale_block);
}

}  // namespace

ScaleGrid read_scale_grid(const RawTensor& scale, int64_t rows, int64_t cols,
                          std::optional<std::pair<int64_t, int64_t>> block) {
  const auto& shape = scale.shape;
  ScaleGrid grid;
  const bool scalar =
      std::all_of(shape.begin(), shape.end(), [](int64_t dim) { return dim == 1; }) && shape.size() <= 2;
  const auto fits = [&](std::pair<int64_t, int64_t> b) {
    return shape.size() == 2 && shape[0] == static_cast<int64_t>(divide_up(uint64_t(rows), uint64_t(b.first))) &&
           shape[1] == static_cast<int64_t>(divide_up(uint64_t(cols), uint64_t(b.second)));
  };
  const bool per_row =
      (shape.size() == 1 || (shape.size() == 2 && shape[1] == 1)) && !shape.empty() && shape[0] == rows;
  if (scalar && !(block && fits(*block))) {
    grid.row_block = rows;
    grid.col_block = cols;
  } else if (block && fits(*block)) {
    grid.row_block = block->first;
    grid.col_block = block->second;
  } else if (per_row) {
    grid.row_block = 1;
    grid.col_block = cols;
  } else if (!block && fits({kUsualBlock, kUsualBlock})) {
    grid.row_block = grid.col_block = kUsualBlock;
  } else {
    const std::string blocks = block ? fmt::format("one a block of {} x {}", block->first, block->second)
                                     : fmt::format("one a block of {0} x {0}", kUsualBlock);
    fail(scale,
         fmt::format("a scale of shape {} does not fit a weight of shape [{}, {}]: wanted one number, one a row, or "
                     "{}",
                     shape_text(shape), rows, cols, blocks));
  }
  grid.values = read_values(scale);
  return grid;
}

SafetensorsWeights name_safetensors(std::vector<RawTensor> tensors, const SafetensorsConfig& config,
                                    const std::string& source, Budget& budget) {
  SafetensorsWeights out;
  out.inventory.source = source;
  out.inventory.spell = config.model.text.rope.interleaved ? spell_native_name : spell_safetensors_name;
  std::map<std::string, Module> modules;
  uint64_t total_bytes = 0;
  for (RawTensor& tensor : tensors) {
    budget.step();
    total_bytes += tensor.bytes.size();
    const SafetensorsName name = parse_safetensors_name(tensor.name);
    switch (name.role) {
      case Role::weight: put(modules[name.canonical].weight, tensor); break;
      case Role::weight_scale: put(modules[name.canonical].scale, tensor); break;
      case Role::activation_scale: out.activation_scales++; break;
      case Role::skipped: break;
      case Role::unknown: out.inventory.unknown.push_back(tensor.name); break;
    }
  }
  refuse_missing_scales(modules);
  for (auto& [canonical, module] : modules) {
    if (!module.weight) fail(*module.scale, "is a scale, and the file has no weight that it belongs to");
    ScaleGrid scale = fold(module, config);
    if (module.weight->format == Format::f8_e4m3) {
      out.fp8_tensors++;
      const size_t nans = total_bytes <= kNanSearchBytes ? count_nans(module.weight->bytes) : 0;
      if (nans > 0) {
        fail(*module.weight, fmt::format("{} of its {} FP8 codes are NaN (0x7f or 0xff): the file is damaged", nans,
                                         module.weight->bytes.size()));
      }
    }
    out.inventory.named.push_back({canonical, std::move(*module.weight), std::move(scale)});
  }
  return out;
}

}  // namespace lancet
