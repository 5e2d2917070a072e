// Fast non-cryptographic hashes (XXH3). Never a proof of content: who relies on equality compares the content too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace lancet {

uint64_t hash64(std::span<const std::byte> bytes, uint64_t seed = 0);

/// Mixes a value into a running hash; the order matters.
uint64_t hash_combine(uint64_t hash, uint64_t value);

}  // namespace lancet
