#include "hub/pull.h"

#include <algorithm>
#include <cstdio>
#include <system_error>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "hub/digest.h"
#include "hub/download.h"
#include "hub/files.h"

namespace lancet {
namespace fs = std::filesystem;
namespace {

constexpr size_t kInfoBytes = 64 << 20;
constexpr uint64_t kReserve = uint64_t{1} << 30;
constexpr int kPlans = 3;  // a repository that changes while it is pulled is planned so often

/// The hub's document, in memory.
class TextBody final : public BodySink {
 public:
  explicit TextBody(std::string what) : what_(std::move(what)) {}
  uint64_t resume_at() override {
    text_.clear();
    return 0;
  }
  bool begin(const HubResponse& response) override {
    refuse_page(response, what_);
    return true;
  }
  void take(std::span<const std::byte> bytes) override {
    if (text_.size() + bytes.size() > kInfoBytes)
      throw Error(Fault::bad_file,
                  fmt::format("{}: the hub's list of files has more than {} bytes", what_, kInfoBytes));
    text_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  std::optional<std::string> missing() override { return std::nullopt; }
  const std::string& text() const { return text_; }

 private:
  std::string what_, text_;
};

class Pull {
 public:
  Pull(const HubName& name, const HubSettings& settings, const PullWatch& watch)
      : name_(name),
        http_(settings, watch.note),
        watch_(watch),
        cache_(hub_cache_folder()),
        folder_(cache_ / repository_folder(name.repo)) {}

  Pulled run() {
    for (int plans = 0; plans < kPlans; plans++) {
      Pulled out{.plan = make_plan(), .model = {}};
      if (http_.settings().verify && plans == 0) set_damaged_aside(out.plan);
      count_bytes(out.plan);
      watch_.planned(out.plan);
      make_folders_inside(cache_, repository_folder(name_.repo) / fs::path("blobs"));
      require_room(folder_, out.plan.missing_bytes);
      if (!fetch_all(out)) continue;
      out.model = link_all(out.plan);
      return out;
    }
    throw Error(Fault::unavailable, fmt::format("{}: changed on the hub or in the cache {} times while it was fetched",
                                                name_.repo, kPlans));
  }

 private:
  PullPlan make_plan() {
    const std::string what = name_.revision.empty() ? name_.repo : name_.repo + "@" + name_.revision;
    const std::string revision = name_.revision.empty() ? "main" : name_.revision;
    TextBody body(what);
    const HubResponse answer = http_.get(
        fmt::format("{}/api/models/{}/revision/{}?blobs=true", endpoint(), name_.repo, url_escaped(revision, false)),
        what, body);
    if (answer.status != 200) refuse_status(answer, what, http_.settings());
    Budget budget("the hub's list of files");
    const RepositoryInfo info =
        parse_repository_info(body.text(), fmt::format("the hub's answer about {}", what), budget);
    return {.name = name_, .commit = info.commit, .files = choose_files(name_.repo, info, name_.quant)};
  }

  void count_bytes(PullPlan& plan) const {
    for (const RepositoryFile& file : plan.files) {
      plan.total_bytes += file.size;
      plan.missing_bytes += file.size - bytes_present(folder_ / "blobs", file);
    }
  }

  /// Disks change bits, and whoever may write to the cache can change files: what is in it is not what it was.
  void set_damaged_aside(const PullPlan& plan) const {
    for (const RepositoryFile& file : plan.files) {
      const fs::path blob = folder_ / "blobs" / file.digest;
      if (!blob_present(folder_ / "blobs", file)) continue;
      if (digest_of(MappedFile(blob).bytes(), file.digest.size()) == file.digest) continue;
      watch_.note(fmt::format("{}: is damaged in the cache; fetching it again", file.name));
      if (rename(blob.c_str(), fs::path(blob).replace_extension(".corrupt").c_str()) != 0)
        fail_io(blob, "set it aside");
    }
  }

