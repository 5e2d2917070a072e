// Tokenizer, special ids and chat template: whether they work, and whether they belong together and to the weights.
#pragma once

#include <string_view>

#include "checkpoint/checkpoint.h"
#include "cli/doctor_report.h"
#include "text/tokenizer.h"

namespace lancet {

/// Special ids and the chat template over a matrix of role sequences: milliseconds.
void examine_chat(std::string_view chat_template, const Tokenizer&, Report&);

/// Texts to tokens and back, and how much text a token holds.
void examine_tokenizer(const Tokenizer&, Report&);

/// How alike the embeddings of words are that differ in a leading space only, against those of words at random, as mean
/// cosines. In a trained model whose vocabulary is its own, the first is several times the second.
struct Coherence {
  int pairs = 0;
  double alike = 0, random = 0;
  bool coherent() const { return alike > 0.1 && alike > 2 * random; }
};
Coherence embedding_coherence(const StoredTensor& embedding, const Vocabulary&);

}  // namespace lancet
