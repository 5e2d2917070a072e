// Split GGUFs: part 1 has the metadata, every part says which of how many it is.
#include <set>

#include <fmt/format.h>

#include "base/error.h"
#include "checkpoint/gguf.h"

namespace lancet {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kMostParts = 1024;

/// "model-00002-of-00003.gguf" without "-00002-of-00003.gguf"; Error if the name is not of that kind.
std::string split_prefix(const std::string& name, int64_t number, int64_t count) {
  const std::string ending = fmt::format("-{:05}-of-{:05}.gguf", number + 1, count);
  if (!name.ends_with(ending)) {
    throw Error(Fault::bad_file,
                fmt::format("{}: is part {} of {} of a split model, so its name should end in {}: the other "
                            "parts are found by it",
                            name, number + 1, count, lancet::quoted(ending)));
  }
  return name.substr(0, name.size() - ending.size());
}

struct SplitKeys {
  int64_t count, number;
};

SplitKeys split_keys(const GgufFile& file) {
  const int64_t count = file.integer("split.count").value_or(1);
  if (!file.find("split.count")) return {1, 0};
  if (count < 1 || count > kMostParts)
    file.fail("split.count", fmt::format("is {}, wanted 1 to {}", count, kMostParts));
  const auto number = file.integer("split.no");
  if (!number) file.fail("split.no", "is missing");
  if (*number < 0 || *number >= count) {
    file.fail("split.no", fmt::format("is {}, wanted 0 to {}", *number, count - 1));
  }
  return {count, *number};
}

void check_part(const GgufFile& first, const GgufFile& part, int64_t number, int64_t count) {
  const SplitKeys keys = split_keys(part);
  if (keys.number != number || keys.count != count) {
    throw Error(Fault::bad_file, fmt::format("{}: says it is part {} of {}, its name says {} of {}", part.source(),
                                             keys.number + 1, keys.count, number + 1, count));
  }
  for (const char* key : {"general.architecture", "general.name"}) {
    const auto mine = part.string(key), theirs = first.string(key);
    if (!mine || mine == theirs) continue;
    throw Error(Fault::bad_file,
                fmt::format("{}: is of another model than {}: {} is {}, not {}", part.source(), first.source(), key,
                            lancet::quoted(*mine), lancet::quoted(theirs.value_or(""))));
  }
}

void check_totals(const GgufModel& model) {
  std::set<std::string_view> names;
  size_t total = 0;
  for (const GgufFile& part : model.parts) {
    total += part.tensors().size();
    for (const RawTensor& tensor : part.tensors()) {
      if (names.insert(tensor.name).second) continue;
      throw Error(Fault::bad_file,
                  fmt::format("{}: tensor {} is in another part too: the parts are of different models", part.source(),
                              lancet::quoted(tensor.name)));
    }
  }
  const GgufFile& first = model.parts.front();
  const auto wanted = first.integer("split.tensors.count");
  if (wanted && *wanted != static_cast<int64_t>(total)) {
    first.fail("split.tensors.count",
               fmt::format("is {}, the {} parts have {} tensors: the parts are of different models", *wanted,
                           model.parts.size(), total));
  }
}

}  // namespace

GgufModel open_gguf(const fs::path& path, Budget& budget) {
  GgufModel model;
  const auto add = [&](const fs::path& file) -> const GgufFile& {
    const MappedFile& mapped = model.files.emplace_back(file);
    return model.parts.emplace_back(mapped.bytes(), file.filename().string(), budget);
  };
  const SplitKeys keys = split_keys(add(path));
  if (keys.count == 1) return model;
  const std::string prefix = split_prefix(path.filename().string(), keys.number, keys.count);
  model = {};
  for (int64_t i = 0; i < keys.count; i++) {
    const fs::path part = path.parent_path() / fmt::format("{}-{:05}-of-{:05}.gguf", prefix, i + 1, keys.count);
    if (!path_exists(part)) {
      throw Error(Fault::not_found, fmt::format("{}: part {} of the model is not there: {}", path.filename().string(),
                                                i + 1, lancet::quoted(part.filename().string())));
    }
    const GgufFile& file = add(part);
    check_part(model.parts.front(), file, i, keys.count);
  }
  check_totals(model);
  return model;
}

}  // namespace lancet
