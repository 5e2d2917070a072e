// The architectures there are: the only list.
#include <fmt/format.h>

#include "base/error.h"
#include "model/decoder.h"
#include "model/model.h"

namespace lancet {
namespace {

struct Architecture {
  std::string_view name;  // ModelConfig::architecture
  std::unique_ptr<Model> (*load)(const Checkpoint&, Backend&);
};

constexpr Architecture kArchitectures[] = {
    {"ministral3", load_decoder},
    {"llama", load_decoder},
};

}  // namespace

std::unique_ptr<Model> load_model(const Checkpoint& checkpoint, Backend& backend) {
  const std::string& name = checkpoint.config().architecture;
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.name == name) return architecture.load(checkpoint, backend);
  }
  throw Error(Fault::unsupported, fmt::format("the model's architecture is {}; Lancet has {}", lancet::quoted(name),
                                              supported_architectures()));
}

std::string supported_architectures() {
  std::string names;
  for (const Architecture& architecture : kArchitectures) {
    if (!names.empty()) names += ", ";
    names += architecture.name;
  }
  return names;
}

}  // namespace lancet
