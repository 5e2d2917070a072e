#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include <fmt/format.h>

#include "base/error.h"

namespace lancet {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const char* verb) {
  const int code = errno;
  const Fault fault = code == ENOENT || code == ENOTDIR ? Fault::not_found : Fault::io;
  throw Error(fault, fmt::format("{}: cannot {}: {}", path.string(), verb, std::generic_category().message(code)));
}

/// Closes the descriptor however the constructor ends; a mapping outlives its descriptor.
struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) close(number);
  }
};

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.number < 0) fail(path, "open it");
  struct stat info = {};
  if (fstat(file.number, &info) != 0) fail(path, "look at it");
  if (!S_ISREG(info.st_mode)) throw Error(Fault::bad_file, fmt::format("{}: is not a regular file", path.string()));
#ifdef __APPLE__
  const timespec& modified = info.st_mtimespec;
#else
  const timespec& modified = info.st_mtim;
#endif
  modified_ns_ = int64_t{modified.tv_sec} * 1'000'000'000 + modified.tv_nsec;
  if (info.st_size == 0) return;
  const auto size = static_cast<size_t>(info.st_size);
  void* address = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.number, 0);
  if (address == MAP_FAILED) fail(path, "map it");
  bytes_ = {static_cast<const std::byte*>(address), size};
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(other.bytes_), modified_ns_(other.modified_ns_) {
  other.bytes_ = {};
}

MappedFile::~MappedFile() {
  // munmap wants a pointer to non-const; the mapping itself stays read-only.
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::drop(std::span<const std::byte> part) const { advise(part, MADV_DONTNEED); }

void MappedFile::fetch(std::span<const std::byte> part) const {
#ifdef MADV_POPULATE_READ
  advise(part, MADV_POPULATE_READ);
#else
  advise(part, MADV_WILLNEED);
#endif
}

void MappedFile::advise(std::span<const std::byte> part, int advice) const {
  if (part.data() < bytes_.data() || part.data() + part.size() > bytes_.data() + bytes_.size()) return;
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const auto first = static_cast<size_t>(part.data() - bytes_.data());  // the mapping begins on a page
  const size_t begin = (first + page - 1) / page * page, end = (first + part.size()) / page * page;
  if (begin < end) madvise(const_cast<std::byte*>(bytes_.data()) + begin, end - begin, advice);
}

std::string read_text_file(const std::filesystem::path& path, size_t limit_bytes) {
  const MappedFile file(path);
  if (file.bytes().size() > limit_bytes)
    throw Error(Fault::too_large,
                fmt::format("{}: has {} bytes, at most {} are read", path.string(), file.bytes().size(), limit_bytes));
  return std::string(file.text());
}

}  // namespace lancet
