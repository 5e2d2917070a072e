#include "cli/help_pages.h"

#include <iterator>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/check.h"

namespace lancet {
namespace {

constexpr std::string_view kSummary = "a local model server that an agent can trust";

std::vector<std::string> names_of(const FlagRow& flag) {
  std::vector<std::string> names;
  std::string_view rest = flag.names;
  while (true) {
    const size_t comma = rest.find(',');
    names.emplace_back(rest.substr(0, comma));
    if (comma == rest.npos) return names;
    rest.remove_prefix(comma + 1);
  }
}

bool is_positional(const FlagRow& flag) { return !flag.names.starts_with('-'); }

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const bool found = text.substr(at).starts_with(from);
    out += found ? to : text.substr(at, 1);
    at += found ? from.size() : 1;
  }
  return out;
}

/// Text for roff: its own characters escaped, hyphens that are typed kept as such, no line that begins with a request.
std::string roff(std::string_view text) {
  std::string out = replaced(replaced(text, "\\", "\\(rs"), "-", "\\-");
  out = replaced(replaced(out, "'", "\\(aq"), "~", "\\(ti");
  return out.starts_with('.') ? "\\&" + out : out;
}

void man_flag(std::string& out, const FlagRow& flag) {
  std::string names;
  for (const std::string& name : names_of(flag))
    names += fmt::format("{}\\fB{}\\fR", names.empty() ? "" : ", ", roff(name));
  if (!is_positional(flag) && flag.has_value) {
    if (flag.words.empty()) {
      names += " \\fIVALUE\\fR";
    } else {
      names += " " + replaced(roff(fmt::format("{}", fmt::join(flag.words, "|"))), "|", "|\\:");  // may break there
    }
  }
  out += fmt::format(".TP\n{}\n{}", names, roff(flag.help));
  if (!flag.initial.empty()) out += fmt::format(" (default: {})", roff(flag.initial));
  out += '\n';
}

std::string man_page(std::span<const CommandHelp> commands, std::string_view version) {
  std::string out = fmt::format(
      ".TH LANCET 1 \"\" \"lancet {}\" \"User Commands\"\n.SH NAME\nlancet \\- {}\n.SH SYNOPSIS\n"
      ".B lancet\n.I COMMAND\n.RI [ FLAGS ]\n.SH DESCRIPTION\n"
      "Runs language models in the formats in which they are published, behind an OpenAI\\-style API or from the "
      "command line.\nA model is a directory with safetensors, a GGUF file or a hub name, owner/repo[:QUANT].\n"
      ".PP\nOutput goes to stdout, complaints go to stderr as one line.\n.SH COMMANDS\n",
      version, kSummary);
  for (const CommandHelp& command : commands) {
    out += fmt::format(".SS lancet {}\n{}.\n", roff(command.name), roff(command.summary));
    for (const FlagRow& flag : command.flags) man_flag(out, flag);
    for (const ExampleRow& example : command.examples)
      out += fmt::format(".PP\n{}:\n.PP\n.nf\n.RS 4\n{}\n.RE\n.fi\n", roff(example.does), roff(example.command));
  }
  return out +
         ".SH ENVIRONMENT\n.TP\n\\fBLANCET_MODEL\\fR\nthe model where none is named\n.TP\n\\fBLANCET_CACHE\\fR\nfolder "
         "for packed weights, or off\n.TP\n\\fBHF_HUB_CACHE\\fR, \\fBHF_HOME\\fR\nwhere hub names are looked up\n"
         ".TP\n\\fBNO_COLOR\\fR\nno colours in a terminal\n.SH EXIT STATUS\n0: done; 1: the work failed; 2: wrong "
         "usage.\n";
}

/// Every spelling of every flag, in one line.
std::string all_names(const CommandHelp& command) {
  std::string out = "--help";
  for (const FlagRow& flag : command.flags)
    if (!is_positional(flag)) out += fmt::format(" {}", fmt::join(names_of(flag), " "));
  return out;
}

