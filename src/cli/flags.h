// The flags of one subcommand: names, targets, help. A thin face over CLI11, whose header stays in flags.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace lancet {

/// A flag as manual page and completions show it.
struct FlagRow {
  std::string names;  // "-n,--max-tokens", or a bare word
  std::string help;
  std::string initial;             // what it is without the flag; empty: nothing
  std::vector<std::string> words;  // the values that it takes, if they are a few
  bool has_value = true;
};

struct ExampleRow {
  std::string command, does;
};

/// `names` is "-n,--max-tokens" or, for a positional argument, a bare word. What the target holds is the default and is
/// shown in the help. Targets must outlive parsing.
class Flags {
 public:
  explicit Flags(CLI::App& app) : app_(app) {}
  void add(std::string_view names, std::string& into, std::string_view help);
  void add(std::string_view names, int& into, std::string_view help, int low, int high);
  void add(std::string_view names, double& into, std::string_view help, double low, double high);
  void add(std::string_view names, uint64_t& into, std::string_view help);
  void add(std::string_view names, uint64_t& into, std::string_view help, uint64_t low, uint64_t high);
  void add(std::string_view names, bool& into, std::string_view help);
  /// Integers separated by commas.
  void add(std::string_view names, std::vector<int32_t>& into, std::string_view help);
  /// Texts; the flag is repeated, once for each.
  void add(std::string_view names, std::vector<std::string>& into, std::string_view help);
  /// One of the listed words.
  void choice(std::string_view names, std::string& into, std::string_view help, std::vector<std::string> words);
  void required(std::string_view name);
  /// Exactly one of these must be given.
  void exactly_one_of(std::vector<std::string> names);
  /// A line of the examples under --help.
  void example(std::string_view command, std::string_view does);

  const std::vector<FlagRow>& rows() const { return rows_; }
  const std::vector<ExampleRow>& examples() const { return examples_; }

 private:
  CLI::App& app_;
  std::vector<FlagRow> rows_;
  std::vector<ExampleRow> examples_;
};

}  // namespace lancet
