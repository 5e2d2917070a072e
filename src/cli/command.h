// A subcommand: what it is called, which flags it takes, what it does. main.cpp has the table; one file per subcommand.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "cli/flags.h"

namespace lancet {

class Command {
 public:
  virtual ~Command() = default;
  virtual void declare(Flags&) = 0;
  /// The work; the result is the exit code. Errors are thrown.
  virtual int run() = 0;
};

struct CommandRow {
  std::string_view name;
  std::string_view summary;
  std::unique_ptr<Command> (*make)();
};

/// Parses the command line, runs the chosen command and returns the exit code: 2 for wrong usage, with one line on
/// stderr; the command's own otherwise. Errors that a command throws pass through.
int run_command_line(int count, const char* const* arguments, std::span<const CommandRow> commands);

std::unique_ptr<Command> make_serve();
std::unique_ptr<Command> make_generate();
std::unique_ptr<Command> make_chat();
std::unique_ptr<Command> make_score();
std::unique_ptr<Command> make_tokenize();
std::unique_ptr<Command> make_detokenize();
std::unique_ptr<Command> make_render();
std::unique_ptr<Command> make_schema();
std::unique_ptr<Command> make_inspect();
std::unique_ptr<Command> make_bench();
std::unique_ptr<Command> make_perplexity();
std::unique_ptr<Command> make_pull();
std::unique_ptr<Command> make_list();
std::unique_ptr<Command> make_rm();
std::unique_ptr<Command> make_quantize();
std::unique_ptr<Command> make_doctor();

}  // namespace lancet
