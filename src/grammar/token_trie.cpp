#include "grammar/token_trie.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "text/tokenizer.h"

namespace lancet {

TokenTrie::TokenTrie(const Tokenizer& tokenizer) {
  const int size = tokenizer.size();
  for (TokenId id = 0; id < size; ++id) {
    const bool control = tokenizer.is_control(id);
    bytes_.emplace_back(control ? std::string_view() : tokenizer.bytes(id));
    control_.push_back(control);
    if (tokenizer.ends_generation(id)) ends_.push_back(id);
  }
  build();
}

TokenTrie::TokenTrie(std::vector<std::string> tokens, std::vector<TokenId> ends)
    : bytes_(std::move(tokens)), control_(bytes_.size(), false), ends_(std::move(ends)) {
  for (const TokenId id : ends_) {
    control_[static_cast<size_t>(id)] = true;
    bytes_[static_cast<size_t>(id)].clear();
  }
  build();
}

void TokenTrie::build() {
  for (size_t id = 0; id < bytes_.size(); ++id) {
    if (!bytes_[id].empty()) ids_.push_back(static_cast<TokenId>(id));
    longest_ = std::max(longest_, static_cast<int>(bytes_[id].size()));
    const auto quotes = std::count(bytes_[id].begin(), bytes_[id].end(), '"');
    if (quotes > 0) quoting_.push_back(static_cast<TokenId>(id));
    if (quotes > 2) rejoining_.push_back(static_cast<TokenId>(id));
  }
  const auto text = [&](TokenId id) -> const std::string& { return bytes_[static_cast<size_t>(id)]; };
  std::sort(ids_.begin(), ids_.end(), [&](TokenId a, TokenId b) {
    const int order = text(a).compare(text(b));
    return order != 0 ? order < 0 : a < b;
  });
  std::vector<uint32_t> path;  // nodes from the root to the last token's
  std::string_view last;
  for (uint32_t i = 0; i < ids_.size(); ++i) {
    const std::string& token = text(ids_[i]);
    const size_t common =
        static_cast<size_t>(std::mismatch(last.begin(), last.end(), token.begin(), token.end()).first - last.begin());
    for (; path.size() > common; path.pop_back()) nodes_[path.back()].end = static_cast<uint32_t>(nodes_.size());
    for (size_t depth = common; depth < token.size(); ++depth) {
      path.push_back(static_cast<uint32_t>(nodes_.size()));
      nodes_.push_back({0, static_cast<uint16_t>(depth + 1), static_cast<uint8_t>(token[depth]), i, i});
    }
    nodes_[path.back()].last = i + 1;
    last = token;
  }
  for (const uint32_t node : path) nodes_[node].end = static_cast<uint32_t>(nodes_.size());
  find_string_tokens();
}

std::string_view TokenTrie::bytes(TokenId id) const { return bytes_[static_cast<size_t>(id)]; }

uint32_t TokenTrie::child(uint32_t begin, uint32_t end, uint8_t byte) const {
  while (begin < end && nodes_[begin].byte != byte) begin = nodes_[begin].end;
  return std::min(begin, end);
}

size_t TokenTrie::longest_match(std::string_view text) const {
  uint32_t begin = 0, end = static_cast<uint32_t>(nodes_.size());
  size_t longest = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const uint32_t node = child(begin, end, static_cast<uint8_t>(text[i]));
    if (node == end) break;
    if (nodes_[node].first != nodes_[node].last) longest = i + 1;
    begin = node + 1;
    end = nodes_[node].end;
  }
  return longest;
}

std::optional<int64_t> TokenTrie::greedy_tokens(std::string_view text) const {
  int64_t count = 0;
  for (; !text.empty(); ++count) {
    const size_t match = longest_match(text);
    if (match == 0) return std::nullopt;
    text.remove_prefix(match);
  }
  return count;
}

std::vector<int32_t> TokenTrie::greedy_suffixes(std::string_view text) const {
  std::vector<int32_t> counts(text.size() + 1, 0);
  for (size_t at = text.size(); at-- > 0;) {
    const size_t match = longest_match(text.substr(at));
    const int32_t rest = counts[at + match];
    counts[at] = match == 0 || rest == INT32_MAX ? INT32_MAX : rest + 1;
  }
  return counts;
}

}  // namespace lancet
