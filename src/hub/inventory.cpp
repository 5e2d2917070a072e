#include "hub/inventory.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <system_error>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "hub/file_lock.h"
#include "hub/files.h"
#include "hub/repository.h"

namespace lancet {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPrefix = "models--";
constexpr size_t kRefBytes = 4096;

/// A folder itself, not a link to one.
bool is_folder(const fs::path& path) {
  std::error_code absent;
  return fs::is_directory(fs::symlink_status(path, absent));
}

/// The folder's entries; none if it is no folder, a link, or cannot be read.
std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code ignored;
  if (is_folder(folder))
    for (const auto& entry : fs::directory_iterator(folder, ignored)) out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

/// All that is in a folder and is no folder, links not followed.
std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code ignored;
  if (!is_folder(folder)) return out;
  for (const auto& entry : fs::recursive_directory_iterator(folder, ignored))
    if (!fs::is_directory(entry.symlink_status(ignored))) out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

struct Size {
  uint64_t bytes = 0;
  int64_t changed_s = 0;
};

Size size_of(const fs::path& path) {
  struct stat info = {};
  if (lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  return {static_cast<uint64_t>(info.st_size), static_cast<int64_t>(info.st_mtime)};
}

/// The blob that a snapshot's link names; an empty path if it leads anywhere else.
fs::path blob_of(const fs::path& repository, const fs::path& link) {
  std::error_code absent;
  const fs::path target = fs::read_symlink(link, absent);
  if (absent || target.is_absolute()) return {};
  const fs::path blob = (link.parent_path() / target).lexically_normal();
  return blob.parent_path() == (repository / "blobs").lexically_normal() ? blob : fs::path();
}

CachedRepository read_repository(const fs::path& folder) {
  CachedRepository out{.repo = folder.filename().string().substr(kPrefix.size()), .revisions = {}};
  if (const size_t slash = out.repo.find("--"); slash != std::string::npos) out.repo.replace(slash, 2, "/");
  for (const fs::path& file : files_below(folder / "blobs")) {
    const Size size = size_of(file);
    (file.has_extension() ? out.unfinished_bytes : out.bytes) += size.bytes;
    out.changed_s = std::max(out.changed_s, size.changed_s);
  }
  std::map<std::string, std::vector<std::string>> refs;
  for (const fs::path& ref : files_below(folder / "refs"))
    if (size_of(ref).bytes > 0 && size_of(ref).bytes <= kRefBytes) {
      std::string commit = read_text_file(ref, kRefBytes);
      while (!commit.empty() && std::isspace(static_cast<unsigned char>(commit.back()))) commit.pop_back();
      refs[commit].push_back(ref.lexically_relative(folder / "refs").string());
    }
  for (const fs::path& snapshot : entries(folder / "snapshots")) {
    if (!is_folder(snapshot)) continue;
    const std::string commit = snapshot.filename().string();
    CachedRevision revision{.commit = commit, .refs = refs[commit], .files = {}};
    for (const fs::path& file : files_below(snapshot)) {
      revision.files.push_back(file.lexically_relative(snapshot).string());
      if (!fs::is_symlink(file)) out.bytes += size_of(file).bytes;  // where links are not possible
    }
    out.revisions.push_back(std::move(revision));
  }
  return out;
}

/// The snapshot folders that a name means: one revision's, else all.
std::vector<fs::path> meant_snapshots(const HubName& name, const fs::path& repository) {
  std::vector<fs::path> out;
  for (const CachedRevision& revision : read_repository(repository).revisions) {
    const bool named = std::find(revision.refs.begin(), revision.refs.end(), name.revision) != revision.refs.end();
    if (name.revision.empty() || named || revision.commit == name.revision)
      out.push_back(repository / "snapshots" / revision.commit);
  }
  return out;
}

/// Files of a snapshot that a quant means: the model it names, all its parts; without a quant every file.
std::vector<fs::path> meant_files(const HubName& name, const fs::path& snapshot) {
  const std::vector<fs::path> all = files_below(snapshot);
  if (name.quant.empty()) return all;
  std::vector<std::string> names;
  for (const fs::path& file : all)
    if (file.extension() == ".gguf") names.push_back(file.lexically_relative(snapshot).string());
  std::vector<fs::path> out;
  for (const std::string& model : with_quant(gguf_models(names), name.quant)) {
    out.push_back(snapshot / model);
    for (const std::string& part : split_names(model)) out.push_back(snapshot / part);
  }
  return out;
}

[[noreturn]] void refuse_busy(const std::string& repo) {
  throw Error(Fault::busy, fmt::format("{}: another process is fetching it; nothing is removed", repo));
}

/// Where the locks of a repository's blobs lie, relative to the cache.
fs::path lock_folder(const Removal& removal) { return fs::path(".locks") / removal.repository.filename(); }

/// The lock files of the blobs that go; a blob and its unfinished or damaged downloads share one.
std::set<fs::path> lock_files(const Removal& removal) {
  std::set<fs::path> out;
  const fs::path folder = removal.repository.parent_path() / lock_folder(removal);
  for (const fs::path& blob : removal.blobs) {
    const std::string name = blob.filename().string(), digest = name.substr(0, name.find('.'));
    if (is_digest(digest)) out.insert(folder / (digest + ".lock"));
  }
  return out;
}

std::vector<std::unique_ptr<FileLock>> hold_locks(const Removal& removal) {
  std::vector<std::unique_ptr<FileLock>> held;
  if (!removal.blobs.empty()) make_folders_inside(removal.repository.parent_path(), lock_folder(removal));
  for (const fs::path& file : lock_files(removal))
    held.push_back(std::make_unique<FileLock>(file, [&] { refuse_busy(removal.repo); }));
  return held;
}

}  // namespace

std::vector<CachedRepository> list_cache() {
  std::vector<CachedRepository> out;
  const fs::path cache = fs::path(hub_cache_folder()) / "";  // with a slash, so that a linked cache is looked into
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(cache, ignored))
    if (entry.path().filename().string().starts_with(kPrefix) && is_folder(entry.path()))
      out.push_back(read_repository(entry.path()));
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.repo < b.repo; });
  return out;
}

