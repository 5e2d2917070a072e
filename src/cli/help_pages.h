// The manual page and the shell completions, made of the same rows as --help when the program is installed.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/flags.h"

namespace lancet {

struct CommandHelp {
  std::string name, summary;
  std::vector<FlagRow> flags;
  std::vector<ExampleRow> examples;
};

/// "man", "bash", "zsh", "fish".
std::vector<std::string> help_page_names();

/// One of them: roff for man(1), or a completion script.
std::string help_page(std::string_view name, std::span<const CommandHelp> commands, std::string_view version);

}  // namespace lancet
