// A model from a hub into the cache: which files, is there room, fetch what is missing, link the snapshot.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "hub/cache.h"
#include "hub/http.h"
#include "hub/repository.h"

namespace lancet {

/// What a pull would do.
struct PullPlan {
  HubName name;
  std::string commit;
  std::vector<RepositoryFile> files;
  uint64_t total_bytes = 0, missing_bytes = 0;
};

/// Bytes of one pull, for those who watch.
struct PullProgress {
  std::string file;
  uint64_t done_bytes = 0, total_bytes = 0;  // of all files
};

struct PullWatch {
  HttpClient::Note note;                              // something that a person should know
  std::function<void(const PullPlan&)> planned;       // before anything is fetched, and again if the plan changes
  std::function<void(const PullProgress&)> progress;  // often
};

struct Pulled {
  PullPlan plan;
  uint64_t fetched_bytes = 0;
  std::filesystem::path model;  // for open_checkpoint
};

/// Asks the hub, chooses files, fetches those that are missing and links the snapshot; everything is of one commit.
/// Other processes, huggingface_hub's too, may pull the same. Throws Error; what was fetched stays for the next time.
/// Offline, only what is in the cache is looked at, and the plan has no files: Error{not_found} if the model, or one of
/// its weight files, is not there.
Pulled pull_model(const HubName& name, const HubSettings& settings, const PullWatch& watch);

/// Error{io} unless the disk of `folder` has room for so many bytes and a reserve.
void require_room(const std::filesystem::path& folder, uint64_t bytes);

}  // namespace lancet