  /// False if the repository, or the cache, changed meanwhile.
  bool fetch_all(Pulled& out) {
    uint64_t before = 0;
    for (const RepositoryFile& file : out.plan.files) {
      if (blob_present(folder_ / "blobs", file)) {  // a cache that is complete may be read-only
        before += file.size;
        continue;
      }
      make_folders_inside(cache_, fs::path(".locks") / repository_folder(name_.repo));
      const BlobRequest request{.url = fmt::format("{}/{}/resolve/{}/{}", endpoint(), name_.repo, out.plan.commit,
                                                   url_escaped(file.name, true)),
                                .commit = out.plan.commit,
                                .file = file,
                                .blobs = folder_ / "blobs",
                                .lock = cache_ / ".locks" / repository_folder(name_.repo) / (file.digest + ".lock"),
                                .note = watch_.note,
                                .progress = [&](uint64_t have) {
                                  watch_.progress({file.name, before + have, out.plan.total_bytes});
                                }};
      const BlobResult result = fetch_blob(http_, request);
      out.fetched_bytes += result.fetched_bytes;
      if (result.changed) {
        watch_.note(fmt::format("{}: changed on the hub while it was fetched; asking again", name_.repo));
        return false;
      }
      before += file.size;
      watch_.progress({file.name, before, out.plan.total_bytes});
    }
    return all_present(out.plan);
  }

  /// What was there when its turn came may have been removed while the others were fetched.
  bool all_present(const PullPlan& plan) const {
    for (const RepositoryFile& file : plan.files) {
      if (blob_present(folder_ / "blobs", file)) continue;
      watch_.note(fmt::format("{}: was removed by another process; fetching it again", file.name));
      return false;
    }
    return true;
  }

  /// Links in the plan's order, then the reference: until the last link is there nobody takes the snapshot for a model.
  fs::path link_all(const PullPlan& plan) {
    const fs::path snapshot = fs::path("snapshots") / plan.commit;
    for (const RepositoryFile& file : plan.files) {
      const fs::path relative = snapshot / file.name;
      make_folders_inside(folder_, relative.parent_path());
      const fs::path target = fs::path("blobs").lexically_relative(relative.parent_path()) / file.digest;
      std::error_code absent;
      if (fs::read_symlink(folder_ / relative, absent) != target) link_durably(target, folder_ / relative);
    }
    const std::string revision = name_.revision.empty() ? "main" : name_.revision;
    if (revision != plan.commit) {
      const fs::path ref = fs::path("refs") / revision;
      make_folders_inside(folder_, ref.parent_path());
      if (read_reference(folder_ / ref) != plan.commit) write_file_durably(folder_ / ref, plan.commit);
    }
    const fs::path& last = plan.files.back().name;
    return last.extension() == ".gguf" ? folder_ / snapshot / last : folder_ / snapshot;
  }

  const std::string& endpoint() const { return http_.settings().endpoint; }

  HubName name_;
  HttpClient http_;
  const PullWatch& watch_;
  fs::path cache_, folder_;
};

}  // namespace

Pulled pull_model(const HubName& name, const HubSettings& settings, const PullWatch& watch) {
  if (!settings.offline) return Pull(name, settings, watch).run();
  CacheLookup found = require_cached(name);
  return {.plan = {.name = name, .commit = std::move(found.commit), .files = {}}, .model = std::move(found.model)};
}

void require_room(const fs::path& folder, uint64_t bytes) {
  std::error_code failed;
  const fs::space_info space = fs::space(folder, failed);
  if (failed)
    throw Error(Fault::io, fmt::format("{}: cannot ask for the free space: {}", folder.string(), failed.message()));
  const uint64_t reserve = std::min(bytes, kReserve);  // a full disk breaks more than this download
  if (bytes == 0 || (space.available >= bytes && space.available - bytes >= reserve)) return;
  throw Error(Fault::io,
              fmt::format("{}: {} are to be fetched and {} should stay free, but the disk has {} free", folder.string(),
                          size_text(bytes), size_text(reserve), size_text(space.available)));
}

}  // namespace lancet
