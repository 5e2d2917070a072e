// POST /tokenize, /detokenize, /apply-template: what a prompt becomes, without running the model.
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/utf8.h"
#include "server/prompts.h"
#include "server/requests.h"
#include "server/routes.h"

namespace lancet {
namespace json = boost::json;
namespace {

json::array strings(const std::vector<std::string>& texts) {
  json::array out;
  for (const std::string& text : texts) out.push_back(json::value(text));
  return out;
}

json::object piece(const Tokenizer& tokenizer, TokenId token) {
  const std::string_view bytes = tokenizer.bytes(token);
  json::object out{{"id", token}};
  if (utf8_valid(bytes)) {
    out["piece"] = bytes;
  } else {  // part of a character: its bytes
    json::array numbers;
    for (const char c : bytes) numbers.push_back(static_cast<unsigned char>(c));
    out["piece"] = std::move(numbers);
  }
  return out;
}

}  // namespace

Answer handle_tokenize(const RequestContext& context) {
  Budget budget = request_budget(context);
  const TokenizeRequest request = read_tokenize_request(context.request.body, context.limits, budget);
  const Tokenizer& tokenizer = *context.service.tokenizer;
  const Encoded encoded = tokenizer.encode(request.text, request.parse_special, budget);
  std::vector<TokenId> ids = encoded.ids;
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  if (request.add_special && vocabulary.add_bos && vocabulary.bos) ids.insert(ids.begin(), *vocabulary.bos);
  json::array tokens;
  for (const TokenId id : ids) {
    if (request.with_pieces)
      tokens.push_back(piece(tokenizer, id));
    else
      tokens.push_back(id);
  }
  std::vector<std::string> notes;
  note_lost_bytes(encoded, notes);
  return HttpResponse{.fields = report_fields(context, request.ignored, notes),
                      .body = json::serialize(json::object{
                          {"tokens", std::move(tokens)}, {"count", ids.size()}, {"notes", strings(notes)}})};
}

Answer handle_detokenize(const RequestContext& context) {
  Budget budget = request_budget(context);
  const Tokenizer& tokenizer = *context.service.tokenizer;
  const DetokenizeRequest request =
      read_detokenize_request(context.request.body, tokenizer.size(), context.limits, budget);
  const std::string text = tokenizer.decode(request.tokens, request.special);
  return HttpResponse{.fields = report_fields(context, request.ignored, {}),
                      .body = json::serialize(json::object{{"content", text}})};
}

Answer handle_apply_template(const RequestContext& context) {
  Budget budget = request_budget(context);
  const ChatRequest request =
      read_chat_request(context.request.body, context.limits, budget, context.service.tokenizer->size());
  const Prompt prompt = chat_prompt(context, request, budget);
  return HttpResponse{
      .fields = report_fields(context, request.fields.ignored, prompt.notes),
      .body = json::serialize(json::object{
          {"prompt", utf8_lossy(prompt.text)}, {"tokens", prompt.tokens.size()}, {"notes", strings(prompt.notes)}})};
}

}  // namespace lancet
