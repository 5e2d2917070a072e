// One request while it runs, as the scheduler sees it: tokens, how many of them are cached, where. Integers only.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/block_pool.h"

namespace lancet {

struct Sequence {
  std::vector<TokenId> tokens;  // prompt, then what was generated
  int cached = 0;               // of them, how many have keys and values in the cache
  std::vector<int32_t> table;   // cache blocks in order of position
  int published = 0;            // blocks of the table whose content others can find
  PrefixId prefix = 0;          // names the content of the published blocks
  int reused = 0;               // tokens found in the cache when it was last admitted
  int planned = 0;              // rows in the step that is now planned

  int length() const { return static_cast<int>(tokens.size()); }
  int owed() const { return length() - cached; }
};

}  // namespace lancet
