#include "cli/flags.h"

#include <cstdio>

#include <fmt/format.h>
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "cli/command.h"
#include "cli/help_pages.h"

namespace lancet {

void Flags::add(std::string_view names, std::string& into, std::string_view help) {
  rows_.push_back({std::string(names), std::string(help), into});
  app_.add_option(std::string(names), into, std::string(help))->capture_default_str();
}

void Flags::add(std::string_view names, int& into, std::string_view help, int low, int high) {
  rows_.push_back({std::string(names), std::string(help), fmt::to_string(into)});
  app_.add_option(std::string(names), into, std::string(help))->capture_default_str()->check(CLI::Range(low, high));
}

void Flags::add(std::string_view names, double& into, std::string_view help, double low, double high) {
  rows_.push_back({std::string(names), std::string(help), fmt::format("{:g}", into)});
  app_.add_option(std::string(names), into, std::string(help))->capture_default_str()->check(CLI::Range(low, high));
}

void Flags::add(std::string_view names, uint64_t& into, std::string_view help) {
  add(names, into, help, 0, UINT64_MAX);
}

void Flags::add(std::string_view names, uint64_t& into, std::string_view help, uint64_t low, uint64_t high) {
  rows_.push_back({std::string(names), std::string(help), fmt::to_string(into)});
  CLI::Option* option = app_.add_option(std::string(names), into, std::string(help))->capture_default_str();
  if (low > 0 || high < UINT64_MAX) option->check(CLI::Range(low, high));
}

void Flags::add(std::string_view names, bool& into, std::string_view help) {
  rows_.push_back({.names = std::string(names), .help = std::string(help), .has_value = false});
  app_.add_flag(std::string(names), into, std::string(help));
}

void Flags::add(std::string_view names, std::vector<int32_t>& into, std::string_view help) {
  rows_.push_back({std::string(names), std::string(help)});
  app_.add_option(std::string(names), into, std::string(help))->delimiter(',');
}

void Flags::add(std::string_view names, std::vector<std::string>& into, std::string_view help) {
  rows_.push_back({std::string(names), std::string(help)});
  app_.add_option(std::string(names), into, std::string(help))->expected(1)->take_all();
}

void Flags::choice(std::string_view names, std::string& into, std::string_view help, std::vector<std::string> words) {
  rows_.push_back({std::string(names), std::string(help), into, words});
  app_.add_option(std::string(names), into, std::string(help))->capture_default_str()->check(CLI::IsMember(words));
}

void Flags::required(std::string_view name) { app_.get_option(std::string(name))->required(); }

void Flags::exactly_one_of(std::vector<std::string> names) {
  CLI::Option_group* group = app_.add_option_group("One of");
  for (const std::string& name : names) group->add_option(app_.get_option(name));
  group->require_option(1);
}

void Flags::example(std::string_view command, std::string_view does) {
  examples_.push_back({std::string(command), std::string(does)});
  std::string footer = "Examples:";
  for (const ExampleRow& row : examples_) footer += fmt::format("\n  {}\n      {}", row.command, row.does);
  app_.footer(footer);
}

int run_command_line(int count, const char* const* arguments, std::span<const CommandRow> commands) {
  CLI::App app("Lancet: a local model server that an agent can trust.", "lancet");
  app.set_version_flag("--version", "lancet " LANCET_VERSION);
  app.require_subcommand(1);
  struct Declared {
    CLI::App* app;
    std::unique_ptr<Command> command;
    std::unique_ptr<Flags> flags;
  };
  std::vector<Declared> declared;
  for (const CommandRow& row : commands) {
    CLI::App* sub = app.add_subcommand(std::string(row.name), std::string(row.summary));
    declared.push_back({sub, row.make(), std::make_unique<Flags>(*sub)});
    declared.back().command->declare(*declared.back().flags);
  }
  std::string page;
  app.add_subcommand("help", "The manual page and shell completions, for installing")
      ->group("")  // not listed
      ->add_option("page", page, "what to print")
      ->required()
      ->check(CLI::IsMember(help_page_names()));
  try {
    app.parse(count, arguments);
  } catch (const CLI::Success& wanted) {  // --help, --version
    return app.exit(wanted);
  } catch (const CLI::ParseError& wrong) {
    fmt::print(stderr, "lancet: {} (see lancet --help)\n", wrong.what());
    return 2;
  }
  if (!page.empty()) {
    std::vector<CommandHelp> help;
    for (const Declared& one : declared)
      help.push_back({one.app->get_name(), one.app->get_description(), one.flags->rows(), one.flags->examples()});
    fmt::print("{}", help_page(page, help, LANCET_VERSION));
    return 0;
  }
  for (const Declared& one : declared)
    if (one.app->parsed()) return one.command->run();
  return 2;
}

}  // namespace lancet
