// Sharded checkpoints: the index is a promise about other files, and each half of it is checked against the other.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/error.h"
#include "base/json.h"
#include "checkpoint/safetensors.h"

namespace lancet {
namespace fs = std::filesystem;
namespace {

constexpr size_t kIndexBytes = 256 << 20;

/// A shard is a plain name in the index's own folder; anything else could reach files that are nobody's business.
void check_shard_name(const std::string& shard, std::string_view tensor, const std::string& source) {
  if (!shard.empty() && shard != "." && shard != ".." && shard.find('/') == std::string::npos &&
      shard.find('\\') == std::string::npos && shard.find('\0') == std::string::npos) {
    return;
  }
  throw Error(Fault::bad_file,
              fmt::format("{}: tensor {} is said to be in {}, wanted the plain name of a file beside the "
                          "index",
                          source, lancet::quoted(tensor), lancet::quoted(shard)));
}

void add_shard(SafetensorsFolder& out, const fs::path& path, std::map<std::string, std::string>& owners,
               Budget& budget) {
  const MappedFile& file = out.files.emplace_back(path);
  for (RawTensor& tensor : read_safetensors(file.bytes(), path.filename().string(), budget)) {
    const auto [owner, fresh] = owners.emplace(tensor.name, tensor.file);
    if (!fresh) {
      throw Error(Fault::bad_file, fmt::format("tensor {} is in two shards, {} and {}", lancet::quoted(tensor.name),
                                               lancet::quoted(owner->second), lancet::quoted(tensor.file)));
    }
    out.tensors.push_back(std::move(tensor));
  }
}

}  // namespace

std::vector<std::pair<std::string, std::string>> read_safetensors_index(std::string_view text,
                                                                        const std::string& source, Budget& budget) {
  const auto root = parse_json(text, source, {.nodes = text.size() / 4 + 64}, budget);
  const JsonView map = JsonView(root, source, Fault::bad_file).at("weight_map");
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& [key, value] : map.object()) {
    budget.step();
    const std::string_view tensor(key.data(), key.size());
    if (!value.is_string()) {
      throw Error(Fault::bad_file,
                  fmt::format("{}: the shard of tensor {} is no string", source, lancet::quoted(tensor)));
    }
    std::string shard(value.get_string().data(), value.get_string().size());
    check_shard_name(shard, tensor, source);
    pairs.emplace_back(tensor, std::move(shard));
  }
  if (pairs.empty()) throw Error(Fault::bad_file, source + ": weight_map names no tensor");
  return pairs;
}

SafetensorsFolder open_safetensors_folder(const fs::path& folder, const std::string& stem, Budget& budget) {
  const fs::path index = folder / (stem + ".safetensors.index.json");
  const fs::path single = folder / (stem + ".safetensors");
  SafetensorsFolder out;
  std::map<std::string, std::string> owners;  // tensor -> file
  // As transformers does it: a whole file wins over an index beside it.
  if (path_exists(single) || !path_exists(index)) {
    add_shard(out, single, owners, budget);
    return out;
  }
  const std::string index_name = index.filename().string();
  const MappedFile file(index);
  refuse_impostor(file.bytes(), index_name);
  if (file.bytes().size() > kIndexBytes) throw Error(Fault::bad_file, index_name + ": is larger than 256 MiB");
  const auto pairs = read_safetensors_index(file.text(), index_name, budget);
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : pairs) shards.insert(shard);
  for (const std::string& shard : shards) {
    if (path_exists(folder / shard)) continue;
    const auto missing = std::count_if(pairs.begin(), pairs.end(), [&](const auto& p) { return p.second == shard; });
    throw Error(Fault::not_found, fmt::format("{}: shard {} is not there; the index puts {} tensors into it",
                                              index_name, lancet::quoted(shard), missing));
  }
  for (const std::string& shard : shards) add_shard(out, folder / shard, owners, budget);
  for (const auto& [tensor, shard] : pairs) {
    const auto owner = owners.find(tensor);
    if (owner != owners.end() && owner->second == shard) continue;
    throw Error(Fault::bad_file, fmt::format("{}: says that tensor {} is in {}, which has no such tensor", index_name,
                                             lancet::quoted(tensor), lancet::quoted(shard)));
  }
  return out;
}

}  // namespace lancet
