#include "hub/cache.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/mapped_file.h"

namespace lancet {
namespace fs = std::filesystem;
namespace {

constexpr size_t kRefBytes = 4096;
constexpr size_t kShown = 8;  // names in a message

bool is_name_part(std::string_view part) {
  const auto fine = [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.'; };
  return !part.empty() && part.size() <= 96 && std::all_of(part.begin(), part.end(), fine) &&
         std::isalnum(static_cast<unsigned char>(part.front())) && part.find("..") == std::string_view::npos &&
         part.find("--") == std::string_view::npos;  // the cache's folders use "--" for the slash
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  if (!value || !*value) return std::nullopt;
  return value;
}

fs::path home_folder() { return environment("HOME").value_or("."); }

/// huggingface_hub expands a leading "~" in its variables.
fs::path expanded(const std::string& path) {
  if (path == "~") return home_folder();
  return path.starts_with("~/") ? home_folder() / path.substr(2) : fs::path(path);
}

std::string listed(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  if (names.empty()) return "nothing";
  const size_t more = names.size() > kShown ? names.size() - kShown : 0;
  names.resize(names.size() - more);
  return fmt::format("{}{}", fmt::join(names, ", "), more > 0 ? fmt::format(" and {} more", more) : "");
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

/// refs/main's commit if its snapshot is there, else the snapshot that was changed last.
std::optional<fs::path> find_snapshot(const fs::path& repository) {
  const fs::path snapshots = repository / "snapshots", ref = repository / "refs" / "main";
  std::error_code ignored;  // what cannot be looked at is not there
  if (fs::is_regular_file(ref, ignored)) {
    std::string commit = read_text_file(ref, kRefBytes);
    while (!commit.empty() && std::isspace(static_cast<unsigned char>(commit.back()))) commit.pop_back();
    if (is_name_part(commit) && fs::is_directory(snapshots / commit, ignored)) return snapshots / commit;
  }
  std::optional<fs::path> newest;
  for (const auto& entry : fs::directory_iterator(snapshots, ignored)) {
    if (!entry.is_directory(ignored)) continue;
    const auto changed = [&](const fs::path& path) { return fs::last_write_time(path, ignored); };
    if (!newest || changed(entry.path()) > changed(*newest)) newest = entry.path();
  }
  return newest;
}

/// "-00002-of-00003.gguf" at the end of a name: 2; 0 for files that are no part of a split.
int split_part(std::string_view name) {
  constexpr std::string_view kShape = "-00000-of-00000.gguf";
  if (name.size() < kShape.size()) return 0;
  const std::string_view ending = name.substr(name.size() - kShape.size());
  int part = 0;
  for (size_t i = 0; i < kShape.size(); i++) {
    const bool digit = std::isdigit(static_cast<unsigned char>(ending[i])) != 0;
    if (kShape[i] == '0' ? !digit : ending[i] != kShape[i]) return 0;
    if (digit && i < 6) part = part * 10 + (ending[i] - '0');
  }
  return part;
}

/// The models among the .gguf files of a snapshot, as paths relative to it: no image parts, and of split sets the
/// first.
std::vector<fs::path> gguf_models(const fs::path& snapshot) {
  std::vector<fs::path> found;
  std::error_code ignored;
  for (const auto& entry : fs::recursive_directory_iterator(snapshot, ignored)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() != ".gguf" || !entry.is_regular_file(ignored)) continue;
    if (lower(name).find("mmproj") != std::string::npos || split_part(name) > 1) continue;
    found.push_back(entry.path().lexically_relative(snapshot));
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// True if `quant` stands in `name` with no letter, digit or underscore beside it: "F16" is not in "BF16".
bool has_word(std::string_view name, std::string_view quant) {
  const auto joins = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
  for (size_t at = name.find(quant); at != std::string_view::npos; at = name.find(quant, at + 1)) {
    const size_t end = at + quant.size();
    if ((at == 0 || !joins(name[at - 1])) && (end == name.size() || !joins(name[end]))) return true;
  }
  return false;
}

std::vector<fs::path> matching(const std::vector<fs::path>& models, const std::string& quant) {
  const std::string wanted = lower(quant);
  std::vector<fs::path> words, parts;
  for (const fs::path& model : models) {
    const std::string name = lower(model.string());
    if (has_word(name, wanted)) words.push_back(model);
    if (name.find(wanted) != std::string::npos) parts.push_back(model);
  }
  return words.empty() ? parts : words;
}

std::vector<std::string> as_text(const std::vector<fs::path>& paths) {
  std::vector<std::string> out;
  for (const fs::path& path : paths) out.push_back(path.string());
  return out;
}

fs::path pick_model(const HubName& name, const fs::path& snapshot) {
  std::error_code ignored;
  const bool folder = fs::exists(snapshot / "config.json", ignored) || fs::exists(snapshot / "params.json", ignored);
  if (name.quant.empty() && folder) return snapshot;
  const std::vector<fs::path> models = gguf_models(snapshot);
  const std::vector<fs::path> found = name.quant.empty() ? models : matching(models, name.quant);
  if (found.size() == 1) return snapshot / found.front();
  if (models.empty()) {
    std::vector<std::string> files;
    for (const auto& entry : fs::directory_iterator(snapshot, ignored))
      files.push_back(entry.path().filename().string());
    throw Error(Fault::not_found,
                fmt::format("{} is cached in {}, but has no {}; there is: {}", name.repo, snapshot.string(),
                            name.quant.empty() ? "config.json and no .gguf" : ".gguf", listed(files)));
  }
  if (found.empty()) {
    throw Error(Fault::not_found,
                fmt::format("{} is cached in {}, but no .gguf there has \"{}\" in its name; there is: {}", name.repo,
                            snapshot.string(), name.quant, listed(as_text(models))));
  }
  throw Error(Fault::not_found,
              fmt::format("{}{}{} could be any of {}; say which one, as in {}:Q4_K_M", name.repo,
                          name.quant.empty() ? "" : ":", name.quant, listed(as_text(found)), name.repo));
}

}  // namespace

std::optional<HubName> parse_hub_name(std::string_view text) {
  const size_t slash = text.find('/'), colon = text.find(':');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view repo = text.substr(0, colon);
  if (slash >= repo.size() || !is_name_part(repo.substr(0, slash)) || !is_name_part(repo.substr(slash + 1))) {
    return std::nullopt;
  }
  HubName name{std::string(repo), {}};
  if (colon == std::string_view::npos) return name;
  name.quant = text.substr(colon + 1);
  if (!is_name_part(name.quant)) return std::nullopt;
  return name;
}

fs::path hub_cache_folder() {
  if (const auto folder = environment("HF_HUB_CACHE")) return expanded(*folder);
  if (const auto folder = environment("HF_HOME")) return expanded(*folder) / "hub";
  if (const auto folder = environment("XDG_CACHE_HOME")) return expanded(*folder) / "huggingface" / "hub";
  return home_folder() / ".cache" / "huggingface" / "hub";
}

fs::path resolve_model(const std::string& model) {
  std::error_code ignored;  // a path that cannot be looked at is treated as absent
  if (fs::exists(model, ignored)) return model;
  const auto name = parse_hub_name(model);
  if (!name) {
    throw Error(Fault::not_found, fmt::format("{} is no file or folder that exists, and no hub name (owner/repo or "
                                              "owner/repo:QUANT)",
                                              lancet::quoted(model)));
  }
  const fs::path cache = hub_cache_folder();
  std::string folder = "models--" + name->repo;
  folder.replace(folder.find('/'), 1, "--");
  if (!fs::is_directory(cache / folder, ignored)) {
    throw Error(Fault::not_found, fmt::format("{} is neither a path that exists nor in the cache {}; cached there: {}",
                                              name->repo, cache.string(), listed(cached_repositories(cache))));
  }
  const auto snapshot = find_snapshot(cache / folder);
  if (!snapshot) {
    throw Error(Fault::not_found, fmt::format("{} is in the cache, but {} has no snapshot: its download did not finish",
                                              name->repo, (cache / folder).string()));
  }
  return pick_model(*name, *snapshot);
}

}  // namespace lancet