Removal plan_removal(const HubName& name) {
  const fs::path cache = hub_cache_folder();
  Removal out{.repo = name.repo, .repository = cache / repository_folder(name.repo), .links = {}, .blobs = {}};
  std::error_code absent;
  if (fs::is_symlink(fs::symlink_status(out.repository, absent))) {
    throw Error(Fault::unsupported,
                fmt::format("{}: is a link that leads out of the cache: nothing is removed", out.repository.string()));
  }
  if (!is_folder(out.repository))
    throw Error(Fault::not_found, fmt::format("{} is not in the cache {}", name.repo, cache.string()));
  out.everything = name.revision.empty() && name.quant.empty();
  for (const fs::path& snapshot : meant_snapshots(name, out.repository))
    for (const fs::path& file : meant_files(name, snapshot)) out.links.push_back(file);
  if (out.everything) {
    out.blobs = files_below(out.repository / "blobs");
  } else {
    if (out.links.empty()) throw Error(Fault::not_found, fmt::format("{} is not in the cache", hub_name_text(name)));
    std::set<fs::path> kept, going;
    const std::set<fs::path> links(out.links.begin(), out.links.end());
    for (const fs::path& file : files_below(out.repository / "snapshots"))
      if (const fs::path blob = blob_of(out.repository, file); !blob.empty())
        (links.contains(file) ? going : kept).insert(blob);
    std::set_difference(going.begin(), going.end(), kept.begin(), kept.end(), std::back_inserter(out.blobs));
  }
  const std::set<fs::path> locks = lock_files(out);
  if (std::any_of(locks.begin(), locks.end(), is_locked)) refuse_busy(name.repo);
  for (const fs::path& blob : out.blobs) out.bytes += size_of(blob).bytes;
  for (const fs::path& link : out.links) out.bytes += size_of(link).bytes;
  return out;
}

void remove(const Removal& removal) {
  const auto locks = hold_locks(removal);
  std::error_code failed;
  const auto check = [&](const fs::path& path) {
    if (failed) throw Error(Fault::io, fmt::format("{}: cannot remove it: {}", path.string(), failed.message()));
  };
  if (removal.everything) {
    fs::remove_all(removal.repository, failed);  // removes links, not what they lead to
    return check(removal.repository);
  }
  for (const auto* paths : {&removal.links, &removal.blobs})
    for (const fs::path& path : *paths) fs::remove(path, failed), check(path);
  // A snapshot that has nothing left goes, and the references to it.
  for (const fs::path& snapshot : entries(removal.repository / "snapshots"))
    if (is_folder(snapshot) && files_below(snapshot).empty()) fs::remove_all(snapshot, failed), check(snapshot);
  for (const fs::path& ref : files_below(removal.repository / "refs")) {
    const Size size = size_of(ref);
    if (size.bytes == 0 || size.bytes > kRefBytes) continue;
    const std::string commit = read_text_file(ref, kRefBytes);
    if (is_digest(commit) && !is_folder(removal.repository / "snapshots" / commit)) fs::remove(ref, failed), check(ref);
  }
}

}  // namespace lancet
