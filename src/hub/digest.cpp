#include "hub/digest.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include "base/check.h"

namespace lancet {

void Digest::Free::operator()(evp_md_ctx_st* state) const { EVP_MD_CTX_free(state); }

Digest::Digest(size_t digits, uint64_t size) : state_(EVP_MD_CTX_new()) {
  CHECK(state_ && EVP_DigestInit_ex(state_.get(), digits == 64 ? EVP_sha256() : EVP_sha1(), nullptr) == 1);
  if (digits != 40) return;
  const std::string header = fmt::format("blob {}", size) + '\0';
  add(std::as_bytes(std::span(header)));
}

void Digest::add(std::span<const std::byte> bytes) {
  CHECK(EVP_DigestUpdate(state_.get(), bytes.data(), bytes.size()) == 1);
}

std::string Digest::finish() {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned count = 0;
  CHECK(EVP_DigestFinal_ex(state_.get(), bytes, &count) == 1);
  std::string out;
  for (unsigned i = 0; i < count; i++) out += fmt::format("{:02x}", bytes[i]);
  return out;
}

std::string digest_of(std::span<const std::byte> bytes, size_t digits) {
  Digest digest(digits, bytes.size());
  digest.add(bytes);
  return digest.finish();
}

}  // namespace lancet
