// The program: a table of subcommands, and the place where errors become one line and an exit code.
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>

#include <fmt/format.h>

#include "base/error.h"
#include "cli/command.h"

namespace {

constexpr lancet::CommandRow kCommands[] = {
    {"serve", "Serve a model behind an OpenAI-style API on port 8111", lancet::make_serve},
    {"generate", "Generate one completion", lancet::make_generate},
    {"chat", "A conversation in the terminal", lancet::make_chat},
    {"score", "Log-probabilities and logits of a text, position by position", lancet::make_score},
    {"tokenize", "Text on stdin to token ids", lancet::make_tokenize},
    {"detokenize", "Token ids on stdin to text", lancet::make_detokenize},
    {"render", "A chat-completions request body on stdin to the exact prompt", lancet::make_render},
    {"schema", "Which texts a JSON schema, grammar or regular expression allows, token by token", lancet::make_schema},
    {"pull", "Fetch a model from the hub into the cache", lancet::make_pull},
    {"list", "What the cache holds", lancet::make_list},
    {"rm", "Remove a model from the cache", lancet::make_rm},
    {"inspect", "What a model's files say, with the origin of every value", lancet::make_inspect},
    {"bench", "Prompt and generation speed, with probes of the machine", lancet::make_bench},
    {"perplexity", "Perplexity of a text, and the divergence from a reference", lancet::make_perplexity},
    {"quantize", "Write a model as a GGUF in another number format", lancet::make_quantize},
    {"doctor", "Is this machine, this file, this model all right: a verdict in words", lancet::make_doctor},
};

}  // namespace

int main(int count, char** arguments) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that left is an error of write(), not the end of the process
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is one as well
  try {
    return lancet::run_command_line(count, arguments, kCommands);
  } catch (const lancet::Error& error) {
    fmt::print(stderr, "lancet: {}\n", error.message());
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "lancet: out of memory\n");
  } catch (const std::exception& error) {
    fmt::print(stderr, "lancet: {}\n", error.what());
  }
  return 1;
}
