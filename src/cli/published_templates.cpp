#include "cli/published_templates.h"

namespace lancet {
namespace {

struct Published {
  std::string_view sha256, name;
};
constexpr Published kPublished[] = {
    {"d28d7df94f0fd7e8d0075a22c473333d6e7dd2bc4c36c83e8b975300a0fb94bc",
     "Ministral 3 Instruct 2512, as in its GGUF files"},
    {"0701cfbdc2b7d44fdbad104dff604faee4b0543e8247624568777fe465746f9b",
     "Ministral 3 Instruct 2512, as in its repository"},
    {"ff9922c622b4c361fbdbc283ba8360f9ade2b53115d46fb5c5955630f483e30b", "Mistral v13, as in mistral-common"},
    {"ccd8297e6bb9dda35c56920adfa5f8fd78d69d43255b752793a79baf28217558",
     "Mistral v13 with images, as in mistral-common"},
    {"32bbc801fbb91bbcbe5a16facc20d934234edbbdfeef1738b76e5d798def8778",
     "Mistral v13 with images and thinking, as in mistral-common"},
    {"872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788", "SmolLM2 Instruct, as in its GGUF files"},
};

}  // namespace

std::string_view published_template(std::string_view sha256) {
  for (const Published& published : kPublished)
    if (published.sha256 == sha256) return published.name;
  return "";
}

}  // namespace lancet
