// score: the model's opinion of a given text, position by position.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include <fmt/format.h>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/error.h"
#include "base/mapped_file.h"
#include "cli/command.h"
#include "cli/forward.h"
#include "cli/model_flags.h"

namespace lancet {
namespace {
namespace json = boost::json;

constexpr size_t kTextLimit = size_t{64} << 20;

/// log(sum(exp(x))) in double, shifted by the maximum.
double log_sum_exp(std::span<const float> logits) {
  const double maximum = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - maximum);
  return maximum + std::log(sum);
}

/// A file for little-endian f32 rows, written as they come. An incomplete file is removed.
class LogitsFile {
 public:
  explicit LogitsFile(const std::string& path) : path_(path), file_(std::fopen(path.c_str(), "wb")) {
    if (!file_) throw Error(Fault::io, fmt::format("{}: cannot be written", path));
  }
  ~LogitsFile() {
    if (!file_) return;
    std::fclose(file_);
    std::remove(path_.c_str());
  }
  void write(std::span<const float> row) {
    if (std::fwrite(row.data(), sizeof(float), row.size(), file_) != row.size()) fail();
  }
  void finish() {
    const bool closed = std::fclose(file_) == 0;
    file_ = nullptr;
    if (!closed) fail();
  }

 private:
  [[noreturn]] void fail() const { throw Error(Fault::io, fmt::format("{}: cannot be written", path_)); }
  std::string path_;
  std::FILE* file_;
};

class Score : public Command {
 public:
  void declare(Flags& flags) override {
    model_.declare(flags);
    flags.required("--model");
    flags.add("-p,--prompt", prompt_, "the text");
    flags.add("-f,--file", file_, "a file with the text");
    flags.add("--tokens", tokens_, "the text as token ids: 1,2,3");
    flags.exactly_one_of({"--prompt", "--file", "--tokens"});
    flags.add("--top", top_, "also the K likeliest tokens of each position", 0, 1000);
    flags.add("--logits", logits_, "write all logits: little-endian f32 [positions, vocabulary]");
    flags.add("--json", json_, "print one JSON document");
    flags.example("lancet score -m MODEL -p 'The sky is blue' --top 3 --json", "how likely each token was");
    flags.example("lancet score -m MODEL --tokens 1,2,3 --exact --logits out.f32", "logits for a comparison");
  }

  int run() override {
    LoadedModel loaded = load(model_);
    const std::vector<TokenId> ids = make_ids(loaded);
    for (const TokenId id : ids)
      if (id < 0 || id >= loaded.model->limits().vocabulary)
        throw Error(Fault::bad_request, fmt::format("token id {} is not in the vocabulary of {} tokens", id,
                                                    loaded.model->limits().vocabulary));
    if (ids.empty()) throw Error(Fault::bad_request, "the text has no tokens");
    std::optional<LogitsFile> out;
    if (!logits_.empty()) out.emplace(logits_);
    json::array positions;
    double sum = 0;
    add_position(positions, *loaded.tokenizer, ids[0], std::nullopt, {});
    ForwardRun forward(*loaded.model, 1, static_cast<int>(ids.size()));
    forward.append(0, ids, true, [&](int position, std::span<const float> logits) {
      if (out) out->write(logits);
      const size_t next = static_cast<size_t>(position) + 1;
      if (next == ids.size()) return;
      const double logprob = logits[static_cast<size_t>(ids[next])] - log_sum_exp(logits);
      sum += logprob;
      add_position(positions, *loaded.tokenizer, ids[next], logprob, logits);
    });
    if (out) out->finish();
    print(positions, sum);
    return 0;
  }

 private:
  std::vector<TokenId> make_ids(const LoadedModel& loaded) const {
    if (!tokens_.empty()) return tokens_;
    return encode_prompt(*loaded.tokenizer, file_.empty() ? prompt_ : read_text_file(file_, kTextLimit));
  }

  /// `logits` are those that predicted the token: of the position before it; empty for the first.
  void add_position(json::array& positions, const Tokenizer& tokenizer, TokenId token, std::optional<double> logprob,
                    std::span<const float> logits) const {
    json::object row{{"token", token}, {"text", tokenizer.decode(std::span(&token, 1), true)}};
    row["logprob"] = logprob ? json::value(*logprob) : json::value();
    if (top_ > 0 && !logits.empty()) {
      const double total = log_sum_exp(logits);
      std::vector<TokenId> order(logits.size());
      std::iota(order.begin(), order.end(), 0);
      const auto count = std::min<size_t>(static_cast<size_t>(top_), order.size());
      std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(count), order.end(),
                        [&](TokenId a, TokenId b) {
                          const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
                          return x != y ? x > y : a < b;
                        });
      json::array top;
      for (size_t i = 0; i < count; i++)
        top.emplace_back(json::object{{"token", order[i]}, {"logprob", logits[static_cast<size_t>(order[i])] - total}});
      row["top"] = top;
    }
    positions.emplace_back(std::move(row));
  }

  void print(const json::array& positions, double sum) const {
    const double count = static_cast<double>(positions.size()) - 1;
    if (json_) {
      json::object document{{"positions", positions}, {"logprob", sum}};
      document["perplexity"] = count > 0 ? json::value(std::exp(-sum / count)) : json::value();
      fmt::print("{}\n", json::serialize(document));
      return;
    }
    for (const json::value& row : positions)
      fmt::print("{:>8}  {:>10}  {}\n", row.at("token").as_int64(),
                 row.at("logprob").is_null() ? "" : fmt::format("{:.4f}", row.at("logprob").as_double()),
                 json::serialize(row.at("text")));
    if (count > 0) fmt::print("log-probability {:.4f}, perplexity {:.4f}\n", sum, std::exp(-sum / count));
  }

  ModelFlags model_;
  std::string prompt_, file_, logits_;
  std::vector<int32_t> tokens_;
  int top_ = 0;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_score() { return std::make_unique<Score>(); }

}  // namespace lancet
