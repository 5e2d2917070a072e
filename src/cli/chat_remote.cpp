// chat through a server's /v1/chat/completions. libcurl's multi interface, because its loop is ours: Ctrl-C is looked
// at twenty times a second. No proxy and no redirection, so that the key and the text go where the user said.
#include <curl/curl.h>

#include <exception>
#include <functional>
#include <memory>

#include <fmt/format.h>
#include <boost/json/serialize.hpp>

#include "base/json.h"
#include "cli/chat_source.h"
#include "cli/sse_reader.h"

namespace lancet {
namespace {
namespace json = boost::json;

constexpr size_t kBodyBytes = size_t{4} << 20;  // of what is no stream

/// For unique_ptr; libcurl's own types are all void.
template <auto kRelease>
struct Release {
  void operator()(auto* object) const { kRelease(object); }
};

/// One request. Callbacks are called by C code, so what they throw is kept for later.
class Transfer {
 public:
  Transfer(const std::string& url, const std::string& key) : url_(url), easy_(curl_easy_init()) {
    if (!easy_) throw std::bad_alloc();
    set(CURLOPT_URL, url_.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_PROXY, "");
    set(CURLOPT_CONNECTTIMEOUT_MS, 10'000L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_WRITEDATA, this);
    set(CURLOPT_HEADERDATA, this);
    curl_easy_setopt(easy_.get(), CURLOPT_WRITEFUNCTION, &Transfer::on_bytes);
    curl_easy_setopt(easy_.get(), CURLOPT_HEADERFUNCTION, &Transfer::on_header);
    if (!key.empty()) add_header("Authorization: Bearer " + key);
  }

  void post(const std::string& body) {
    add_header("Content-Type: application/json");
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    set(CURLOPT_COPYPOSTFIELDS, body.c_str());
  }

  /// Bytes of an answer with status 200 go to `see`, all others are kept. True: interrupted. Throws Error.
  bool run(const std::function<void(std::string_view)>& see, const std::function<bool()>& interrupted) {
    see_ = see;
    set(CURLOPT_HTTPHEADER, headers_.get());
    const std::unique_ptr<CURLM, Release<curl_multi_cleanup>> multi(curl_multi_init());
    if (!multi) throw std::bad_alloc();
    curl_multi_add_handle(multi.get(), easy_.get());
    const bool stopped = drive(multi.get(), interrupted);
    curl_multi_remove_handle(multi.get(), easy_.get());
    if (thrown_) std::rethrow_exception(thrown_);
    if (stopped) return true;
    if (result_ != CURLE_OK) throw Error(Fault::unavailable, fmt::format("{}: {}", url_, curl_easy_strerror(result_)));
    if (status() != 200)
      throw Error(Fault::unavailable, fmt::format("{}: status {}: {}", url_, status(), error_message_of(kept_)));
    return false;
  }

  /// What the server changed on the way to the prompt.
  const std::string& notes() const { return notes_; }

 private:
  template <typename Value>
  void set(CURLoption option, Value value) {
    if (curl_easy_setopt(easy_.get(), option, value) != CURLE_OK)
      throw Error(Fault::unsupported, fmt::format("{} is nothing that libcurl takes", quoted(std::string_view(url_))));
  }

  void add_header(const std::string& line) {
    curl_slist* longer = curl_slist_append(headers_.get(), line.c_str());
    if (!longer) throw std::bad_alloc();
    static_cast<void>(headers_.release());  // the longer list is the same one
    headers_.reset(longer);
  }

  long status() const {
    long status = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    return status;
  }

  bool drive(CURLM* multi, const std::function<bool()>& interrupted) {
    constexpr int kLookMs = 50;
    while (true) {
      int running = 0, left = 0;
      curl_multi_perform(multi, &running);
      if (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
        result_ = message->data.result;
        return false;
      }
      if (interrupted()) return true;
      curl_multi_poll(multi, nullptr, 0, kLookMs, nullptr);
    }
  }

  static size_t on_bytes(char* bytes, size_t, size_t count, void* self) noexcept {
    return static_cast<Transfer*>(self)->take({bytes, count}) ? count : CURL_WRITEFUNC_ERROR;
  }

  bool take(std::string_view bytes) noexcept {
    try {
      if (status() == 200) {
        see_(bytes);
      } else if (kept_.size() + bytes.size() <= kBodyBytes) {
        kept_ += bytes;
      }
      return true;
    } catch (...) {
      thrown_ = std::current_exception();
      return false;
    }
  }

  static size_t on_header(char* bytes, size_t, size_t count, void* self) noexcept {
    constexpr std::string_view kName = "x-prompt-notes:";
    const std::string_view line(bytes, count);
    if (line.size() < kName.size() || curl_strnequal(line.data(), kName.data(), kName.size()) == 0) return count;
    std::string_view value = line.substr(kName.size());
    while (!value.empty() && (value.back() == '\r' || value.back() == '\n')) value.remove_suffix(1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    static_cast<Transfer*>(self)->notes_ = value;
    return count;
  }

  std::string url_;
  std::unique_ptr<CURL, Release<curl_easy_cleanup>> easy_;
  std::unique_ptr<curl_slist, Release<curl_slist_free_all>> headers_;
  std::function<void(std::string_view)> see_;
  std::string kept_, notes_;
  std::exception_ptr thrown_;
  CURLcode result_ = CURLE_OK;
};

class RemoteSource : public ChatSource {
 public:
  RemoteSource(std::string url, std::string key, const ChatWish& wish)
      : url_(std::move(url)), key_(std::move(key)), wish_(wish) {
    while (url_.ends_with('/')) url_.pop_back();
    if (url_.ends_with("/v1")) url_.resize(url_.size() - 3);
    if (!url_.starts_with("http://") && !url_.starts_with("https://"))
      throw Error(Fault::bad_request,
                  fmt::format("--connect {}: wanted http://host:port", quoted(std::string_view(url_))));
    curl_global_init(CURL_GLOBAL_DEFAULT);
    model_ = served_model();
  }

  std::string description() const override { return fmt::format("{} at {}", model_, url_); }

  Answered answer(const std::vector<ChatTurn>& turns, const Say& say,
                  const std::function<bool()>& interrupted) override {
    Transfer transfer(url_ + "/v1/chat/completions", key_);
    transfer.post(body(turns));
    SseReader reader;
    Answered answered;
    bool done = false;
    const auto see = [&](std::string_view bytes) {
      for (const std::string& event : reader.push(bytes)) {
        if (event == "[DONE]") done = true;
        if (!done) take(read_chat_chunk(event), answered, say);
      }
    };
    answered.interrupted = transfer.run(see, interrupted);
    if (!done && !answered.interrupted)
      throw Error(Fault::unavailable, url_ + ": the answer ended before it was complete");
    if (!transfer.notes().empty()) answered.notes.push_back(transfer.notes());
    return answered;
  }

 private:
  static void take(const ChatChunk& chunk, Answered& answered, const Say& say) {
    if (!chunk.text.empty()) {
      answered.usage.completion_tokens++;  // about, until the server has counted
      say(chunk.text);
    }
    if (chunk.finish_reason == "length") answered.reason = FinishReason::length;
    if (!chunk.usage) return;
    answered.usage = {.prompt_tokens = chunk.usage->prompt,
                      .completion_tokens = chunk.usage->completion,
                      .cached_tokens = chunk.usage->cached};
  }

  std::string served_model() const {
    Transfer transfer(url_ + "/v1/models", key_);
    std::string body;
    transfer.run(
        [&](std::string_view bytes) {
          if (body.size() + bytes.size() > kBodyBytes)
            throw Error(Fault::too_large,
                        fmt::format("{}: the list of models has more than {} bytes", url_, kBodyBytes));
          body += bytes;
        },
        [] { return false; });
    Budget budget("the list of models");
    const std::string source = url_ + "/v1/models";
    const json::value document = parse_json(body, source, {}, budget);
    const JsonView models = JsonView(document, source, Fault::bad_file).at("data");
    if (models.size() == 0) models.fail("a list with a model");
    return std::string(models.element(0).at("id").string());
  }

  std::string body(const std::vector<ChatTurn>& turns) const {
    json::array messages;
    for (const ChatTurn& turn : turns) messages.push_back(json::object{{"role", turn.role}, {"content", turn.text}});
    json::object body{{"model", model_},
                      {"messages", std::move(messages)},
                      {"stream", true},
                      {"stream_options", json::object{{"include_usage", true}}},
                      {"temperature", wish_.temperature},
                      {"top_p", wish_.top_p}};
    if (wish_.seed) body["seed"] = wish_.seed;
    if (wish_.max_tokens) body["max_tokens"] = wish_.max_tokens;
    return json::serialize(body);
  }

  std::string url_, key_, model_;
  ChatWish wish_;
};

}  // namespace

std::unique_ptr<ChatSource> make_remote_source(const std::string& url, const std::string& key, const ChatWish& wish) {
  return std::make_unique<RemoteSource>(url, key, wish);
}

}  // namespace lancet
