// A seeded world around the real Scheduler and BlockPool: arrivals, cancels, faults, budgets that vary; and a slow,
// obvious account of what must hold after every step. A violation is text that begins with the name of the broken
// promise.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine/scheduler.h"

namespace lancet::test {

/// Mistakes that the simulator makes on purpose, to prove that its account notices them.
enum class Planted {
  nothing,
  leaked_block,       // a block is taken and in nobody's table
  double_release,     // a reference is given up twice
  skipped_sequence,   // a running sequence gets no rows
  forgotten_cancel,   // a cancelled sequence stays
  wrong_order,        // two of one owner change places
  stale_content,      // what a failed step spoiled is found by others
  mixed_salts,        // a sequence looks in another salt's cache
  lost_request,       // a sequence is neither waiting nor running, but not ended
  unbounded_prompts,  // prompt rows beyond what was granted
  starved_owner,      // one owner never has a turn
};

class Simulator {
 public:
  explicit Simulator(uint64_t seed, Planted planted = Planted::nothing);
  /// Runs one step; the promise that was broken, if one was.
  std::optional<std::string> step();

  uint64_t ended = 0, cancelled = 0, failed = 0;
  uint64_t preemptions() const { return scheduler_.preemptions(); }
  uint64_t reused = 0;

 private:
  struct Request : Sequence {
    int length_at_end = 0;
    bool cancelled = false;
    uint64_t last_row = 0;  // the step in which it arrived, was admitted or had rows
    uint64_t true_salt = 0;
    int checked = 0;  // tokens of the cache that were found to be right since it was last admitted
    uint64_t admission = 0;
    std::vector<uint64_t> chain;  // [tokens] hash of the salt and the tokens up to and with each
  };
  using Problem = std::optional<std::string>;

  void arrive();
  void cancel_some();
  void plant();
  void run(const Batch&);
  void finish(Request&, bool forget);
  void extend_chain(Request&);
  Problem check_cancels() const;
  Problem check_blocks();
  Problem check_places() const;
  Problem check_batch(const Batch&, int granted, int decoding) const;
  Problem check_order();
  Problem check_content();
  Problem check_patience() const;

  Random random_;
  const Planted planted_;
  int blocks_, max_sequences_, max_rows_, most_waiting_, priorities_, owners_, salts_;
  BlockPool pool_;
  Scheduler scheduler_;
  std::list<Request> requests_;
  std::vector<std::vector<TokenId>> prompts_;  // that many requests begin with
  std::vector<uint64_t> cache_;                // [slots] chain value of what was written last
  std::vector<int> holders_;                   // scratch of check_blocks
  std::vector<int32_t> hidden_;                // blocks that a planted mistake keeps
  uint64_t steps_ = 0;
};

}  // namespace lancet::test
