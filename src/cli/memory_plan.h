// What serving a model will take of the machine's memory, worked out before any of it is taken: weights, cache, scratch
// and a reserve against what is free. It chooses the context where the user did not, and refuses early what cannot fit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "checkpoint/checkpoint.h"

namespace lancet {

/// Bytes, but for the context.
struct MemoryNeeds {
  uint64_t weights = 0;   // mapped from the file: the system drops them under pressure and reads them again
  uint64_t block = 0;     // cache of kBlockTokens tokens in all layers, > 0
  uint64_t scratch = 0;   // the most that one step touches
  int model_context = 0;  // longest sequence the model was made for
};

struct MemoryWish {
  int context = 0;   // tokens of one request; 0: chosen
  int parallel = 1;  // requests at once
};

/// Memory where the system does not say how much there is: everything fits.
inline constexpr uint64_t kNoLimit = UINT64_MAX;
/// An unasked context is at least the first, if the model has as many, and at most the second.
inline constexpr int kLeastChosenContext = 4096;
inline constexpr int kMostChosenContext = 32768;
/// Tokenizer, requests, answers and what the allocator holds back.
inline constexpr uint64_t kMemoryReserve = uint64_t{256} << 20;

struct MemoryPlan {
  MemoryNeeds needs;
  MemoryWish wish;
  uint64_t available = 0;
  int context = 0;          // tokens of one request, at most the model's
  int64_t blocks = 0;       // of the cache that all requests share: at least one request at full length
  int fitting_context = 0;  // the longest that would fit; 0: none
  bool fits = true;

  uint64_t cache_bytes() const { return static_cast<uint64_t>(blocks) * needs.block; }
  /// What is left for weights, packed or mapped, beside a full cache and the rest.
  uint64_t for_weights() const;
  /// The weights cannot all stay in memory beside the rest once that is full.
  bool weights_exceed() const;
};

/// The rule. Half of what is free beside weights, scratch and reserve is for the cache; a chosen context is what fits
/// there, within the bounds above. The cache has room for `parallel` requests at full length or fills that half,
/// whichever is less, but never less than one request. It fits if one request, scratch and reserve fit what is
/// available: weights are never refused, because they are mapped.
MemoryPlan plan_memory(const MemoryNeeds& needs, const MemoryWish& wish, uint64_t available);

/// What this model needs on this backend, in steps of `rows` rows that want the logits of at most `logit_rows`.
MemoryNeeds memory_needs(const Checkpoint& checkpoint, const Backend& backend, int rows, int logit_rows);

/// Bytes that may be taken without swapping: what the system has, or what the control group (v1 or v2, and each above
/// it) leaves, if that is less; file pages that a group could drop count as free. kNoLimit: nobody says.
/// `root` is where proc/ and sys/ are.
uint64_t available_memory(const std::filesystem::path& root = "/");

/// The plan as aligned lines for people.
std::vector<std::string> memory_table(const MemoryPlan& plan);

/// Throws Error{unsupported} if the plan does not fit, with the numbers and the --ctx that would.
void require_fit(const MemoryPlan& plan);

}  // namespace lancet
