// Compiled constraints, kept for the next request that asks for the same. Compiling is work of worker threads; what
// comes out is run by the engine's thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "grammar/grammar.h"
#include "text/tool_syntax.h"

namespace lancet {

/// One model's. All functions: any thread.
class Grammars {
 public:
  /// The tokenizer must outlive it. `cache_bytes`: of the compiled constraints that are kept.
  Grammars(const Tokenizer&, std::string_view chat_template, size_t cache_bytes);

  const Tokenizer& tokenizer() const { return tokenizer_; }
  const ToolSyntax& tool_syntax() const { return syntax_; }

  /// The constraint of that key, which must say everything that `build` does. What building and compiling throw goes
  /// to the caller.
  std::shared_ptr<Grammar> get(const std::string& key, const std::function<RuleId(Rules&, Budget&)>& build, Budget&);

  struct Counts {
    uint64_t hits = 0, misses = 0;
    size_t entries = 0, bytes = 0;
  };
  Counts counts() const;

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<Grammar> grammar;
    size_t bytes = 0;
  };
  std::shared_ptr<Grammar> find(const std::string& key);
  void keep(const std::string& key, std::shared_ptr<Grammar>);
  std::shared_ptr<const TokenTrie> trie();

  const Tokenizer& tokenizer_;
  const ToolSyntax syntax_;
  const size_t cache_bytes_;
  std::once_flag trie_made_;
  std::shared_ptr<const TokenTrie> trie_;
  mutable std::mutex mutex_;  // guards all below
  std::list<Entry> entries_;  // most recently used first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key_;
  size_t bytes_ = 0;
  uint64_t hits_ = 0, misses_ = 0;
};

}  // namespace lancet
