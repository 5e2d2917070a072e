#include "hub/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/vfs.h>
#endif

#include <cerrno>

#include "hub/files.h"

namespace lancet {
namespace {

/// Network and cluster file systems, where flock may succeed for everybody: statfs(2), and the systems' own headers.
bool is_shared_file_system([[maybe_unused]] int file) {
#ifdef __linux__
  struct statfs info = {};
  if (fstatfs(file, &info) != 0) return true;
  for (const uint32_t kind : {0x6969u, 0x517bu, 0xff534d42u, 0xfe534d42u, 0x0bd00bd0u, 0x47504653u, 0x65735546u,
                              0x00c36400u, 0x01021997u, 0x5346414fu, 0x73757245u})
    if (static_cast<uint32_t>(info.f_type) == kind) return true;
#endif
  return false;
}

/// The holder before us may have removed the file: then our lock is on a file that nobody else will find.
bool is_still_there(int file, const std::filesystem::path& path) {
  struct stat ours = {}, named = {};
  return fstat(file, &ours) == 0 && stat(path.c_str(), &named) == 0 && ours.st_ino == named.st_ino &&
         ours.st_dev == named.st_dev;
}

}  // namespace

// Delegating makes this a whole object at once, so that its destructor runs when `waiting` throws.
FileLock::FileLock(const std::filesystem::path& path, const std::function<void()>& waiting) : FileLock() {
  for (bool told = false;;) {
    file_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0664);
    if (file_ < 0) fail_io(path, "open it");
    int result = flock(file_, LOCK_EX | LOCK_NB);
    if (result != 0 && errno == EWOULDBLOCK) {
      if (!told) waiting();
      told = true;
      while ((result = flock(file_, LOCK_EX)) != 0 && errno == EINTR) {}
    }
    trusted_ = result == 0 && !is_shared_file_system(file_);
    if (result != 0 || is_still_there(file_, path)) return;
    close(file_);
  }
}

FileLock::~FileLock() {
  if (file_ >= 0) close(file_);
}

bool is_locked(const std::filesystem::path& path) {
  const Descriptor file(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  return file.number >= 0 && flock(file.number, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

}  // namespace lancet
