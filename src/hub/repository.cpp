#include "hub/repository.h"

#include <algorithm>
#include <cctype>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/json.h"

namespace lancet {
namespace {

constexpr size_t kShown = 8;                           // names in a message
constexpr size_t kNameBytes = 1024, kPartBytes = 255;  // PATH_MAX is 4,096 with the cache's own folders; NAME_MAX
constexpr int64_t kFileBytes = int64_t{1} << 50;       // a file larger than a pebibyte is a lie

/// What Lancet reads of a folder beside the weights (checkpoint/text_files.cpp), and what image models need.
constexpr std::string_view kTextFiles[] = {
    "generation_config.json",   "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "preprocessor_config.json", "processor_config.json", "chat_template.json"};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

bool is_device_name(std::string_view part) {
  const std::string stem = lower(part.substr(0, part.find('.')));
  for (const char* device : {"con", "prn", "aux", "nul"})
    if (stem == device) return true;
  return stem.size() == 4 && (stem.starts_with("com") || stem.starts_with("lpt")) && stem[3] >= '1' && stem[3] <= '9';
}

bool is_safe_part(std::string_view part) {
  const auto bad = [](unsigned char c) { return c < 0x20 || c == 0x7f || c == '\\' || c == ':'; };
  return !part.empty() && part.size() <= kPartBytes && part != "." && part != ".." &&
         std::none_of(part.begin(), part.end(), bad);
}

template <typename Predicate>
bool all_parts(std::string_view name, const Predicate& predicate) {
  while (true) {
    const size_t slash = name.find('/');
    if (!predicate(name.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    name.remove_prefix(slash + 1);
  }
}

RepositoryFile read_file(const JsonView& entry) {
  const JsonView name = entry.at("rfilename");
  if (!stays_in_folder(name.string())) name.fail("a relative name that stays inside its folder");
  RepositoryFile file{.name = std::string(name.string()), .digest = {}};
  const auto lfs = entry.find("lfs");
  const JsonView size = lfs ? lfs->at("size") : entry.at("size");
  file.size = static_cast<uint64_t>(size.integer(0, kFileBytes));
  const JsonView digest = lfs ? lfs->at("sha256") : entry.at("blobId");
  file.digest = digest.string();
  const size_t digits = lfs ? 64 : 40;
  if (!is_digest(file.digest) || file.digest.size() != digits) digest.fail(fmt::format("{} hex digits", digits));
  return file;
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

bool is_image_part(std::string_view name) {
  return lower(name.substr(name.rfind('/') + 1)).find("mmproj") != std::string::npos;
}

std::vector<std::string> gguf_names(const RepositoryInfo& info) {
  std::vector<std::string> names;
  for (const RepositoryFile& file : info.files)
    if (file.name.ends_with(".gguf")) names.push_back(file.name);
  return names;
}

const RepositoryFile* find(const RepositoryInfo& info, std::string_view name) {
  for (const RepositoryFile& file : info.files)
    if (file.name == name) return &file;
  return nullptr;
}

void take(const RepositoryInfo& info, std::string_view name, std::vector<RepositoryFile>& out) {
  if (const RepositoryFile* file = find(info, name)) out.push_back(*file);
}

/// The weights of one layout: `stem`.safetensors, or its shards with their index.
std::vector<RepositoryFile> weights(const RepositoryInfo& info, const std::string& stem) {
  std::vector<RepositoryFile> out;
  const std::string index = stem + ".safetensors.index.json";
  const bool sharded = find(info, index) != nullptr;
  for (const RepositoryFile& file : info.files) {
    const bool single = file.name == stem + ".safetensors";
    const bool shard = file.name.ends_with(".safetensors") && file.name.find('/') == std::string::npos && !single &&
                       (file.name.starts_with(stem + "-") || file.name.starts_with(stem + "."));
    if (sharded ? shard : single) out.push_back(file);
  }
  if (!out.empty()) take(info, index, out);
  return out;
}

/// Config, tokenizer, template and one copy of the weights; empty if the repository has no such layout.
std::vector<RepositoryFile> folder_files(const RepositoryInfo& info) {
  for (const auto& [config, stem] : {std::pair{"config.json", "model"}, std::pair{"params.json", "consolidated"}}) {
    if (!find(info, config)) continue;
    std::vector<RepositoryFile> out = weights(info, stem);
    if (out.empty()) continue;
    for (const std::string_view name : kTextFiles) take(info, name, out);
    take(info, find(info, "tokenizer.json") ? "tokenizer.json" : "tekken.json", out);
    take(info, config, out);
    return out;
  }
  return {};
}

/// All parts of the split that `first` begins, the first one last; Error if one is not listed.
std::vector<RepositoryFile> split_files(const std::string& repo, const RepositoryInfo& info, const std::string& first) {
  std::vector<RepositoryFile> out;
  for (const std::string& part : split_names(first)) {
    if (!find(info, part))
      throw Error(Fault::not_found, fmt::format("{}: has {}, but not its part {}", repo, first, part));
    take(info, part, out);
  }
  take(info, first, out);
  return out;
}

/// The image part that goes with a model: of the same quant if there is one, else the most exact that is not f32.
const RepositoryFile* image_part(const RepositoryInfo& info, std::string_view quant) {
  std::vector<std::string> names;
  for (std::string& name : gguf_names(info))
    if (is_image_part(name)) names.push_back(std::move(name));
  std::sort(names.begin(), names.end());
  if (names.empty()) return nullptr;
  for (const std::string_view wanted : {quant, std::string_view("bf16"), std::string_view("f16")}) {
    if (wanted.empty()) continue;
    if (const auto found = with_quant(names, wanted); !found.empty()) return find(info, found.front());
  }
  return find(info, names.front());
}

[[noreturn]] void refuse_choice(const std::string& repo, const RepositoryInfo& info, const std::string& quant,
                                const std::vector<std::string>& models, const std::vector<std::string>& found) {
  if (models.empty()) {
    std::vector<std::string> names;
    for (const RepositoryFile& file : info.files) names.push_back(file.name);
    throw Error(Fault::not_found,
                fmt::format("{}: has {}; there is: {}", repo,
                            quant.empty() ? "neither safetensors with their config nor a .gguf" : "no .gguf model",
                            listed(names)));
  }
  if (found.empty()) {
    throw Error(Fault::not_found,
                fmt::format("{}: no .gguf has \"{}\" in its name; there is: {}", repo, quant, listed(models)));
  }
  throw Error(Fault::not_found, fmt::format("{}{}{} could be any of {}; say which one, as in {}:Q4_K_M", repo,
                                            quant.empty() ? "" : ":", quant, listed(found), repo));
}

std::vector<RepositoryFile> model_files(const std::string& repo, const RepositoryInfo& info, const std::string& quant) {
  if (quant.empty())
    if (std::vector<RepositoryFile> files = folder_files(info); !files.empty()) return files;
  const std::vector<std::string> models = gguf_models(gguf_names(info));
  const std::vector<std::string> found = quant.empty() ? models : with_quant(models, quant);
  if (found.size() != 1) refuse_choice(repo, info, quant, models, found);
  std::vector<RepositoryFile> files;
  if (const RepositoryFile* image = image_part(info, quant)) files.push_back(*image);
  for (RepositoryFile& part : split_files(repo, info, found.front())) files.push_back(std::move(part));
  return files;
}

}  // namespace

bool is_digest(std::string_view text) {
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return (text.size() == 40 || text.size() == 64) && std::all_of(text.begin(), text.end(), hex);
}

bool is_safe_file_name(std::string_view name) {
  return stays_in_folder(name) && all_parts(name, [](std::string_view part) { return !is_device_name(part); });
}

bool stays_in_folder(std::string_view name) { return name.size() <= kNameBytes && all_parts(name, is_safe_part); }

RepositoryInfo parse_repository_info(std::string_view text, const std::string& source, Budget& budget) {
  const boost::json::value document = parse_json(text, source, {.nodes = 4'000'000}, budget);
  const JsonView root(document, source, Fault::bad_file);
  RepositoryInfo info;
  const JsonView commit = root.at("sha");
  info.commit = commit.string();
  if (!is_digest(info.commit) || info.commit.size() != 40) commit.fail("a commit of 40 hex digits");
  std::set<std::string> seen;
  const JsonView files = root.at("siblings");
  for (size_t i = 0; i < files.size(); i++) {
    budget.step();
    info.files.push_back(read_file(files.element(i)));
    if (!seen.insert(info.files.back().name).second)
      files.element(i).at("rfilename").fail("a name that is not in the list already");
  }
  return info;
}

std::vector<RepositoryFile> choose_files(const std::string& repo, const RepositoryInfo& info,
                                         const std::string& quant) {
  std::vector<RepositoryFile> files = model_files(repo, info, quant);
  for (const RepositoryFile& file : files)
    if (!is_safe_file_name(file.name))
      throw Error(Fault::bad_file,
                  fmt::format("{}: {} is a device on Windows, and no name for a file: it is not fetched", repo,
                              lancet::quoted(file.name)));
  return files;
}

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

std::vector<std::string> split_names(const std::string& first) {
  constexpr size_t kEnding = std::string_view("00001-of-00003.gguf").size(),
                   kCount = std::string_view("00003.gguf").size();
  std::vector<std::string> names;
  if (split_part(first) != 1) return names;
  const std::string stem = first.substr(0, first.size() - kEnding), ending = first.substr(stem.size() + 5);
  const int count = std::stoi(first.substr(first.size() - kCount, 5));
  for (int part = 2; part <= count; part++) names.push_back(fmt::format("{}{:05}{}", stem, part, ending));
  return names;
}

std::vector<std::string> gguf_models(const std::vector<std::string>& names) {
  std::vector<std::string> models;
  for (const std::string& name : names)
    if (!is_image_part(name) && split_part(name) <= 1) models.push_back(name);
  std::sort(models.begin(), models.end());
  return models;
}

std::vector<std::string> with_quant(const std::vector<std::string>& models, std::string_view quant) {
  const std::string wanted = lower(quant);
  std::vector<std::string> words, parts;
  for (const std::string& model : models) {
    const std::string name = lower(model);
    if (has_word(name, wanted)) words.push_back(model);
    if (name.find(wanted) != std::string::npos) parts.push_back(model);
  }
  return words.empty() ? parts : words;
}

std::string listed(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  if (names.empty()) return "nothing";
  const size_t more = names.size() > kShown ? names.size() - kShown : 0;
  names.resize(names.size() - more);
  return fmt::format("{}{}", fmt::join(names, ", "), more > 0 ? fmt::format(" and {} more", more) : "");
}

}  // namespace lancet
