// Manual page and completions: every flag is in them, and nothing in a help text can break their syntax.
#include "cli/help_pages.h"

#include <gtest/gtest.h>

namespace lancet {
namespace {

const std::vector<CommandHelp> kCommands = {
    {"serve",
     "Serve it",
     {{"-p,--port", ".dot 'quote' [x]: back\\slash", "8111"}, {"--kv", "cache", "f16", {"f16", "q8"}}},
     {}},
    {"chat",
     "Talk",
     {{.names = "--lines", .help = "lines", .has_value = false}, {"model", "a file"}},
     {{"lancet chat", "talks"}}},
};

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(HelpPages, TheManualHasEveryFlagAndEscapesWhatRoffWouldRead) {
  const std::string page = help_page("man", kCommands, "1.2");
  EXPECT_TRUE(has(
      page,
      "\\fB\\-p\\fR, \\fB\\-\\-port\\fR \\fIVALUE\\fR\n\\&.dot \\(aqquote\\(aq [x]: back\\(rsslash (default: 8111)\n"));
  EXPECT_TRUE(has(page, "\\fB\\-\\-kv\\fR f16|\\:q8\n"));
  EXPECT_TRUE(has(page, "\\fB\\-\\-lines\\fR\nlines\n"));
  EXPECT_TRUE(has(page, "\\fBmodel\\fR\na file\n"));
  EXPECT_TRUE(has(page, "talks:\n.PP\n.nf\n.RS 4\nlancet chat\n"));
}

TEST(HelpPages, CompletionsKnowFlagsAndTheirWords) {
  const std::string bash = help_page("bash", kCommands, "1.2");
  EXPECT_TRUE(has(bash, "serve) flags='--help -p --port --kv' ;;"));
  EXPECT_TRUE(has(bash, "serve:--kv) words='f16 q8' ;;"));
  const std::string zsh = help_page("zsh", kCommands, "1.2");
  EXPECT_TRUE(has(zsh, "'*--port[.dot '\\''quote'\\'' \\[x\\]\\: back\\\\slash]:value:_files'"));
  EXPECT_TRUE(has(zsh, "'*--kv[cache]:value:(f16 q8)'"));
  const std::string fish = help_page("fish", kCommands, "1.2");
  EXPECT_TRUE(has(fish, "-s p -l port -r -d '.dot \\'quote\\' [x]: back\\\\slash'"));
  EXPECT_TRUE(has(fish, "-l kv -x -a 'f16 q8'"));
}

}  // namespace
}  // namespace lancet
