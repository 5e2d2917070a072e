// A lock between processes, on a file that huggingface_hub locks too (flock).
#pragma once

#include <filesystem>
#include <functional>

namespace lancet {

/// Holds the lock while it lives; a process that dies lets go of it. `waiting` is called once if somebody else has it,
/// and may throw instead of waiting. Throws Error{io} if the file cannot be made.
class FileLock {
 public:
  FileLock(const std::filesystem::path& path, const std::function<void()>& waiting);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  /// False on a file system that knows no such locks, or only pretends to.
  bool trusted() const { return trusted_; }

 private:
  FileLock() = default;
  int file_ = -1;
  bool trusted_ = true;
};

/// True if another process holds the lock of this file now.
bool is_locked(const std::filesystem::path& path);

}  // namespace lancet
