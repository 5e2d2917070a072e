// The list of tensors that an architecture has, against the list that the files have.
#include "checkpoint/tensor_set.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/error.h"

namespace lancet {
namespace {

void add_layer(std::vector<WantedTensor>& out, const std::string& prefix, int64_t hidden, int64_t q, int64_t kv,
               int64_t ffn) {
  out.insert(out.end(), {{prefix + "attention_norm", 1, hidden, true},
                         {prefix + "attention.q", q, hidden, true},
                         {prefix + "attention.k", kv, hidden, true},
                         {prefix + "attention.v", kv, hidden, true},
                         {prefix + "attention.o", hidden, q, true},
                         {prefix + "ffn_norm", 1, hidden, true},
                         {prefix + "ffn.gate", ffn, hidden, true},
                         {prefix + "ffn.up", ffn, hidden, true},
                         {prefix + "ffn.down", hidden, ffn, true}});
}

void add_vision(std::vector<WantedTensor>& out, const VisionConfig& vision, int64_t text_hidden) {
  const int64_t hidden = vision.hidden, merged = hidden * vision.merge * vision.merge;
  out.push_back({"vision.patch", hidden, int64_t{3} * vision.patch * vision.patch, true});
  out.push_back({"vision.norm", 1, hidden, true});
  for (int i = 0; i < vision.layers; i++) {
    add_layer(out, fmt::format("vision.{}.", i), hidden, hidden, hidden, vision.ffn);
  }
  out.push_back({"projector.norm", 1, hidden, true});
  out.push_back({"projector.merge", hidden, merged, true});
  out.push_back({"projector.1", text_hidden, hidden, true});
  out.push_back({"projector.2", text_hidden, text_hidden, true});
}

bool is_image_part(std::string_view name) { return name.starts_with("vision.") || name.starts_with("projector."); }

/// Names by everything up to their first number or their last dot, with counts: "foo.layers.* (27)".
std::string grouped(const std::vector<std::string>& names) {
  std::map<std::string, int> groups;
  for (const std::string& name : names) {
    const size_t digit = name.find_first_of("0123456789");
    const size_t dot = name.rfind('.');
    const size_t cut = std::min(digit, dot == std::string::npos ? name.size() : dot + 1);
    groups[name.substr(0, cut)]++;
  }
  constexpr size_t kShown = 6;
  std::string out;
  size_t shown = 0;
  for (const auto& [prefix, count] : groups) {
    if (shown++ == kShown) return out + fmt::format(" and {} more groups", groups.size() - kShown);
    out += fmt::format("{}{} ({})", out.empty() ? "" : ", ", lancet::quoted(prefix + "*"), count);
  }
  return out;
}

size_t common_suffix(std::string_view a, std::string_view b) {
  size_t n = 0;
  while (n < a.size() && n < b.size() && a[a.size() - 1 - n] == b[b.size() - 1 - n]) n++;
  return n;
}

/// The unknown name that ends most like the wanted one, if any comes close.
std::string nearest(const std::string& wanted, const std::vector<std::string>& unknown) {
  constexpr size_t kClose = 12;  // ".proj.weight" alone says nothing
  size_t best = kClose;
  const std::string* found = nullptr;
  for (const std::string& name : unknown) {
    const size_t n = common_suffix(wanted, name);
    if (n > best) {
      best = n;
      found = &name;
    }
  }
  return found ? fmt::format("; is {} what was wanted as {}?", lancet::quoted(*found), lancet::quoted(wanted)) : "";
}

[[noreturn]] void fail_missing(const std::vector<std::string>& missing, const TensorInventory& inventory) {
  const std::string spelled = inventory.spell(missing.front());
  std::string message =
      fmt::format("{}: {} of the model's tensors {} missing, {}{} ({})", inventory.source, missing.size(),
                  missing.size() == 1 ? "is" : "are", missing.size() == 1 ? "" : "the first is ",
                  lancet::quoted(spelled), missing.front());
  if (!inventory.unknown.empty()) {
    message += fmt::format("; the file has others that no layer wants: {}{}", grouped(inventory.unknown),
                           nearest(spelled, inventory.unknown));
  }
  throw Error(Fault::bad_file, message, missing.front());
}

std::map<std::string, NamedTensor*> index_by_name(TensorInventory& inventory) {
  std::map<std::string, NamedTensor*> found;
  for (NamedTensor& tensor : inventory.named) {
    const auto [other, fresh] = found.emplace(tensor.canonical, &tensor);
    if (fresh) continue;
    throw Error(Fault::bad_file, fmt::format("{}: {} and {} are two spellings of the same tensor, {}", inventory.source,
                                             lancet::quoted(other->second->raw.name), lancet::quoted(tensor.raw.name),
                                             tensor.canonical));
  }
  return found;
}

/// A matrix has two dimensions, a vector one; the patch convolution may have four, whose last three are one row.
bool has_shape(const RawTensor& raw, const WantedTensor& wanted) {
  const auto& shape = raw.shape;
  if (wanted.rows == 1 && shape.size() == 1) return shape[0] == wanted.cols;
  if (shape.size() == 2) return shape[0] == wanted.rows && shape[1] == wanted.cols;
  if (wanted.name != "vision.patch" || shape.size() != 4 || shape[1] != 3) return false;
  return shape[0] == wanted.rows && shape[2] == shape[3] && shape[1] * shape[2] * shape[3] == wanted.cols;
}

StoredTensor store(NamedTensor& tensor, const WantedTensor& wanted, const std::string& source) {
  RawTensor& raw = tensor.raw;
  const std::string label = fmt::format("{}: tensor {} ({})", source, lancet::quoted(raw.name), wanted.name);
  if (!has_shape(raw, wanted)) {
    const std::string shape =
        wanted.rows == 1 ? fmt::format("[{}]", wanted.cols) : fmt::format("[{}, {}]", wanted.rows, wanted.cols);
    throw Error(Fault::bad_file,
                fmt::format("{}: the configuration wants {}, the file has {}", label, shape, shape_text(raw.shape)),
                wanted.name);
  }
  if (!raw.format) {
    throw Error(Fault::unsupported,
                fmt::format("{}: is stored as {}, which Lancet does not compute with", label, lancet::quoted(raw.type)),
                wanted.name);
  }
  const bool plain = *raw.format == Format::f32 || *raw.format == Format::f16 || *raw.format == Format::bf16;
  if (wanted.rows == 1 && !plain) {
    throw Error(
        Fault::unsupported,
        fmt::format("{}: a gain vector is stored as {}, wanted F32, F16 or BF16", label, lancet::quoted(raw.type)),
        wanted.name);
  }
  return {wanted.name, std::move(raw.name), std::move(raw.file), *raw.format,
          wanted.rows, wanted.cols,         raw.bytes,           std::move(tensor.scale)};
}

void drop_absent_vision(ModelConfig& config, const std::map<std::string, NamedTensor*>& found) {
  if (!config.vision) return;
  for (const auto& [name, tensor] : found) {
    if (is_image_part(name)) return;
  }
  config.vision.reset();
  config.notes.push_back("the configuration describes an image part, the files have no tensor of it: text only");
}

}  // namespace

std::optional<int> parse_layer(std::string_view text) {
  if (text.empty() || text.size() > 4 || (text[0] == '0' && text.size() > 1)) return std::nullopt;
  int layer = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    layer = layer * 10 + (c - '0');
  }
  return layer;
}

