// Where vocabularies and templates live, in order of preference.
#include "checkpoint/text_files.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/json.h"
#include "checkpoint/gguf_names.h"
#include "checkpoint/raw_tensor.h"
#include "checkpoint/tokenizer_readers.h"

namespace lancet {
namespace fs = std::filesystem;
namespace json = boost::json;
namespace {

constexpr size_t kSmallFileBytes = 16 << 20;  // configuration and templates; a real tokenizer_config.json has 0.2 MB

/// The file's text, or empty if there is no such file.
std::string read_optional(const fs::path& path) {
  if (!path_exists(path)) return {};
  const std::string text = read_text_file(path, kSmallFileBytes);
  refuse_impostor(std::as_bytes(std::span(text)), path.filename().string());
  return text;
}

/// A template in JSON is a string, or a list of named ones of which "default" is for chat.
std::string template_in_json(const std::string& text, const std::string& source, Budget& budget) {
  if (text.empty()) return {};
  const json::value document = parse_json(text, source, {}, budget);
  const auto found = JsonView(document, source, Fault::bad_file).find("chat_template");
  if (!found) return {};
  if (!found->value().is_array()) return std::string(found->string());
  for (size_t i = 0; i < found->size(); i++) {
    const JsonView named = found->element(i);
    if (named.at("name").string() == "default") return std::string(named.at("template").string());
  }
  return {};
}

std::string read_template(const fs::path& folder, const std::string& tokenizer_config, Budget& budget) {
  if (std::string text = read_optional(folder / "chat_template.jinja"); !text.empty()) return text;
  if (std::string text = template_in_json(tokenizer_config, "tokenizer_config.json", budget); !text.empty())
    return text;
  return template_in_json(read_optional(folder / "chat_template.json"), "chat_template.json", budget);
}

Vocabulary read_tokenizer_file(const fs::path& path, Budget& budget) {
  const MappedFile file(path);
  const std::string name = path.filename().string();
  refuse_impostor(file.bytes(), name);
  // The usual names decide; for others the key that every entry of a tekken.json has.
  const bool tekken = name.find("tekken") != std::string::npos ||
                      (name != "tokenizer.json" && file.text().find("\"token_bytes\"") != std::string_view::npos);
  return tekken ? read_tekken(file.text(), name, budget) : read_tokenizer_json(file.text(), name, budget);
}

}  // namespace

TextAssets read_text_folder(const fs::path& folder, const std::string& special_ids, Budget& budget) {
  TextAssets out;
  const std::string tokenizer_config = read_optional(folder / "tokenizer_config.json");
  out.chat_template = read_template(folder, tokenizer_config, budget);
  if (path_exists(folder / "tokenizer.json")) {
    out.vocabulary = read_tokenizer_file(folder / "tokenizer.json", budget);
    const std::string generation = read_optional(folder / "generation_config.json");
    set_special_ids(out.vocabulary, generation.empty() ? special_ids : generation, tokenizer_config, budget);
  } else if (path_exists(folder / "tekken.json")) {
    out.vocabulary = read_tokenizer_file(folder / "tekken.json", budget);
  } else {
    throw Error(Fault::not_found,
                fmt::format("{}: has neither tokenizer.json nor tekken.json", lancet::quoted(folder.string())));
  }
  return out;
}

TextAssets read_text_gguf(const GgufFile& file, Budget& budget) {
  TextAssets out;
  out.vocabulary = read_gguf_vocabulary(read_gguf_vocabulary_fields(file), file.source(), budget);
  out.chat_template = file.string("tokenizer.chat_template").value_or("");
  return out;
}

TextAssets read_text_file_alone(const fs::path& path, Budget& budget) {
  return {read_tokenizer_file(path, budget), {}};
}

void fit_vocabulary(Vocabulary& vocabulary, int model_vocabulary, const std::string& source) {
  const size_t wanted = static_cast<size_t>(model_vocabulary), found = vocabulary.tokens.size();
  if (found > wanted) {
    throw Error(Fault::bad_file,
                fmt::format("{}: the tokenizer has {} tokens, the model only {}: they are not of one model", source,
                            found, wanted));
  }
  if (found == wanted) return;
  vocabulary.notes.push_back(
      fmt::format("the tokenizer has {} tokens, the model {}: the rest is unused", found, wanted));
  vocabulary.tokens.resize(wanted, Token{{}, Token::Kind::unused});
}

}  // namespace lancet
