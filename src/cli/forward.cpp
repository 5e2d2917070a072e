#include "cli/forward.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "base/sizes.h"

namespace lancet {
namespace {

// Rows of one step: enough that weights are read once for many tokens, few enough that the logits of all of them fit.
constexpr int kChunkRows = 512;
constexpr int kChunkLogitRows = 64;

}  // namespace

ForwardRun::ForwardRun(Model& model, int sequences, int tokens) : model_(model), blocks_(blocks(sequences, tokens)) {
  reshape(sequences, tokens);
  model_.allocate_cache(blocks_);
}

int ForwardRun::blocks(int sequences, int tokens) {
  return static_cast<int>(divide_up(static_cast<uint64_t>(tokens), kBlockTokens)) * sequences;
}

void ForwardRun::reshape(int sequences, int tokens) {
  CHECK(sequences >= 1 && tokens >= 1 && blocks(sequences, tokens) <= blocks_);
  const int context = model_.limits().context;
  if (tokens > context)
    throw Error(Fault::context_overflow,
                fmt::format("the text has {} tokens, the model's context is {} tokens", tokens, context));
  tokens_each_ = tokens;
  blocks_each_ = blocks(1, tokens);
  lengths_.assign(static_cast<size_t>(sequences), 0);
}

void ForwardRun::add_rows(Batch& batch, int sequence, std::span<const TokenId> tokens, int origin) const {
  const int start = lengths_[static_cast<size_t>(sequence)], count = static_cast<int>(tokens.size());
  CHECK(start + count <= tokens_each_ && origin % kBlockTokens == 0);
  batch.sequences.push_back({.first_row = batch.rows(),
                             .rows = count,
                             .context = start + count - origin,
                             .first_block = static_cast<int>(batch.blocks.size())});
  const int first_block = sequence * blocks_each_;
  for (int block = origin / kBlockTokens; block < blocks_each_; block++) batch.blocks.push_back(first_block + block);
  for (int i = 0; i < count; i++) {
    batch.tokens.push_back(tokens[static_cast<size_t>(i)]);
    batch.positions.push_back(start + i - origin);
    batch.slots.push_back(first_block * kBlockTokens + start + i);
  }
}

void ForwardRun::fill(int sequence, std::span<const TokenId> tokens) {
  static_assert(kChunkRows % kBlockTokens == 0);
  int& length = lengths_[static_cast<size_t>(sequence)];
  CHECK(length == 0);
  while (!tokens.empty()) {
    const auto piece = tokens.first(std::min<size_t>(kChunkRows, tokens.size()));
    Batch batch;
    add_rows(batch, sequence, piece, length);
    model_.forward(batch);
    length += static_cast<int>(piece.size());
    tokens = tokens.subspan(piece.size());
  }
}

void ForwardRun::append(int sequence, std::span<const TokenId> tokens, bool all_logits, const See& see) {
  const size_t vocabulary = static_cast<size_t>(model_.limits().vocabulary);
  const size_t chunk = all_logits ? kChunkLogitRows : kChunkRows;
  for (size_t done = 0; done < tokens.size();) {
    const size_t count = std::min(chunk, tokens.size() - done);
    const bool last = done + count == tokens.size();
    Batch batch;
    add_rows(batch, sequence, tokens.subspan(done, count));
    for (size_t row = 0; row < count; row++)
      if (all_logits || (last && row + 1 == count)) batch.logit_rows.push_back(static_cast<int32_t>(row));
    const std::span<const float> logits = model_.forward(batch);
    int& length = lengths_[static_cast<size_t>(sequence)];
    for (size_t i = 0; i < batch.logit_rows.size(); i++)
      see(length + batch.logit_rows[i], logits.subspan(i * vocabulary, vocabulary));
    length += static_cast<int>(count);
    done += count;
  }
}

std::span<const float> ForwardRun::append_each(std::span<const TokenId> tokens) {
  Batch batch;
  for (size_t i = 0; i < tokens.size(); i++) {
    add_rows(batch, static_cast<int>(i), tokens.subspan(i, 1));
    batch.logit_rows.push_back(static_cast<int32_t>(i));
    lengths_[i]++;
  }
  return model_.forward(batch);
}

void ForwardRun::rewind(int tokens) {
  for (int& length : lengths_) length = std::min(length, tokens);
}

}  // namespace lancet
