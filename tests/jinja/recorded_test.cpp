// Every small template of tests/data/jinja_recorded.json gives the text that Python's Jinja2 gave, and fails where
// Python failed. tools/jinja_record.py makes the file.
#include <gtest/gtest.h>

#include <ctime>

#include "base/json.h"
#include "base/mapped_file.h"
#include "jinja/template.h"
#include "support/paths.h"

namespace lancet {
namespace {

std::tm recorded_clock() {
  std::tm now = {};
  now.tm_year = 125;
  now.tm_mon = 11;
  now.tm_mday = 2;
  now.tm_hour = 3;
  now.tm_min = 4;
  now.tm_sec = 5;
  now.tm_wday = 2;
  now.tm_yday = 335;
  return now;
}

boost::json::value recorded() {
  const std::string text = read_text_file(test::data_path("jinja_recorded.json"), 4u << 20);
  Budget budget("the recorded templates");
  return parse_json(text, "jinja_recorded.json", {}, budget);
}

std::string rendered(const std::string& source, const boost::json::object& variables) {
  Budget budget("the chat template");
  JinjaTemplate::Variables values;
  for (const auto& member : variables) values.emplace_back(member.key(), JinjaValue::from_json(member.value(), false));
  const JinjaTemplate compiled(source, budget);
  return compiled.render(std::move(values), {.limits = {}, .now = recorded_clock}, budget).str();
}

TEST(JinjaRecorded, TemplatesGiveTheTextOfPython) {
  const boost::json::value file = recorded();
  int compared = 0;
  for (const auto& one : file.at("cases").as_array()) {
    const auto& test_case = one.as_object();
    const std::string source(test_case.at("template").as_string());
    SCOPED_TRACE(source);
    if (!test_case.contains("text")) continue;
    try {
      EXPECT_EQ(rendered(source, file.at("variables").as_object()), std::string(test_case.at("text").as_string()));
    } catch (const Error& error) {
      ADD_FAILURE() << error.message();
    }
    compared++;
  }
  EXPECT_GE(compared, 90);
}

TEST(JinjaRecorded, TemplatesFailWherePythonFails) {
  const boost::json::value file = recorded();
  int compared = 0;
  for (const auto& one : file.at("cases").as_array()) {
    const auto& test_case = one.as_object();
    if (test_case.contains("text")) continue;
    const std::string source(test_case.at("template").as_string());
    EXPECT_THROW(rendered(source, file.at("variables").as_object()), Error) << source;
    compared++;
  }
  EXPECT_GE(compared, 35);
}

}  // namespace
}  // namespace lancet
