#include "engine/block_pool.h"

#include <algorithm>

#include "base/check.h"
#include "base/hash.h"

namespace lancet {

BlockPool::BlockPool(int blocks) : entries_(static_cast<size_t>(blocks)) {
  CHECK(blocks > 0);
  for (int32_t block = 0; block < blocks; block++) link_newest(block);
}

PrefixId BlockPool::match(std::span<const TokenId> tokens, std::vector<int32_t>& table, PrefixId root) {
  if (tokens.empty()) return root;
  // Room first: between taking a reference and noting it nothing may fail.
  table.reserve(table.size() + (tokens.size() - 1) / kBlockTokens);
  PrefixId prefix = root;
  for (size_t at = 0; at + kBlockTokens < tokens.size(); at += kBlockTokens) {
    const int32_t block = find(prefix, tokens.subspan(at, kBlockTokens));
    if (block < 0) break;
    take(block);
    table.push_back(block);
    prefix = entries_[static_cast<size_t>(block)].id;
  }
  return prefix;
}

bool BlockPool::extend(std::vector<int32_t>& table, int count) {
  if (count > free_) return false;
  if (const size_t wanted = table.size() + static_cast<size_t>(count); wanted > table.capacity())
    table.reserve(std::max(wanted, 2 * table.capacity()));
  for (int i = 0; i < count; i++) {
    const int32_t block = oldest_;
    if (entries_[static_cast<size_t>(block)].id != 0) evicted_++;
    forget(block);
    take(block);
    table.push_back(block);
  }
  return true;
}

PrefixId BlockPool::publish(int32_t block, PrefixId parent, std::span<const TokenId> tokens) {
  CHECK(tokens.size() == kBlockTokens);
  Entry& entry = entries_[static_cast<size_t>(block)];
  CHECK(entry.references > 0 && entry.id == 0);
  if (const int32_t same = find(parent, tokens); same >= 0) return entries_[static_cast<size_t>(same)].id;
  published_.emplace(key(parent, tokens), block);
  entry.id = next_id_++;
  entry.parent = parent;
  std::copy(tokens.begin(), tokens.end(), entry.tokens.begin());
  return entry.id;
}

void BlockPool::release(std::vector<int32_t>& table) noexcept {
  // Last block first: free blocks are reused oldest first, so the start of a prompt, which other requests are likelier
  // to share, survives longest.
  for (auto at = table.rbegin(); at != table.rend(); ++at) {
    Entry& entry = entries_[static_cast<size_t>(*at)];
    CHECK(entry.references > 0);
    if (--entry.references > 0) continue;
    if (entry.id == 0) {
      link_oldest(*at);  // holds nothing of use
    } else {
      link_newest(*at);
    }
  }
  table.clear();
}

void BlockPool::release_and_forget(std::vector<int32_t>& table) noexcept {
  for (const int32_t block : table)
    if (entries_[static_cast<size_t>(block)].references == 1) forget(block);
  release(table);
}

uint64_t BlockPool::key(PrefixId parent, std::span<const TokenId> tokens) {
  return hash64(std::as_bytes(tokens), parent);
}

int32_t BlockPool::find(PrefixId parent, std::span<const TokenId> tokens) const {
  const auto [first, last] = published_.equal_range(key(parent, tokens));
  for (auto at = first; at != last; ++at) {
    const Entry& entry = entries_[static_cast<size_t>(at->second)];
    if (entry.parent == parent && std::equal(tokens.begin(), tokens.end(), entry.tokens.begin())) return at->second;
  }
  return -1;
}

void BlockPool::forget(int32_t block) noexcept {
  Entry& entry = entries_[static_cast<size_t>(block)];
  if (entry.id == 0) return;
  const auto [first, last] = published_.equal_range(key(entry.parent, entry.tokens));
  for (auto at = first; at != last; ++at) {
    if (at->second != block) continue;
    published_.erase(at);
    break;
  }
  if (entry.references == 0) cached_--;
  entry.id = 0;
}

void BlockPool::take(int32_t block) noexcept {
  if (entries_[static_cast<size_t>(block)].references++ == 0) unlink(block);
}

void BlockPool::link_oldest(int32_t block) noexcept {
  Entry& entry = entries_[static_cast<size_t>(block)];
  entry.before = -1;
  entry.after = oldest_;
  (oldest_ >= 0 ? entries_[static_cast<size_t>(oldest_)].before : newest_) = block;
  oldest_ = block;
  free_++;
  cached_ += entry.id != 0;
}

void BlockPool::link_newest(int32_t block) noexcept {
  Entry& entry = entries_[static_cast<size_t>(block)];
  entry.after = -1;
  entry.before = newest_;
  (newest_ >= 0 ? entries_[static_cast<size_t>(newest_)].after : oldest_) = block;
  newest_ = block;
  free_++;
  cached_ += entry.id != 0;
}

void BlockPool::unlink(int32_t block) noexcept {
  const Entry& entry = entries_[static_cast<size_t>(block)];
  (entry.before >= 0 ? entries_[static_cast<size_t>(entry.before)].after : oldest_) = entry.after;
  (entry.after >= 0 ? entries_[static_cast<size_t>(entry.after)].before : newest_) = entry.before;
  free_--;
  cached_ -= entry.id != 0;
}

}  // namespace lancet
