// The digest of a file while it is written: a thread of its own reads back what the download has written, so the
// network does not wait for arithmetic, and what is hashed is what the file holds.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace lancet {

/// One writer. The file must stay open while this lives.
class FileHasher {
 public:
  /// The digest of the whole file of `size` bytes: sha256 for 64 `digits`, git's sha1 of a blob for 40.
  FileHasher(int file, uint64_t size, size_t digits);
  ~FileHasher();
  /// The first `end` bytes are in the file.
  void advance(uint64_t end);
  /// The file is about to be cut to nothing and written anew. To be called before: what is cut off while it is read
  /// would look like a fault of the disk.
  void restart();
  /// Waits for all bytes; lower-case hex digits. Throws Error{io} if the file could not be read.
  std::string finish();

 private:
  void work();

  const int file_;
  const uint64_t size_;
  const size_t digits_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  uint64_t end_ = 0, round_ = 0;  // bytes that are there; restarts
  bool ending_ = false;
  int failed_ = 0;  // errno
  std::string digest_;
  std::thread thread_;
};

}  // namespace lancet
