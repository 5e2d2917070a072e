#include "hub/file_hasher.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "hub/digest.h"

namespace lancet {
namespace {

constexpr size_t kPiece = 1 << 20;

}  // namespace

FileHasher::FileHasher(int file, uint64_t size, size_t digits)
    : file_(file), size_(size), digits_(digits), thread_([this] { work(); }) {}

FileHasher::~FileHasher() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void FileHasher::advance(uint64_t end) {
  {
    const std::lock_guard lock(mutex_);
    end_ = end;
  }
  changed_.notify_all();
}

void FileHasher::restart() {
  {
    const std::lock_guard lock(mutex_);
    end_ = 0;
    digest_.clear();
    round_++;
  }
  changed_.notify_all();
}

std::string FileHasher::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !digest_.empty() || failed_ != 0; });
  if (failed_ != 0)
    throw Error(Fault::io, "a download cannot be read back: " + std::generic_category().message(failed_));
  return digest_;
}

void FileHasher::work() {
  std::vector<std::byte> piece(kPiece);
  Digest digest(digits_, size_);
  uint64_t at = 0, round = 0;
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return ending_ || round != round_ || end_ > at || (at == size_ && digest_.empty()); });
    if (ending_) return;
    if (round != round_) {
      round = round_, at = 0;
      digest = Digest(digits_, size_);
      continue;
    }
    if (at == size_) {
      digest_ = digest.finish();
      changed_.notify_all();
      continue;
    }
    const uint64_t wanted = std::min<uint64_t>(kPiece, end_ - at);
    lock.unlock();
    const ssize_t got = pread(file_, piece.data(), wanted, static_cast<off_t>(at));
    if (got > 0) digest.add(std::span(piece).first(static_cast<size_t>(got)));
    lock.lock();
    if (round != round_) continue;  // what was read may be of either writing
    if (got <= 0) {
      failed_ = got < 0 ? errno : EIO;
      break;
    }
    at += static_cast<uint64_t>(got);
  }
  changed_.notify_all();
}

}  // namespace lancet
