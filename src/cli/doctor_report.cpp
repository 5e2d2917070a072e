#include "cli/doctor_report.h"

#include <algorithm>

#include <fmt/format.h>

namespace lancet {
namespace {

constexpr std::string_view kLeftOut = "not looked at, for lack of time: ", kMoreTime = "; --seconds gives more";

/// What only shows that something is wrong, without saying what: named last.
constexpr std::string_view kSymptoms[] = {"text-is-noise", "not-finite-result"};

bool is_symptom(const Finding& finding) {
  return std::find(std::begin(kSymptoms), std::end(kSymptoms), finding.cause) != std::end(kSymptoms);
}

}  // namespace

std::string_view outcome_name(Outcome outcome) {
  switch (outcome) {
    case Outcome::good: return "good";
    case Outcome::note: return "note";
    case Outcome::problem: break;
  }
  return "problem";
}

void Report::good(std::string_view section, std::string text) {
  findings_.push_back({Outcome::good, std::string(section), "", std::move(text), ""});
}

void Report::note(std::string_view section, std::string text) {
  findings_.push_back({Outcome::note, std::string(section), "", std::move(text), ""});
}

void Report::left_out(std::string_view section, std::string_view what) {
  note(section, fmt::format("{}{}", kLeftOut, what));
  findings_.back().left_out = true;
}

void Report::problem(std::string_view section, std::string_view cause, std::string text, std::string advice) {
  findings_.push_back({Outcome::problem, std::string(section), std::string(cause), std::move(text), std::move(advice)});
}

int Report::problems() const {
  return static_cast<int>(std::count_if(findings_.begin(), findings_.end(),
                                        [](const Finding& f) { return f.outcome == Outcome::problem; }));
}

bool Report::has(std::string_view cause) const {
  return std::any_of(findings_.begin(), findings_.end(), [&](const Finding& f) { return f.cause == cause; });
}

const Finding* Report::worst() const {
  const Finding* worst = nullptr;
  for (const Finding& finding : findings_) {
    if (finding.outcome != Outcome::problem) continue;
    if (!worst || (is_symptom(*worst) && !is_symptom(finding))) worst = &finding;
  }
  return worst;
}

std::string Report::good_verdict() const {
  std::string untouched;
  for (const Finding& finding : findings_)
    if (finding.left_out) untouched += (untouched.empty() ? "" : "; ") + finding.text.substr(kLeftOut.size());
  if (untouched.empty()) return "all is right";
  return fmt::format("nothing is wrong with what was looked at; {}{}{}", kLeftOut, untouched, kMoreTime);
}

std::string Report::verdict() const {
  const Finding* finding = worst();
  if (!finding) return good_verdict();
  const int others = problems() - 1;
  return fmt::format("{}{}; {}", finding->text, others > 0 ? fmt::format(" (and {} more)", others) : "",
                     finding->advice);
}

}  // namespace lancet
