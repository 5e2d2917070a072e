#include "hub/download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/random.h"
#include "hub/file_hasher.h"
#include "hub/file_lock.h"
#include "hub/files.h"

namespace lancet {
namespace fs = std::filesystem;
namespace {

constexpr size_t kBuffer = 1 << 20;  // libcurl hands out 16 kB at a time

/// The size of a regular file, not through a link; nothing if there is none.
std::optional<uint64_t> regular_size(const fs::path& path) {
  struct stat info = {};
  if (lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  return static_cast<uint64_t>(info.st_size);
}

/// An unfinished download: takes the body where the file ends, hashes behind it.
class PartialFile final : public BodySink {
 public:
  /// `continued`: another process may go on with it.
  PartialFile(const BlobRequest& request, fs::path path, bool continued)
      : request_(request), path_(std::move(path)), continued_(continued), file_(open_file()), size_(request.file.size) {
    struct stat info = {};
    if (fstat(file_.number, &info) != 0 || !S_ISREG(info.st_mode)) fail_io(path_, "use it as a file");
    end_ = static_cast<uint64_t>(info.st_size);
    resumed_ = end_ > 0;
    hasher_.emplace(file_.number, size_, request.file.digest.size());
    if (end_ > size_) clear();
    hasher_->advance(end_);
    request_.progress(end_);
  }
  /// What has come is worth keeping, whatever ends the transfer.
  ~PartialFile() override {
    if (!continued_) unlink(path_.c_str());
    if (pending_.empty() || discarded_ || !continued_) return;
    [[maybe_unused]] const ssize_t written =
        pwrite(file_.number, pending_.data(), pending_.size(), static_cast<off_t>(end_));
  }

  uint64_t resume_at() override {
    flush();
    return end_;
  }

  bool begin(const HubResponse& response) override {
    const std::string& name = request_.file.name;
    if ((!response.commit.empty() && response.commit != request_.commit) ||
        (!response.linked_etag.empty() && response.linked_etag != request_.file.digest)) {
      discard();
      return false;
    }
    if (!name.ends_with(".html")) refuse_page(response, name);
    if (response.status == 206) {
      const auto range = parse_content_range(response.header("content-range"));
      if (!range || range->first != end_ || range->last + 1 > size_ || range->total.value_or(size_) != size_) {
        throw Error(Fault::bad_file, fmt::format("{}: asked for the bytes from {} of {}, the server sends {}", name,
                                                 end_, size_, lancet::quoted(response.header("content-range"))));
      }
    } else if (end_ > 0) {  // the server does not know ranges: what it sends begins at the beginning
      clear();
    }
    return true;
  }

  void take(std::span<const std::byte> bytes) override {
    if (bytes.size() > size_ - end_ - pending_.size()) {
      discard();
      throw Error(Fault::bad_file, fmt::format("{}: has {} bytes, the server sends more", request_.file.name, size_));
    }
    fetched_bytes_ += bytes.size();
    pending_.insert(pending_.end(), bytes.begin(), bytes.end());
    if (pending_.size() >= kBuffer) flush();
  }

  std::optional<std::string> missing() override {
    flush();
    if (discarded_ || end_ == size_) return std::nullopt;
    return fmt::format("the server sent {} of {} bytes", end_, size_);
  }

  bool discarded() const { return discarded_; }
  bool complete() const { return end_ == size_; }
  bool resumed() const { return resumed_; }
  uint64_t fetched_bytes() const { return fetched_bytes_; }

  /// Forgets what there is; the next attempt begins at the beginning.
  void clear() {
    hasher_->restart();
    if (ftruncate(file_.number, 0) != 0) fail_io(path_, "cut it");
    end_ = 0;
    resumed_ = false;
    pending_.clear();
  }

  std::string digest() { return hasher_->finish(); }

  /// Gives the file, whose content is right, its final name.
  void publish(const fs::path& blob) {
    if (fsync(file_.number) != 0) fail_io(path_, "write it to the disk");
    const auto size = regular_size(path_);
    if (size != size_) throw Error(Fault::io, fmt::format("{}: was changed by somebody else", path_.string()));
    if (rename(path_.c_str(), blob.c_str()) != 0) fail_io(blob, "rename the download into place");
    sync_folder(blob.parent_path());
  }

  void set_aside() { rename(path_.c_str(), fs::path(path_).replace_extension(".corrupt").c_str()); }

 private:
  int open_file() {
    const int file = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (file < 0) fail_io(path_, "open it");
    return file;
  }

  void flush() {
    size_t written = 0;
    while (written < pending_.size()) {
      const ssize_t result =
          pwrite(file_.number, pending_.data() + written, pending_.size() - written, static_cast<off_t>(end_));
      if (result < 0 && errno == EINTR) continue;
      if (result <= 0) {
        const int code = errno;
        pending_.clear();  // what does not fit now is fetched again
        errno = code;
        fail_io(path_, "write it");
      }
      written += static_cast<size_t>(result);
      end_ += static_cast<uint64_t>(result);
    }
    if (pending_.empty()) return;
    pending_.clear();
    hasher_->advance(end_);
    request_.progress(end_);
  }

  void discard() {
    discarded_ = true;
    unlink(path_.c_str());
  }

  const BlobRequest& request_;
  const fs::path path_;
  const bool continued_;
  const Descriptor file_;
  const uint64_t size_;
  uint64_t end_ = 0, fetched_bytes_ = 0;  // bytes in the file, and those that came
  bool resumed_ = false, discarded_ = false;
  std::vector<std::byte> pending_;
  std::optional<FileHasher> hasher_;
};

/// Where locks cannot be trusted every process has a name of its own, as huggingface_hub forms it.
fs::path partial_name(const fs::path& blob, bool trusted) {
  if (trusted) return fs::path(blob) += ".incomplete";
  const auto now = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  Random random(now ^ (static_cast<uint64_t>(getpid()) << 40));
  return fs::path(blob) += fmt::format(".{:08x}.incomplete", random.next() & 0xffffffff);
}

}  // namespace

bool blob_present(const fs::path& blobs, const RepositoryFile& file) {
  std::error_code absent;  // huggingface_hub may have put a link there
  return fs::is_regular_file(blobs / file.digest, absent) && fs::file_size(blobs / file.digest, absent) == file.size;
}

uint64_t bytes_present(const fs::path& blobs, const RepositoryFile& file) {
  if (blob_present(blobs, file)) return file.size;
  return std::min(file.size, regular_size(blobs / (file.digest + ".incomplete")).value_or(0));
}

BlobResult fetch_blob(HttpClient& http, const BlobRequest& request) {
  const RepositoryFile& file = request.file;
  const fs::path blob = request.blobs / file.digest;
  const FileLock lock(request.lock,
                      [&] { request.note(fmt::format("{}: another process is fetching it; waiting", file.name)); });
  if (blob_present(request.blobs, file)) return {};
  if (regular_size(blob)) rename(blob.c_str(), fs::path(blob).replace_extension(".corrupt").c_str());
  PartialFile partial(request, partial_name(blob, lock.trusted()), lock.trusted());
  while (true) {
    if (!partial.complete()) {
      const HubResponse answer = http.get(request.url, file.name, partial);
      if (partial.discarded()) return {.changed = true};
      if (answer.status == 416 && partial.resumed()) {
        partial.clear();
        continue;
      }
      if (!partial.complete()) refuse_status(answer, file.name, http.settings());
    }
    const std::string found = partial.digest();
    if (found == file.digest) break;
    // Bytes of an earlier process may have been lost with the machine's power; those of this one have no excuse.
    if (!partial.resumed()) {
      partial.set_aside();
      throw Error(Fault::bad_file,
                  fmt::format("{}: what the server sent has the digest {}, wanted {}; it is kept as {}", file.name,
                              found, file.digest, fs::path(blob).replace_extension(".corrupt").string()));
    }
    request.note(fmt::format("{}: the part that an earlier process fetched is damaged; fetching all of it", file.name));
    partial.clear();
  }
  partial.publish(blob);
  return {.fetched_bytes = partial.fetched_bytes()};
}

void refuse_page(const HubResponse& response, const std::string& what) {
  if (!response.is_html()) return;
  throw Error(
      Fault::unavailable,
      fmt::format("{}: {} answers with a web page instead of the data: a network that wants a login, or a proxy "
                  "or $HF_ENDPOINT that is not a hub",
                  what, origin_of(response.url)));
}

void refuse_status(const HubResponse& response, const std::string& what, const HubSettings& settings) {
  const std::string code(response.header("x-error-code")), said(response.header("x-error-message"));
  std::string why;
  if (code == "GatedRepo" || (response.status == 403 && code.empty()))
    why = fmt::format("it is gated: access must be asked for on its page at {}, {}", settings.endpoint,
                      settings.token.empty() ? "and a token of that account given (" + settings.token_source + ")"
                                             : "with the account of the token in " + settings.token_source);
  else if (code == "RevisionNotFound")
    why = "it has no such revision";
  else if (code == "EntryNotFound")
    why = "it has no such file";
  else if (response.status == 401 && settings.token.empty())
    why = fmt::format("it does not exist, is private or is gated; no token was found in {}", settings.token_source);
  else if (response.status == 401 && !may_have_token(settings.endpoint, settings))
    why = fmt::format("it does not exist, is private or is gated; the token in {} is not sent to {} without https",
                      settings.token_source, settings.endpoint);
  else if (response.status == 401)
    why = fmt::format("it does not exist, or the token in {} may not see it", settings.token_source);
  else if (response.status == 404)
    why = "it does not exist on " + settings.endpoint;
  else
    why = "the answer is none that can be used";
  const bool absent = response.status == 401 || response.status == 403 || response.status == 404;
  throw Error(absent ? Fault::not_found : Fault::unavailable,
              fmt::format("{}: {} (HTTP {}{})", what, why, response.status,
                          said.empty() ? "" : "; the hub says " + lancet::quoted(said)));
}

}  // namespace lancet
