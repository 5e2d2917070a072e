// Equal values get equal small ids, in order of arrival.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/hash.h"

namespace lancet {

/// Of plain structs without padding: compared and hashed as bytes.
template <typename T>
class Interner {
 public:
  uint32_t id(const T& value) {
    const auto [at, added] = ids_.try_emplace(value, static_cast<uint32_t>(values_.size()));
    if (added) values_.push_back(value);
    return at->second;
  }
  std::optional<uint32_t> find(const T& value) const {
    const auto at = ids_.find(value);
    return at == ids_.end() ? std::nullopt : std::optional(at->second);
  }
  const T& operator[](uint32_t id) const { return values_[id]; }
  size_t size() const { return values_.size(); }

 private:
  struct Hash {
    size_t operator()(const T& value) const { return value.hash(); }
  };
  std::vector<T> values_;
  std::unordered_map<T, uint32_t, Hash> ids_;
};

/// Of sequences of words.
struct Words {
  std::vector<uint64_t> words;
  bool operator==(const Words&) const = default;
  uint64_t hash() const { return hash64(std::as_bytes(std::span(words))); }
};

}  // namespace lancet
