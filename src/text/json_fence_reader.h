// JSON that a model put between ```json and ``` although only the JSON was asked for: the fence is left out.
#pragma once

#include <string>

#include "text/answer_reader.h"

namespace lancet {

class JsonFenceReader : public AnswerReader {
 public:
  static constexpr std::string_view kOpen = "```json\n", kClose = "\n```";

  void text(std::string_view, AnswerEvents&) override;
  void finish(bool cut, AnswerEvents&) override;

 private:
  enum class At { start, fenced, plain };
  At at_ = At::start;
  std::string held_;  // the beginning of the opening fence, or what may be the closing one
};

}  // namespace lancet
