// What is in the cache, and taking it away. Links are never followed out of the cache, and a blob goes only with the
// last snapshot that uses it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "hub/cache.h"

namespace lancet {

struct CachedRevision {
  std::string commit;
  std::vector<std::string> refs;   // branches and tags that name it
  std::vector<std::string> files;  // sorted
};

struct CachedRepository {
  std::string repo;
  uint64_t bytes = 0, unfinished_bytes = 0;  // unfinished or damaged downloads are not in `bytes`
  int64_t changed_s = 0;                     // when something was last added; seconds since 1970
  std::vector<CachedRevision> revisions;     // sorted by commit
};

/// The model repositories of the cache, sorted by name. What cannot be read is left out.
std::vector<CachedRepository> list_cache();

/// What a removal takes: links of snapshots, and blobs that no other link needs.
struct Removal {
  std::string repo;
  std::filesystem::path repository;  // its folder
  bool everything = false;           // the repository with all that is in it
  std::vector<std::filesystem::path> links, blobs;
  uint64_t bytes = 0;  // that become free
};

/// The removal of a repository, of one revision, or of one quant's files. Throws Error{not_found} if it is not there,
/// Error{unsupported} if its folder is a link, Error{busy} if another process is fetching it.
Removal plan_removal(const HubName& name);
/// Holds the locks of all blobs that go, so that nobody fetches one of them meanwhile. Throws Error{io}, and
/// Error{busy} before anything is removed if another process is fetching one.
void remove(const Removal&);

}  // namespace lancet
