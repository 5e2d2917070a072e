// One request while it runs, as the scheduler sees it: tokens, how many of them are cached, where, and what it may
// claim. Integers only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/block_pool.h"

namespace lancet {

/// Which rows of a sequence the model must show, besides caching them.
enum class WantedRows {
  last_logits,  // those that decide the next token
  all_logits,   // and those of every prompt row: scores of the prompt
  last_state,   // the final state of the last row
  all_states,   // of every prompt row
};

struct Sequence {
  // Given by the owner before Scheduler::add.
  std::vector<TokenId> tokens;  // prompt, then what was generated
  int prompt = 0;               // of them, how many are the prompt's; needed by all_logits and all_states only
  int max_length = 0;           // most tokens it may have at its end; 0: its length and one more
  WantedRows wanted = WantedRows::last_logits;
  int results = 0;  // prompt rows whose results were taken, so that they are not wanted again
  int jumped = 0;   // tokens at the end that came together with the one before them: no row had to choose them
  int priority = 0;
  uint64_t owner = 0, cache_salt = 0;

  // The scheduler's.
  int cached = 0;              // tokens that have keys and values in the cache
  std::vector<int32_t> table;  // cache blocks in order of position
  int published = 0;           // blocks of the table whose content others can find
  PrefixId prefix = 0;         // names the content of the published blocks
  int reused = 0;              // tokens found in the cache when it was last admitted
  int planned = 0;             // rows in the step that is now planned
  int preemptions = 0;
  enum class Place { outside, waiting, running } place = Place::outside;
  bool held = false;             // not admitted in this step: another sequence computes its prefix
  uint64_t ticket = 0;           // order of arrival, from 1
  uint64_t tag = 0;              // virtual time at which its turn ends (fair_queue.h)
  uint64_t turn = 0, begun = 0;  // the plans that last gave it rows and that admitted it

  int length() const { return static_cast<int>(tokens.size()); }
  int owed() const { return length() - cached; }
  /// Everything but what the last choice brought is cached: it is owed a row in every step, as others who generate are.
  bool generates() const { return owed() > 0 && owed() <= 1 + jumped; }
  int longest() const { return std::max(max_length, length() + 1); }
  /// Rows are only shown if they run, so a sequence that wants all of them cannot take them from the cache.
  bool may_reuse() const { return wanted != WantedRows::all_logits && wanted != WantedRows::all_states; }
};

}  // namespace lancet
