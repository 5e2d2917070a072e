// doctor: is this machine, this file, this model all right: a verdict in words within a minute.
#include <fmt/format.h>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/error.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "cli/command.h"
#include "cli/doctor_files.h"
#include "cli/doctor_machine.h"
#include "cli/doctor_model.h"
#include "cli/doctor_text.h"
#include "cli/doctor_weights.h"
#include "hub/cache.h"

namespace lancet {
namespace {

constexpr int kLeastPairs = 200;  // words with and without a space; fewer say nothing about an embedding

bool is_coherent(const Checkpoint& checkpoint) {
  const StoredTensor* embedding = checkpoint.find("text.embedding");
  const Coherence coherence = embedding_coherence(*embedding, checkpoint.vocabulary());
  return coherence.pairs < kLeastPairs || coherence.coherent();
}

/// Everything about one model, from its files to its predictions.
void examine_model(const std::string& model, const Deadline& deadline, Report& report) {
  std::unique_ptr<Checkpoint> checkpoint;
  try {
    const std::filesystem::path path = resolve_weights(model);
    examine_files(path, deadline, report);
    if (report.has("not-a-model")) return;
    checkpoint = open_checkpoint(path);
  } catch (const Error& error) {
    return report.problem("files", error.fault() == Fault::unsupported ? "unsupported" : "refused", error.message(),
                          error.fault() == Fault::unsupported ? "take a model that Lancet computes (docs/doctor.md)"
                                                              : "download the model again, or mend what is named");
  }
  report.good("files", fmt::format("{}, {}: {} tensors", checkpoint->config().architecture, checkpoint->container(),
                                   checkpoint->stored_tensor_count()));
  examine_config(*checkpoint, report);
  const std::vector<TensorStats> weights = examine_weights(*checkpoint, deadline, report);
  try {
    const Tokenizer tokenizer(checkpoint->vocabulary());
    examine_chat(checkpoint->chat_template(), tokenizer, report);
    examine_tokenizer(tokenizer, report);
    const ModelSigns signs{.trained = row_dispersion(weights) > kTrainedDispersion,
                           .coherent = is_coherent(*checkpoint)};
    examine_predictions(*checkpoint, tokenizer, signs, deadline, report);
  } catch (const Error& error) {
    report.problem("model", "refused", error.message(), "mend what is named, or take another conversion of the model");
  }
}

class Doctor : public Command {
 public:
  void declare(Flags& flags) override {
    flags.add("MODEL", model_, "a directory, a .gguf file or a hub name; without one only the machine is looked at");
    flags.add("--seconds", seconds_, "time that it may take; what does not fit is left out, and said", 5, 3600);
    flags.add("--skip-machine", skip_machine_, "do not measure the machine");
    flags.add("--json", json_, "print one JSON document");
    flags.example("lancet doctor", "is this machine fit to serve");
    flags.example("lancet doctor MODEL", "does this model compute what its authors meant");
  }

  int run() override {
    set_log_level(LogLevel::error);  // what loading warns of is in the findings, or is about speed
    const Deadline deadline(seconds_);
    Report report;
    if (!skip_machine_ || model_.empty()) examine_machine(report);
    if (!model_.empty()) examine_model(model_, deadline, report);
    json_ ? print_json(report) : print_text(report);
    return report.problems() > 0 ? 1 : 0;
  }

 private:
  static void print_text(const Report& report) {
    std::string section;
    for (const Finding& finding : report.findings()) {
      if (finding.section != section) fmt::print("{}{}\n", section.empty() ? "" : "\n", finding.section);
      section = finding.section;
      constexpr const char* kMarks[] = {"ok     ", "note   ", "PROBLEM"};
      fmt::print("  {} {}\n", kMarks[static_cast<int>(finding.outcome)], finding.text);
    }
    fmt::print("\nverdict: {}\n", report.verdict());
  }

  static void print_json(const Report& report) {
    boost::json::array findings;
    for (const Finding& finding : report.findings()) {
      boost::json::object item{
          {"section", finding.section}, {"outcome", outcome_name(finding.outcome)}, {"text", finding.text}};
      if (finding.outcome == Outcome::problem) item["cause"] = finding.cause, item["advice"] = finding.advice;
      findings.emplace_back(std::move(item));
    }
    fmt::print("{}\n", boost::json::serialize(boost::json::object{{"right", report.problems() == 0},
                                                                  {"verdict", report.verdict()},
                                                                  {"findings", std::move(findings)}}));
  }

  std::string model_;
  double seconds_ = 60;
  bool skip_machine_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_doctor() { return std::make_unique<Doctor>(); }

}  // namespace lancet
