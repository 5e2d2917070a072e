#include "base/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"

namespace lancet {
namespace fs = std::filesystem;
namespace {

constexpr size_t kWrite = size_t{64} << 20;  // bytes of one system call

fs::path folder_of(const fs::path& file) { return file.has_parent_path() ? file.parent_path() : fs::path("."); }

bool is_there(const fs::path& path) {
  struct stat found;
  return ::lstat(path.c_str(), &found) == 0;
}

[[noreturn]] void refuse_existing(const fs::path& path) {
  throw Error(Fault::io,
              fmt::format("{}: exists already and is not overwritten without --force", quoted(path.string())));
}

}  // namespace

void OutputFile::check(const fs::path& path, Existing existing, uint64_t wanted_bytes) {
  if (!path.has_filename()) throw Error(Fault::io, fmt::format("{}: names no file", quoted(path.string())));
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) throw Error(Fault::io, fmt::format("{}: is a folder", quoted(path.string())));
  if (existing == Existing::refuse && is_there(path)) refuse_existing(path);
  struct statvfs disk;
  if (::statvfs(folder_of(path).c_str(), &disk) != 0) fail(path, "cannot be written", errno);
  const uint64_t free_bytes = uint64_t{disk.f_bavail} * disk.f_frsize;
  if (free_bytes >= wanted_bytes) return;
  throw Error(Fault::io,
              fmt::format("{}: needs {} bytes, the disk has {} free", quoted(path.string()), wanted_bytes, free_bytes));
}

OutputFile::OutputFile(fs::path path, Existing existing, uint64_t wanted_bytes)
    : path_(std::move(path)), existing_(existing) {
  check(path_, existing_, wanted_bytes);
  const fs::path folder = folder_of(path_);
  std::string name = (folder / fmt::format(".{}.XXXXXX", path_.filename().string())).string();
  file_ = ::mkstemp(name.data());
  if (file_ < 0) fail(path_, "cannot be written", errno);
  partial_ = name;
  // mkstemp makes it private; what the user gets is as readable as any new file.
  const mode_t mask = ::umask(0);
  ::umask(mask);
  ::fchmod(file_, 0666 & ~mask);
}

OutputFile::~OutputFile() {
  if (file_ >= 0) ::close(file_);
  if (!partial_.empty()) ::unlink(partial_.c_str());
}

void OutputFile::fail(const fs::path& path, const char* what, int error) {
  throw Error(Fault::io, fmt::format("{}: {}: {}", quoted(path.string()), what, std::strerror(error)));
}

void OutputFile::write(std::span<const std::byte> bytes) {
  CHECK(file_ >= 0);
  while (!bytes.empty()) {
    const ssize_t done = ::write(file_, bytes.data(), std::min(bytes.size(), kWrite));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail(path_, "cannot be written", errno);
    bytes = bytes.subspan(static_cast<size_t>(done));
    written_ += static_cast<uint64_t>(done);
  }
}

void OutputFile::give_name() {
  if (existing_ == Existing::replace) {
    if (::rename(partial_.c_str(), path_.c_str()) != 0) fail(path_, "cannot be renamed to", errno);
    partial_.clear();
    return;
  }
  // A link fails where the name is taken, which a rename does not; file systems without links get the rename.
  if (::link(partial_.c_str(), path_.c_str()) == 0) return;  // the destructor takes the other name away
  if (errno == EEXIST || is_there(path_)) refuse_existing(path_);
  if (::rename(partial_.c_str(), path_.c_str()) != 0) fail(path_, "cannot be renamed to", errno);
  partial_.clear();
}

void OutputFile::commit() {
  CHECK(file_ >= 0);
  if (::fsync(file_) != 0) fail(path_, "cannot be written", errno);
  const int file = file_;
  file_ = -1;
  if (::close(file) != 0) fail(path_, "cannot be written", errno);
  give_name();
  const int folder = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;  // a folder that may be written but not read: the name is given, only not yet durable
  ::fsync(folder);
  ::close(folder);
}

}  // namespace lancet
