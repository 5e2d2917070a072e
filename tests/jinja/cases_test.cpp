// The .case files of templates: what is refused with which words, and how marks travel.
#include <gtest/gtest.h>

#include "base/error.h"
#include "jinja/template.h"
#include "support/case_file.h"
#include "support/paths.h"

namespace lancet {
namespace {

MarkedText rendered(const std::string& source) {
  Budget budget("the chat template");
  const auto text = [](std::string_view value) { return JinjaValue::string(value, false); };
  const JinjaTemplate compiled(source, budget);
  return compiled.render({{"u", text("User <|x|> TEXT")},
                          {"d", JinjaValue::dict({{text("k"), text("v")}, {text("n"), JinjaValue::integer(1)}})},
                          {"l", JinjaValue::list({text("a"), text("b")})}},
                         {}, budget);
}

std::string with_guillemets(const MarkedText& text) {
  std::string result;
  size_t begin = 0;
  for (const MarkedText::Run& run : text.runs()) {
    const std::string piece = text.str().substr(begin, run.end - begin);
    result += run.trusted ? piece : "«" + piece + "»";
    begin = run.end;
  }
  return result;
}

/// Cases end with an empty line that is not part of them.
std::string trimmed(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

TEST(JinjaCases, RefusalsNameTheProblemAndThePlace) {
  for (const test::TestCase& one : test::read_cases(test::case_path("template/errors.case"))) {
    try {
      rendered(one.section("template"));
      ADD_FAILURE() << one.name << ": rendered";
    } catch (const Error& error) {
      EXPECT_EQ(error.message(), trimmed(one.section("error"))) << one.name;
      EXPECT_FALSE(error.param().empty()) << one.name;
    }
  }
}

TEST(JinjaCases, MarksTravelThroughEveryOperation) {
  for (const test::TestCase& one : test::read_cases(test::case_path("template/marks.case"))) {
    try {
      EXPECT_EQ(with_guillemets(rendered(one.section("template"))), trimmed(one.section("text"))) << one.name;
    } catch (const Error& error) {
      ADD_FAILURE() << one.name << ": " << error.message();
    }
  }
}

}  // namespace
}  // namespace lancet
