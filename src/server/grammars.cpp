#include "server/grammars.h"

#include <utility>

namespace lancet {
namespace {

/// Masks that one constraint keeps while the engine runs it. Part of its price from the beginning, because how much of
/// it is used is known to the engine's thread only.
constexpr GrammarLimits kGrammarLimits{.cache_bytes = size_t{16} << 20};

}  // namespace

Grammars::Grammars(const Tokenizer& tokenizer, std::string_view chat_template, size_t cache_bytes)
    : tokenizer_(tokenizer), syntax_(find_tool_syntax(chat_template, tokenizer)), cache_bytes_(cache_bytes) {}

std::shared_ptr<const TokenTrie> Grammars::trie() {
  std::call_once(trie_made_, [this] { trie_ = std::make_shared<const TokenTrie>(tokenizer_); });
  return trie_;
}

std::shared_ptr<Grammar> Grammars::get(const std::string& key, const std::function<RuleId(Rules&, Budget&)>& build,
                                       Budget& budget) {
  if (auto kept = find(key)) return kept;
  Rules rules;
  const RuleId start = build(rules, budget);
  std::shared_ptr<Grammar> made = Grammar::make(std::move(rules), start, trie(), budget, kGrammarLimits);
  GrammarState(made).allowed(budget);  // what may come first is often the dearest, and here it holds nobody up
  keep(key, made);
  return made;
}

std::shared_ptr<Grammar> Grammars::find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) {
    misses_++;
    return nullptr;
  }
  hits_++;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->grammar;
}

void Grammars::keep(const std::string& key, std::shared_ptr<Grammar> grammar) {
  const size_t bytes = key.size() + grammar->bytes() + kGrammarLimits.cache_bytes;
  std::list<Entry> dropped;  // destroyed without the lock
  const std::lock_guard lock(mutex_);
  if (bytes > cache_bytes_ || by_key_.contains(key)) return;
  while (bytes_ + bytes > cache_bytes_) {
    by_key_.erase(entries_.back().key);
    bytes_ -= entries_.back().bytes;
    dropped.splice(dropped.begin(), entries_, std::prev(entries_.end()));
  }
  entries_.push_front({key, std::move(grammar), bytes});
  by_key_.emplace(entries_.front().key, entries_.begin());
  bytes_ += bytes;
}

Grammars::Counts Grammars::counts() const {
  const std::lock_guard lock(mutex_);
  return {hits_, misses_, entries_.size(), bytes_};
}

}  // namespace lancet
