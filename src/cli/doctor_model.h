// What a model computes: whether it can predict plain text, which one change of its files would make it do so, and
// whether the fast arithmetic agrees with the definition, half a layer by half a layer.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/altered_checkpoint.h"
#include "cli/doctor_numbers.h"
#include "cli/doctor_report.h"
#include "cli/watched_backend.h"
#include "text/tokenizer.h"

namespace lancet {

/// How well a text was predicted: means over its tokens, in nats.
struct Reading {
  double surprise = 0;  // -log p of the token that came; exp(surprise) is the perplexity
  double entropy = 0;   // of the predictions
  bool finite = true;   // else the others mean nothing
};
Reading read_text(const Checkpoint&, std::span<const TokenId> ids);

/// A change that would explain a model that predicts badly.
struct Hypothesis {
  std::string cause;  // as in Finding
  std::string text;   // one sentence, true if the change helps
  std::string advice;
  std::function<bool(AlteredCheckpoint&)> change;  // false: does not apply to this model
  bool subtle = false;                             // a model may predict rather well all the same
};
/// Changes of the whole model, likeliest first, and of single layers.
std::vector<Hypothesis> whole_model_hypotheses(const Checkpoint&);
std::vector<Hypothesis> single_layer_hypotheses(const Checkpoint&);

/// Where two runs over the same rows differ: relative size of the difference of what each half layer adds.
struct StreamDifference {
  int step = 0;         // as in StreamStep
  double relative = 0;  // infinite if a number is not finite
};
/// The first step whose difference is above `limit`; nothing if there is none. `worst` becomes the largest difference.
std::optional<StreamDifference> first_difference(std::span<const StreamStep> reference, std::span<const StreamStep> run,
                                                 double limit, StreamDifference& worst);
/// "layer 3, attention".
std::string step_name(int step);

/// Layers whose gate and up look exchanged. Turning the sign of a row of up and of the column of down that reads it
/// changes nothing, so in a trained model up is negative half of the time; a gate has no such freedom and need not be.
std::vector<int> swapped_gates(std::span<const GateSigns>, int ffn);

/// Fast arithmetic against exact arithmetic of the scalar kernels; in a trained model also what the gates look like.
void compare_arithmetic(const Checkpoint&, std::span<const TokenId> ids, bool trained, Report&);

/// Predicts the sample text and, if that goes badly, looks for the cause. `trained` and `coherent` are what the weights
/// and embeddings look like.
struct ModelSigns {
  bool trained = false, coherent = false;
};
void examine_predictions(const Checkpoint&, const Tokenizer&, ModelSigns, const Deadline&, Report&);

}  // namespace lancet
