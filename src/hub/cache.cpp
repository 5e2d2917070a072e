#include "hub/cache.h"

#include <algorithm>
#include <cctype>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "hub/files.h"
#include "hub/repository.h"
#include "hub/settings.h"

namespace lancet {
namespace fs = std::filesystem;
namespace {

constexpr size_t kIndexBytes = 64 << 20;

bool is_name_part(std::string_view part) {
  const auto fine = [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.'; };
  return !part.empty() && part.size() <= 96 && std::all_of(part.begin(), part.end(), fine) &&
         std::isalnum(static_cast<unsigned char>(part.front())) && part.find("..") == std::string_view::npos &&
         part.find("--") == std::string_view::npos;  // the cache's folders use "--" for the slash
}

fs::path home_folder() { return environment("HOME").value_or("."); }

/// huggingface_hub expands a leading "~" in its variables.
fs::path expanded(const std::string& path) {
  if (path == "~") return home_folder();
  return path.starts_with("~/") ? home_folder() / path.substr(2) : fs::path(path);
}

std::vector<std::string> cached_repositories(const fs::path& cache) {
  constexpr std::string_view kPrefix = "models--";
  std::vector<std::string> names;
  std::error_code ignored;  // a cache that cannot be read has nothing to show
  for (const auto& entry : fs::directory_iterator(cache, ignored)) {
    std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    name.erase(0, kPrefix.size());
    if (const size_t slash = name.find("--"); slash != std::string::npos) name.replace(slash, 2, "/");
    names.push_back(name);
  }
  return names;
}

/// The commit that a reference names, if its snapshot is there.
std::optional<fs::path> referenced(const fs::path& repository, const fs::path& reference) {
  const fs::path snapshots = repository / "snapshots";
  const std::string commit = read_reference(repository / "refs" / reference);
  std::error_code ignored;  // what cannot be looked at is not there
  if (!is_name_part(commit) || !fs::is_directory(snapshots / commit, ignored)) return std::nullopt;
  return snapshots / commit;
}

/// The revision's snapshot; without a revision refs/main's, else the one that was changed last.
std::optional<fs::path> find_snapshot(const fs::path& repository, const std::string& revision) {
  if (const auto found = referenced(repository, revision.empty() ? "main" : revision)) return found;
  std::error_code ignored;
  const fs::path snapshots = repository / "snapshots";
  if (!revision.empty()) {
    const bool there = is_name_part(revision) && fs::is_directory(snapshots / revision, ignored);
    return there ? std::optional(snapshots / revision) : std::nullopt;
  }
  std::optional<fs::path> newest;
  for (const auto& entry : fs::directory_iterator(snapshots, ignored)) {
    if (!entry.is_directory(ignored)) continue;
    const auto changed = [&](const fs::path& path) { return fs::last_write_time(path, ignored); };
    if (!newest || changed(entry.path()) > changed(*newest)) newest = entry.path();
  }
  return newest;
}

/// The .gguf files of a snapshot, relative to it.
std::vector<std::string> gguf_files(const fs::path& snapshot) {
  std::vector<std::string> found;
  std::error_code ignored;
  for (const auto& entry : fs::recursive_directory_iterator(snapshot, ignored)) {
    if (entry.path().extension() != ".gguf" || !entry.is_regular_file(ignored)) continue;
    found.push_back(entry.path().lexically_relative(snapshot).string());
  }
  return found;
}

/// A shard of the index that is not there, or nothing.
std::string missing_shard(const fs::path& folder, const std::string& index) {
  Budget budget("reading " + index);
  const auto document = parse_json(read_text_file(folder / index, kIndexBytes), index, {.nodes = 4'000'000}, budget);
  for (const auto& [tensor, file] : JsonView(document, index, Fault::bad_file).at("weight_map").object()) {
    budget.step();
    const std::string name = file.is_string() ? std::string(file.get_string()) : std::string();
    std::error_code ignored;
    if (is_safe_file_name(name) && !fs::exists(folder / name, ignored)) return name;
  }
  return {};
}

CacheLookup pick_model(const HubName& name, const fs::path& snapshot) {
  std::error_code ignored;
  const bool folder = fs::exists(snapshot / "config.json", ignored) || fs::exists(snapshot / "params.json", ignored);
  const std::vector<std::string> models = gguf_models(gguf_files(snapshot));
  const std::vector<std::string> found = name.quant.empty() ? models : with_quant(models, name.quant);
  // Some repositories of GGUF files have a config.json beside them.
  if (name.quant.empty() && folder && (found.empty() || missing_weights(snapshot).empty()))
    return {.model = snapshot, .commit = snapshot.filename().string(), .why = {}};
  if (found.size() == 1) return {.model = snapshot / found.front(), .commit = snapshot.filename().string(), .why = {}};
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(snapshot, ignored)) files.push_back(entry.path().filename().string());
  const std::string where = fmt::format("{} is cached in {}", name.repo, snapshot.string());
  if (models.empty()) {
    return {.why = fmt::format("{}, but has no {}; there is: {}", where,
                               name.quant.empty() ? "config.json and no .gguf" : ".gguf", listed(files))};
  }
  if (found.empty()) {
    return {.why = fmt::format("{}, but no .gguf there has \"{}\" in its name; there is: {}", where, name.quant,
                               listed(models))};
  }
  return {.why = fmt::format("{}{}{} could be any of {}; say which one, as in {}:Q4_K_M", name.repo,
                             name.quant.empty() ? "" : ":", name.quant, listed(found), name.repo)};
}

CacheLookup require(const HubName& name, bool weights) {
  CacheLookup found = look_up(name);
  const std::string missing = found.why.empty() && weights ? missing_weights(found.model) : "";
  if (!missing.empty()) found.why = fmt::format("{}: {} is not there", found.model.string(), missing);
  if (found.why.empty()) return found;
  throw Error(Fault::not_found, fmt::format("{}; to get it: lancet pull {}", found.why, hub_name_text(name)));
}

fs::path resolve(const std::string& model, bool weights) {
  const auto name = as_hub_name(model);
  std::error_code ignored;
  if (!name && !fs::exists(model, ignored)) {
    throw Error(Fault::not_found, fmt::format("{} is no file or folder that exists, and no hub name (owner/repo or "
                                              "owner/repo:QUANT)",
                                              lancet::quoted(model)));
  }
  return name ? require(*name, weights).model : fs::path(model);
}

}  // namespace

std::optional<HubName> parse_hub_name(std::string_view text) {
  const size_t slash = text.find('/'), mark = text.find('@'), colon = text.find(':', mark == text.npos ? 0 : mark);
  if (slash == text.npos) return std::nullopt;
  const std::string_view repo = text.substr(0, std::min(mark, colon));
  if (slash >= repo.size() || !is_name_part(repo.substr(0, slash)) || !is_name_part(repo.substr(slash + 1))) {
    return std::nullopt;
  }
  HubName name{.repo = std::string(repo), .revision = {}, .quant = {}};
  if (mark < colon) {
    name.revision = text.substr(mark + 1, colon == text.npos ? text.npos : colon - mark - 1);
    if (!is_revision(name.revision)) return std::nullopt;
  }
  if (colon == text.npos) return name;
  name.quant = text.substr(colon + 1);
  if (!is_name_part(name.quant)) return std::nullopt;
  return name;
}

bool is_revision(std::string_view text) {
  const auto fine = [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '/'; };
  return text.size() <= 200 && std::all_of(text.begin(), text.end(), fine) && is_safe_file_name(text) &&
         text.front() != '.' && text.find("/.") == text.npos;
}

std::string hub_name_text(const HubName& name) {
  return name.repo + (name.revision.empty() ? "" : "@" + name.revision) + (name.quant.empty() ? "" : ":" + name.quant);
}

std::optional<HubName> as_hub_name(const std::string& model) {
  std::error_code ignored;  // a path that cannot be looked at is treated as absent
  return fs::exists(model, ignored) ? std::nullopt : parse_hub_name(model);
}

fs::path hub_home() {
  if (const auto folder = environment("HF_HOME")) return expanded(*folder);
  if (const auto folder = environment("XDG_CACHE_HOME")) return expanded(*folder) / "huggingface";
  return home_folder() / ".cache" / "huggingface";
}

fs::path hub_cache_folder() {
  if (const auto folder = environment("HF_HUB_CACHE")) return expanded(*folder);
  return hub_home() / "hub";
}

std::string repository_folder(const std::string& repo) {
  std::string folder = "models--" + repo;
  folder.replace(folder.find('/'), 1, "--");
  return folder;
}

CacheLookup look_up(const HubName& name) {
  const fs::path cache = hub_cache_folder(), folder = cache / repository_folder(name.repo);
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    return {.why = fmt::format("{} is neither a path that exists nor in the cache {}; cached there: {}", name.repo,
                               cache.string(), listed(cached_repositories(cache)))};
  }
  const auto snapshot = find_snapshot(folder, name.revision);
  if (!snapshot && !name.revision.empty()) {
    return {.why = fmt::format("{} is in the cache {}, but not its revision {}", name.repo, cache.string(),
                               lancet::quoted(name.revision))};
  }
  if (!snapshot) {
    return {.why = fmt::format("{} is in the cache, but {} has no snapshot: its download did not finish", name.repo,
                               folder.string())};
  }
  return pick_model(name, *snapshot);
}

std::string missing_weights(const fs::path& model) {
  std::error_code ignored;
  if (model.extension() == ".gguf") {
    const std::string name = model.filename().string();
    for (const std::string& part : split_names(name))
      if (!fs::exists(model.parent_path() / part, ignored)) return part;
    return {};
  }
  const std::string stem = fs::exists(model / "config.json", ignored) ? "model" : "consolidated";
  const std::string single = stem + ".safetensors", index = single + ".index.json";
  if (fs::exists(model / single, ignored)) return {};
  return fs::exists(model / index, ignored) ? missing_shard(model, index) : single;
}

fs::path resolve_model(const std::string& model) { return resolve(model, false); }

fs::path resolve_weights(const std::string& model) { return resolve(model, true); }

CacheLookup require_cached(const HubName& name) { return require(name, true); }

}  // namespace lancet