std::string bash_completion(std::span<const CommandHelp> commands) {
  std::string names, flags, words;
  for (const CommandHelp& command : commands) {
    names += " " + command.name;
    flags += fmt::format("    {}) flags='{}' ;;\n", command.name, all_names(command));
    for (const FlagRow& flag : command.flags) {
      std::vector<std::string> spellings;
      for (const std::string& name : names_of(flag)) spellings.push_back(command.name + ":" + name);
      if (!flag.words.empty())
        words += fmt::format("    {}) words='{}' ;;\n", fmt::join(spellings, "|"), fmt::join(flag.words, " "));
    }
  }
  return fmt::format(
      "# bash completion of lancet, made by `lancet help bash`\n"
      "_lancet() {{\n"
      "  local word=\"${{COMP_WORDS[COMP_CWORD]}}\" before=\"${{COMP_WORDS[COMP_CWORD-1]}}\" flags= words=\n"
      "  COMPREPLY=()\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    COMPREPLY=($(compgen -W '{} --help --version' -- \"$word\"))\n"
      "    return\n"
      "  fi\n"
      "  case \"${{COMP_WORDS[1]}}:$before\" in\n{}  esac\n"
      "  if [ -n \"$words\" ]; then\n"
      "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
      "    return\n"
      "  fi\n"
      "  case \"${{COMP_WORDS[1]}}\" in\n{}  esac\n"
      "  case \"$word\" in\n"
      "    -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$word\")) ;;\n"
      "    *) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$word\") ;;\n"
      "  esac\n"
      "}}\n"
      "complete -F _lancet lancet\n",
      names.substr(1), words, flags);
}

/// For a text in single quotes of zsh's _arguments and _describe, where brackets and colons mean something.
std::string zsh_text(std::string_view text) {
  std::string out = replaced(replaced(text, "\\", "\\\\"), "'", "'\\''");
  out = replaced(replaced(out, "[", "\\["), "]", "\\]");
  return replaced(out, ":", "\\:");
}

std::string zsh_completion(std::span<const CommandHelp> commands) {
  std::string names, cases;
  for (const CommandHelp& command : commands) {
    names += fmt::format("    '{}:{}'\n", command.name, zsh_text(command.summary));
    cases += fmt::format("    {})\n      _arguments '--help[print this help]'", command.name);
    for (const FlagRow& flag : command.flags) {
      const std::string value = !flag.has_value       ? ""
                                : !flag.words.empty() ? fmt::format(":value:({})", fmt::join(flag.words, " "))
                                                      : ":value:_files";
      for (const std::string& name : names_of(flag))
        cases += is_positional(flag) ? fmt::format(" \\\n        '*:{}:_files'", zsh_text(name))
                                     : fmt::format(" \\\n        '*{}[{}]{}'", name, zsh_text(flag.help), value);
    }
    cases += " ;;\n";
  }
  return fmt::format(
      "#compdef lancet\n# zsh completion of lancet, made by `lancet help zsh`\n"
      "local -a commands\n"
      "commands=(\n{})\n"
      "if (( CURRENT == 2 )); then\n"
      "  _describe command commands\n"
      "else\n"
      "  local command=$words[2]\n"
      "  words=(\"${{(@)words[2,-1]}}\")\n"
      "  (( CURRENT-- ))\n"
      "  case $command in\n{}  esac\n"
      "fi\n",
      names, cases);
}

std::string fish_text(std::string_view text) { return replaced(replaced(text, "\\", "\\\\"), "'", "\\'"); }

std::string fish_completion(std::span<const CommandHelp> commands) {
  std::string out = "# fish completion of lancet, made by `lancet help fish`\n";
  for (const CommandHelp& command : commands)
    out += fmt::format("complete -c lancet -n __fish_use_subcommand -f -a {} -d '{}'\n", command.name,
                       fish_text(command.summary));
  for (const CommandHelp& command : commands) {
    for (const FlagRow& flag : command.flags) {
      if (is_positional(flag)) continue;
      out += fmt::format("complete -c lancet -n '__fish_seen_subcommand_from {}'", command.name);
      for (const std::string& name : names_of(flag))
        out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (!flag.words.empty()) {
        out += fmt::format(" -x -a '{}'", fmt::join(flag.words, " "));
      } else if (flag.has_value) {
        out += " -r";
      }
      out += fmt::format(" -d '{}'\n", fish_text(flag.help));
    }
  }
  return out;
}

}  // namespace

std::vector<std::string> help_page_names() { return {"man", "bash", "zsh", "fish"}; }

std::string help_page(std::string_view name, std::span<const CommandHelp> commands, std::string_view version) {
  if (name == "man") return man_page(commands, version);
  if (name == "bash") return bash_completion(commands);
  if (name == "zsh") return zsh_completion(commands);
  CHECK(name == "fish");
  return fish_completion(commands);
}

}  // namespace lancet
