// Digests as a hub names contents by: sha256 of large files, git's sha1 of small ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

struct evp_md_ctx_st;  // OpenSSL's

namespace lancet {

/// One content, piece by piece. One thread.
class Digest {
 public:
  /// Of `size` bytes to come: sha256 for 64 `digits`, git's sha1 of a blob for 40.
  Digest(size_t digits, uint64_t size);
  void add(std::span<const std::byte> bytes);
  /// Lower-case hex digits; nothing may be added any more.
  std::string finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st*) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> state_;
};

/// Of what is in memory.
std::string digest_of(std::span<const std::byte> bytes, size_t digits);

}  // namespace lancet
