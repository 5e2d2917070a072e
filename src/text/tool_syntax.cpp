// The table of forms. Sources: mistral-common (tokens/tokenizers, v3 to v13), the chat templates of NousResearch's
// Hermes 2 Pro and Qwen 2.5, and of Meta's Llama 3.1.
#include "text/tool_syntax.h"

#include <algorithm>

namespace lancet {
namespace {

/// A row applies if the template has all of `signs` in its text.
struct Row {
  CallForm form;
  std::vector<std::string_view> signs;
  std::string_view begin, arguments, call_id, end, key;
};

const Row kRows[] = {
    {CallForm::mistral, {"[TOOL_CALLS]", "[ARGS]"}, "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "", ""},
    {CallForm::mistral_list, {"[TOOL_CALLS]"}, "[TOOL_CALLS]", "", "", "", "arguments"},
    {CallForm::hermes, {"<tool_call>"}, "<tool_call>", "", "", "</tool_call>", "arguments"},
    {CallForm::llama, {"<|python_tag|>"}, "<|python_tag|>", "", "", "", "parameters"},
    {CallForm::llama, {"\"parameters\": ", "ipython"}, "<|python_tag|>", "", "", "", "parameters"},
};
const Row& kAnyModel = kRows[2];

constexpr std::string_view kThoughtNames[] = {"[THINK]", "[/THINK]", "<think>", "</think>"};

Marker marker(std::string_view name, const Tokenizer& tokenizer) {
  if (name.empty()) return {};
  return {std::string(name), tokenizer.control(name)};
}

}  // namespace

std::string_view call_form_name(CallForm form) {
  switch (form) {
    case CallForm::mistral: return "mistral";
    case CallForm::mistral_list: return "mistral_list";
    case CallForm::hermes: return "hermes";
    case CallForm::llama: break;
  }
  return "llama";
}

std::vector<TokenId> ToolSyntax::controls() const {
  std::vector<TokenId> ids;
  for (const Marker* each : {&begin, &arguments, &call_id, &end})
    if (each->id) ids.push_back(*each->id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

ToolSyntax find_tool_syntax(std::string_view chat_template, const Tokenizer& tokenizer) {
  const Row* found = nullptr;
  for (const Row& row : kRows) {
    const bool applies = std::all_of(row.signs.begin(), row.signs.end(), [&](std::string_view sign) {
      return chat_template.find(sign) != std::string_view::npos;
    });
    if (applies && !found) found = &row;
  }
  const Row& row = found ? *found : kAnyModel;
  ToolSyntax syntax{.form = row.form,
                    .begin = marker(row.begin, tokenizer),
                    .arguments = marker(row.arguments, tokenizer),
                    .call_id = marker(row.call_id, tokenizer),
                    .writes_call_id = !row.call_id.empty() && chat_template.find(row.call_id) != std::string_view::npos,
                    .end = marker(row.end, tokenizer),
                    .arguments_key = row.key,
                    .known = found != nullptr};
  for (const std::string_view name : kThoughtNames)
    if (const auto id = tokenizer.control(name)) syntax.thought.push_back(*id);
  return syntax;
}

}  // namespace lancet
