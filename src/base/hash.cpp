#include "base/hash.h"

#include <xxhash.h>

namespace lancet {

uint64_t hash64(std::span<const std::byte> bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

uint64_t hash_combine(uint64_t hash, uint64_t value) { return XXH3_64bits_withSeed(&value, sizeof value, hash); }

}  // namespace lancet
