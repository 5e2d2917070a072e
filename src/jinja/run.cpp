// Spending, failing, and letting go of what a render built. See run.h.
#include "jinja/run.h"

#include <fmt/format.h>

#include "base/error.h"

namespace lancet {
namespace {
constexpr uint64_t kBytesPerStep = 256;  // copying this much costs about as much as evaluating a node
}

JinjaRun::~JinjaRun() {
  // Everything that is kept stays alive until all of it has been emptied, so no destructor recurses through a chain.
  for (const auto& list : lists_) list->items.clear();
  for (const auto& dict : dicts_) dict->entries.clear();
  for (const auto& space : spaces_) space->values.entries.clear();
  for (const auto& scope : scopes_) scope->variables.clear();
}

void JinjaRun::charge(uint64_t bytes) {
  if (bytes > memory_left_) fail_budget("bytes", limits_.memory_bytes);
  memory_left_ -= bytes;
  step(bytes / kBytesPerStep);
}

void JinjaRun::charge_text(uint64_t bytes) {
  if (bytes > limits_.output_bytes) fail_budget("bytes of text", limits_.output_bytes);
  charge(bytes);
}

void JinjaRun::fail(const std::string& message) const {
  throw Error(Fault::bad_request, fmt::format("{} (chat template, {})", message, place()), place());
}

void JinjaRun::raise(const std::string& message) const { throw Error(Fault::bad_request, message, place()); }

void JinjaRun::fail_budget(std::string_view what, uint64_t limit) const {
  throw Error(Fault::budget,
              fmt::format("the chat template needs more than its budget of {} {} (at {})", limit, what, place()));
}

const JinjaValue* JinjaScope::find(std::string_view name) const {
  for (const JinjaScope* scope = this; scope; scope = scope->parent.get())
    for (const auto& [variable, value] : scope->variables)
      if (variable == name) return &value;
  return nullptr;
}

void JinjaScope::set(std::string_view name, JinjaValue value) {
  for (auto& [variable, old] : variables) {
    if (variable != name) continue;
    old = std::move(value);
    return;
  }
  variables.emplace_back(std::string(name), std::move(value));
}

}  // namespace lancet
