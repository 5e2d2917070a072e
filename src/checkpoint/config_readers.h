// config.json and params.json -> ModelConfig. Tolerant of spelling (nested or flat, floats for integers, unknown
// keys), strict about meaning: whatever would change the numbers and is not ours is refused by name.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/budget.h"
#include "base/json.h"
#include "checkpoint/model_config.h"

namespace lancet {

struct SafetensorsConfig {
  ModelConfig model;
  std::optional<std::pair<int64_t, int64_t>>
      scale_block;           // rows, columns that share one FP8 scale, if the file says so
  std::optional<bool> tied;  // what the tie flags say; a head tensor on disk wins
  std::string special_ids;   // JSON text with bos, eos and pad as the configuration has them; may be "{}"
};

/// Hugging Face's config.json. Throws Error{bad_file} (key and allowed range) or Error{unsupported} (what and by
/// name).
SafetensorsConfig read_config_json(std::string_view text, const std::string& source, Budget&);

/// Only the special_ids of a config.json, of whatever architecture.
std::string read_special_ids(std::string_view text, const std::string& source, Budget&);

/// Mistral's params.json. Query and key rows of these checkpoints are in adjacent pairs: rope.interleaved is set.
SafetensorsConfig read_params_json(std::string_view text, const std::string& source, Budget&);

/// The values of one JSON object on their way into a ModelConfig: in range, with their origin written down.
class ConfigSource {
 public:
  ConfigSource(JsonView object, ModelConfig& config, std::string file)
      : object_(std::move(object)), config_(&config), file_(std::move(file)) {}

  const JsonView& object() const { return object_; }
  /// The value of `key` under our `name`; without a fallback the key must be there.
  int integer(std::string_view name, std::string_view key, std::optional<int> fallback = {});
  double number(std::string_view name, std::string_view key, std::optional<double> fallback = {});
  bool boolean(std::string_view name, std::string_view key, bool fallback);
  /// Writes down a value that was worked out.
  void derived(std::string_view name, double value, std::string how);
  /// One note for all keys of the object that are in neither list.
  void note_unknown(std::span<const std::string_view> known, std::span<const std::string_view> also_known = {});

 private:
  void record(std::string_view name, double value, std::string key);

  JsonView object_;
  ModelConfig* config_;
  std::string file_;
};

}  // namespace lancet