std::vector<WantedTensor> wanted_tensors(const ModelConfig& config) {
  const TextConfig& text = config.text;
  std::vector<WantedTensor> out = {{"text.embedding", text.vocabulary, text.hidden, true},
                                   {"text.output", text.vocabulary, text.hidden, false},
                                   {"text.output_norm", 1, text.hidden, true}};
  const int64_t q = int64_t{text.heads} * text.head_width, kv = int64_t{text.kv_heads} * text.head_width;
  for (int i = 0; i < text.layers; i++) add_layer(out, fmt::format("text.{}.", i), text.hidden, q, kv, text.ffn);
  if (config.vision) add_vision(out, *config.vision, text.hidden);
  return out;
}

std::vector<StoredTensor> select_tensors(ModelConfig& config, TensorInventory inventory) {
  auto found = index_by_name(inventory);
  drop_absent_vision(config, found);
  std::vector<std::string> missing;
  std::vector<StoredTensor> out;
  for (const WantedTensor& wanted : wanted_tensors(config)) {
    const auto at = found.find(wanted.name);
    if (at == found.end()) {
      if (wanted.required) missing.push_back(wanted.name);
      continue;
    }
    out.push_back(store(*at->second, wanted, inventory.source));
    found.erase(at);
  }
  size_t image_parts = 0;
  for (const auto& [name, tensor] : found) {
    if (is_image_part(name) && !config.vision) {
      image_parts++;
    } else {
      inventory.unknown.push_back(tensor->raw.name);
    }
  }
  if (!missing.empty()) fail_missing(missing, inventory);
  if (!inventory.unknown.empty()) {
    throw Error(
        Fault::unsupported,
        fmt::format("{}: the file has tensors that this architecture does not use, so it would compute something "
                    "else: {}",
                    inventory.source, grouped(inventory.unknown)));
  }
  if (image_parts > 0) {
    config.notes.push_back(
        fmt::format("{} tensors of an image part were left out: the configuration has none", image_parts));
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return out;
}

}  // namespace lancet
