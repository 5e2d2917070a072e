#include "cli/flags.h"

#include <cstdio>

#include <fmt/format.h>
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "cli/command.h"

namespace lancet {

void Flags::add(std::string_view names, std::string& into, std::string_view help) {
  app_.add_option(std::string(names), into, std::string(help))->capture_default_str();
}

void Flags::add(std::string_view names, int& into, std::string_view help, int low, int high) {
  app_.add_option(std::string(names), into, std::string(help))->capture_default_str()->check(CLI::Range(low, high));
}

void Flags::add(std::string_view names, double& into, std::string_view help, double low, double high) {
  app_.add_option(std::string(names), into, std::string(help))->capture_default_str()->check(CLI::Range(low, high));
}

void Flags::add(std::string_view names, uint64_t& into, std::string_view help) {
  app_.add_option(std::string(names), into, std::string(help))->capture_default_str();
}

void Flags::add(std::string_view names, uint64_t& into, std::string_view help, uint64_t low, uint64_t high) {
  app_.add_option(std::string(names), into, std::string(help))->capture_default_str()->check(CLI::Range(low, high));
}

void Flags::add(std::string_view names, bool& into, std::string_view help) {
  app_.add_flag(std::string(names), into, std::string(help));
}

void Flags::add(std::string_view names, std::vector<int32_t>& into, std::string_view help) {
  app_.add_option(std::string(names), into, std::string(help))->delimiter(',');
}

void Flags::add(std::string_view names, std::vector<std::string>& into, std::string_view help) {
  app_.add_option(std::string(names), into, std::string(help))->expected(1)->take_all();
}

void Flags::choice(std::string_view names, std::string& into, std::string_view help, std::vector<std::string> words) {
  app_.add_option(std::string(names), into, std::string(help))->capture_default_str()->check(CLI::IsMember(words));
}

void Flags::required(std::string_view name) { app_.get_option(std::string(name))->required(); }

void Flags::exactly_one_of(std::vector<std::string> names) {
  CLI::Option_group* group = app_.add_option_group("One of");
  for (const std::string& name : names) group->add_option(app_.get_option(name));
  group->require_option(1);
}

void Flags::example(std::string_view command, std::string_view does) {
  examples_ += fmt::format("\n  {}\n      {}", command, does);
  app_.footer("Examples:" + examples_);
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
  try {
    app.parse(count, arguments);
  } catch (const CLI::Success& wanted) {  // --help, --version
    return app.exit(wanted);
  } catch (const CLI::ParseError& wrong) {
    fmt::print(stderr, "lancet: {} (see lancet --help)\n", wrong.what());
    return 2;
  }
  for (const Declared& one : declared)
    if (one.app->parsed()) return one.command->run();
  return 2;
}

}  // namespace lancet
