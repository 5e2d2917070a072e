#include "support/hash_model.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/hash.h"

namespace lancet::test {

ModelLimits HashModel::limits() const {
  return {.vocabulary = vocabulary_, .context = context_, .hidden = 1, .cache_bytes_per_block = 1};
}

void HashModel::allocate_cache(int blocks) { cache_.assign(static_cast<size_t>(blocks) * kBlockTokens, {}); }

std::span<const float> HashModel::forward(const Batch& batch) {
  most_rows = std::max(most_rows, batch.rows());
  const int step = steps++;
  if (before_step) before_step(step, batch);
  for (size_t row = 0; row < batch.tokens.size(); row++)
    cache_.at(static_cast<size_t>(batch.slots[row])) = {batch.positions[row], batch.tokens[row]};
  states_.clear();
  for (const int32_t row : batch.state_rows)
    states_.push_back(static_cast<float>(batch.tokens[static_cast<size_t>(row)]));
  logits_.assign(batch.logit_rows.size() * static_cast<size_t>(vocabulary_), 0.0f);
  for (size_t i = 0; i < batch.logit_rows.size(); i++) {
    const int row = batch.logit_rows[i];
    const auto sequence = std::find_if(batch.sequences.begin(), batch.sequences.end(), [&](const SequenceRows& s) {
      return row >= s.first_row && row < s.first_row + s.rows;
    });
    CHECK(sequence != batch.sequences.end());
    uint64_t hash = 0;
    bool poisoned = false;
    for (int position = 0; position <= batch.positions[static_cast<size_t>(row)]; position++) {
      const int block = batch.blocks.at(static_cast<size_t>(sequence->first_block + position / kBlockTokens));
      const Cell& cell = cache_.at(static_cast<size_t>(block * kBlockTokens + position % kBlockTokens));
      hash = hash_combine(hash, static_cast<uint64_t>(cell.position) << 32 | static_cast<uint32_t>(cell.token));
      poisoned |= cell.token == poison;
    }
    // A few favourites instead of one, so that sampling has something to choose from.
    float* logits = logits_.data() + i * static_cast<size_t>(vocabulary_);
    for (uint64_t rank = 0; rank < 8; rank++)
      logits[hash_combine(hash, rank) % static_cast<uint64_t>(vocabulary_)] = 9.0f - static_cast<float>(rank);
    if (poisoned) logits[0] = std::numeric_limits<float>::quiet_NaN();
  }
  return logits_;
}

Vocabulary byte_vocabulary(int size) {
  Vocabulary vocabulary;
  for (int byte = 0; byte < 256; byte++)
    vocabulary.tokens.push_back({std::string(1, static_cast<char>(byte)), Token::Kind::normal});
  vocabulary.tokens.push_back({"<s>", Token::Kind::control});
  vocabulary.tokens.push_back({"</s>", Token::Kind::control});
  while (static_cast<int>(vocabulary.tokens.size()) < size) vocabulary.tokens.push_back({"", Token::Kind::unused});
  vocabulary.bos = 256;
  vocabulary.eos = 257;
  vocabulary.end_of_generation = {257};
  return vocabulary;
}

}  // namespace lancet::test
