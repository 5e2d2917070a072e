// The table of metrics and what fills it. A new metric is one row.
#include "server/metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <sstream>
#include <utility>

#include <fmt/format.h>

#include "base/utf8.h"

namespace lancet {
namespace {

constexpr std::string_view kMethods[] = {"GET", "HEAD", "POST", "DELETE", "OPTIONS"};
constexpr size_t kMostReasons = 32;

struct Label {
  std::string_view name;
  std::string_view value;
};

std::string label_value(std::string_view text) {
  std::string out;
  for (const char c : utf8_lossy(text)) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

/// The samples of one metric under one name.
class Samples {
 public:
  Samples(std::string& out, std::string_view name, std::string_view model) : out_(out), name_(name), model_(model) {}

  void value(double number, std::initializer_list<Label> labels = {}) { line("", number, labels); }
  void histogram(const Histogram& histogram) {
    uint64_t below = 0;
    for (size_t i = 0; i < histogram.counts().size(); i++) {
      below += histogram.counts()[i];
      const bool last = i == Histogram::kBounds.size();
      const std::string bound = last ? "+Inf" : fmt::format("{}", Histogram::kBounds[i]);
      line("_bucket", static_cast<double>(below), {{"le", bound}});
    }
    line("_sum", histogram.sum(), {});
    line("_count", static_cast<double>(below), {});
  }

 private:
  void line(std::string_view suffix, double number, std::initializer_list<Label> labels) {
    auto end = std::back_inserter(out_);
    fmt::format_to(end, "{}{}", name_, suffix);
    char before = '{';
    const auto add = [&](std::string_view name, std::string_view value) {
      fmt::format_to(end, "{}{}=\"{}\"", std::exchange(before, ','), name, label_value(value));
    };
    if (!model_.empty()) add("model_name", model_);
    for (const Label& label : labels) add(label.name, label.value);
    fmt::format_to(end, "{} {}\n", before == ',' ? "}" : "", number);
  }

  std::string& out_;
  const std::string name_;
  const std::string_view model_;  // every sample's model_name; empty: no such label
};

// What the kernel says of this process.

double page_bytes() { return static_cast<double>(::sysconf(_SC_PAGESIZE)); }

double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  double all = 0, resident = 0;
  return file >> all >> resident ? resident * page_bytes() : 0;
}

double cpu_seconds() {
  rusage usage = {};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double open_descriptors() {
  DIR* folder = ::opendir("/proc/self/fd");
  if (!folder) return 0;
  double count = -1;  // the one that reads the folder
  while (const dirent* entry = ::readdir(folder))
    if (entry->d_name[0] != '.') count++;
  ::closedir(folder);
  return count;
}

double most_descriptors() {
  rlimit limit = {};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<double>(limit.rlim_cur) : 0;
}

/// Unix seconds: field 22 of /proc/self/stat counts clock ticks since the boot, whose time /proc/stat says.
double start_seconds() {
  std::ifstream boot("/proc/stat");
  std::string word;
  double booted = 0;
  while (boot >> word)
    if (word == "btime" && boot >> booted) break;
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  const size_t name_end = line.rfind(')');  // the name before may contain anything
  if (name_end == line.npos) return 0;
  std::istringstream fields(line.substr(name_end + 1));
  for (int field = 3; field < 22; field++) fields >> word;
  double ticks = 0;
  return fields >> ticks ? booted + ticks / static_cast<double>(::sysconf(_SC_CLK_TCK)) : 0;
}

double used_ratio(const EngineStats& stats) {
  return stats.total_blocks > 0 ? 1 - static_cast<double>(stats.free_blocks) / stats.total_blocks : 0;
}

void write_blocks(Samples& out, const MetricsView& view) {
  const EngineStats& stats = view.engine;
  out.value(stats.total_blocks - stats.free_blocks, {{"state", "used"}});
  out.value(stats.cached_blocks, {{"state", "cached"}});
  out.value(stats.free_blocks - stats.cached_blocks, {{"state", "empty"}});
}

void write_cache_config(Samples& out, const MetricsView& view, std::string_view blocks_label) {
  out.value(1,
            {{"block_size", std::to_string(kBlockTokens)}, {blocks_label, std::to_string(view.engine.total_blocks)}});
}

void write_finished(Samples& out, const EngineStats& stats, std::string_view label) {
  out.value(static_cast<double>(stats.finished_stop), {{label, "stop"}});
  out.value(static_cast<double>(stats.finished_length), {{label, "length"}});
  out.value(static_cast<double>(stats.finished_repetition), {{label, "repetition"}});
}

void write_responses(Samples& out, const MetricsView& view) {
  for (const auto& [key, count] : view.server.responses()) {
    const auto& [route, method, status] = key;
    out.value(static_cast<double>(count), {{"route", route}, {"method", method}, {"status", std::to_string(status)}});
  }
}

void write_rejections(Samples& out, const MetricsView& view) {
  for (const auto& [reason, count] : view.server.rejections())
    out.value(static_cast<double>(count), {{"reason", reason}});
}

using Write = void (*)(Samples&, const MetricsView&);

struct Metric {
  std::string_view name;   // full
  std::string_view alias;  // vLLM's name for the same; empty: none
  std::string_view type;   // gauge, counter, histogram
  std::string_view help;
  Write write;
};

template <auto kMember>
void engine_value(Samples& out, const MetricsView& view) {
  out.value(static_cast<double>(view.engine.*kMember));
}

template <auto kMember>
void engine_histogram(Samples& out, const MetricsView& view) {
  out.histogram(view.engine.*kMember);
}

template <auto kMember>
void grammars_value(Samples& out, const MetricsView& view) {
  out.value(static_cast<double>(view.grammars.*kMember));
}

constexpr Metric kMetrics[] = {
    // What a gateway steers by.
    {"lancet_requests_running", "vllm:num_requests_running", "gauge", "Requests that the engine works on.",
     engine_value<&EngineStats::running>},
    {"lancet_requests_waiting", "vllm:num_requests_waiting", "gauge", "Requests that wait to begin.",
     engine_value<&EngineStats::waiting>},
    {"lancet_waiting_tokens", "", "gauge", "Prompt tokens of waiting requests, not read yet.",
     engine_value<&EngineStats::waiting_tokens>},
    {"lancet_kv_cache_usage_ratio", "vllm:kv_cache_usage_perc", "gauge",
     "Part of the cache that running requests hold, 0 to 1.",
     [](Samples& out, const MetricsView& v) { out.value(used_ratio(v.engine)); }},
    {"lancet_kv_cache_blocks", "", "gauge",
     "Cache blocks: used by requests, cached (free, with a findable prefix), empty.", write_blocks},
    {"lancet_cache_config_info", "", "gauge", "Always 1; the labels say how the cache is cut.",
     [](Samples& out, const MetricsView& v) { write_cache_config(out, v, "num_blocks"); }},
    {"lancet_sequences_capacity", "", "gauge", "Requests that can run at once.",
     engine_value<&EngineStats::max_sequences>},
    // Work.
    {"lancet_prompt_tokens_total", "vllm:prompt_tokens_total", "counter", "Prompt tokens that were computed.",
     engine_value<&EngineStats::prompt_tokens>},
    {"lancet_generation_tokens_total", "vllm:generation_tokens_total", "counter", "Tokens that were generated.",
     engine_value<&EngineStats::generated_tokens>},
    {"lancet_forced_tokens_total", "", "counter",
     "Generated tokens that were not chosen one by one, because a grammar left no choice.",
     engine_value<&EngineStats::forced_tokens>},
    {"lancet_masked_head_rows_total", "", "counter",
     "Rows of logits of which only those were computed that a grammar allowed.",
     engine_value<&EngineStats::masked_head_rows>},
    {"lancet_engine_steps_total", "", "counter", "Steps of the engine.", engine_value<&EngineStats::steps>},
    {"lancet_prefix_cache_queries_total", "vllm:prefix_cache_queries_total", "counter",
     "Prompt tokens that were looked for in the prefix cache.", engine_value<&EngineStats::queried_tokens>},
    {"lancet_prefix_cache_hits_total", "vllm:prefix_cache_hits_total", "counter",
     "Prompt tokens that were found in the prefix cache.", engine_value<&EngineStats::cached_tokens>},
    {"lancet_prefix_cache_evictions_total", "", "counter", "Cache blocks whose prefix gave way to something else.",
     engine_value<&EngineStats::evicted_blocks>},
    {"lancet_preemptions_total", "vllm:num_preemptions_total", "counter",
     "Requests that had to give their cache back and start again.", engine_value<&EngineStats::preemptions>},
    {"lancet_requests_finished_total", "", "counter", "Requests that ended as they should, by reason.",
     [](Samples& out, const MetricsView& v) { write_finished(out, v.engine, "reason"); }},
    {"lancet_requests_failed_total", "", "counter", "Requests that a fault of the server ended.",
     engine_value<&EngineStats::failed>},
    {"lancet_requests_cancelled_total", "", "counter", "Requests whose client went away.",
     engine_value<&EngineStats::cancelled>},
    {"lancet_requests_timed_out_total", "", "counter", "Requests that waited for too long.",
     engine_value<&EngineStats::timed_out>},
    {"lancet_requests_rejected_total", "", "counter",
     "HTTP requests that were turned away with 429 or 503, by the error's code.", write_rejections},
    // Time.
    {"lancet_time_to_first_token_seconds", "vllm:time_to_first_token_seconds", "histogram",
     "From submission to the first token.", engine_histogram<&EngineStats::first_token_time>},
    {"lancet_inter_token_latency_seconds", "vllm:inter_token_latency_seconds", "histogram",
     "Between one token of a request and the next.", engine_histogram<&EngineStats::inter_token_time>},
    {"lancet_e2e_request_latency_seconds", "vllm:e2e_request_latency_seconds", "histogram",
     "From submission to the last token, of requests that finished.", engine_histogram<&EngineStats::request_time>},
    {"lancet_request_queue_time_seconds", "vllm:request_queue_time_seconds", "histogram",
     "From submission to the first step, of requests that finished.", engine_histogram<&EngineStats::queue_time>},
    {"lancet_request_prefill_time_seconds", "vllm:request_prefill_time_seconds", "histogram",
     "From the first step to the first token, of requests that finished.",
     engine_histogram<&EngineStats::prefill_time>},
    {"lancet_request_decode_time_seconds", "vllm:request_decode_time_seconds", "histogram",
     "From the first token to the last, of requests that finished.", engine_histogram<&EngineStats::decode_time>},
    {"lancet_grammar_step_seconds", "", "histogram", "What a grammar took to say what may follow one token.",
     engine_histogram<&EngineStats::grammar_time>},
    {"lancet_grammar_cache_hits_total", "", "counter", "Constraints of requests that were compiled before.",
     grammars_value<&Grammars::Counts::hits>},
    {"lancet_grammar_cache_misses_total", "", "counter", "Constraints of requests that had to be compiled.",
     grammars_value<&Grammars::Counts::misses>},
    {"lancet_grammar_cache_entries", "", "gauge", "Compiled constraints that are kept.",
     grammars_value<&Grammars::Counts::entries>},
    {"lancet_grammar_cache_bytes", "", "gauge", "What the kept constraints count against --grammar-cache-bytes.",
     grammars_value<&Grammars::Counts::bytes>},
    // HTTP.
    {"lancet_http_requests_total", "", "counter",
     "Answered requests by route (as in docs/api.md, else none), method and status; 499: the client left before.",
     write_responses},
    {"lancet_http_requests_in_flight", "", "gauge", "Requests between their header and the end of their answer.",
     [](Samples& out, const MetricsView& v) { out.value(static_cast<double>(v.server.in_flight())); }},
    {"lancet_http_connections", "", "gauge", "Open connections.",
     [](Samples& out, const MetricsView& v) { out.value(static_cast<double>(v.server.connections())); }},
    // The program.
    {"lancet_model_load_seconds", "", "gauge", "From listening to the loaded model; 0 until then.",
     [](Samples& out, const MetricsView& v) { out.value(v.server.load_seconds()); }},
    {"lancet_build_info", "", "gauge", "Always 1; the labels say what runs.",
     [](Samples& out, const MetricsView& v) {
       out.value(1, {{"version", v.version}, {"kernels", v.kernels}, {"model", v.model}});
     }},
    {"process_resident_memory_bytes", "", "gauge", "Memory in RAM, mapped model files included.",
     [](Samples& out, const MetricsView&) { out.value(resident_bytes()); }},
    {"process_cpu_seconds_total", "", "counter", "Time of all threads, user and system.",
     [](Samples& out, const MetricsView&) { out.value(cpu_seconds()); }},
    {"process_open_fds", "", "gauge", "Open file descriptors.",
     [](Samples& out, const MetricsView&) { out.value(open_descriptors()); }},
    {"process_max_fds", "", "gauge", "File descriptors that may be open.",
     [](Samples& out, const MetricsView&) { out.value(most_descriptors()); }},
    {"process_start_time_seconds", "", "gauge", "When the process began, in Unix seconds.",
     [](Samples& out, const MetricsView&) { out.value(start_seconds()); }},
};

/// vLLM's metrics that have other labels than ours.
constexpr Metric kVllmMetrics[] = {
    {"vllm:cache_config_info", "", "gauge", "Always 1; the labels say how the cache is cut.",
     [](Samples& out, const MetricsView& v) { write_cache_config(out, v, "num_gpu_blocks"); }},
    {"vllm:request_success_total", "", "counter", "Requests that ended as they should, by reason.",
     [](Samples& out, const MetricsView& v) { write_finished(out, v.engine, "finished_reason"); }},
    {"vllm:lora_requests_info", "", "gauge", "There are no adapters: the labels are empty.",
     [](Samples& out, const MetricsView&) {
       out.value(0, {{"max_lora", "0"}, {"running_lora_adapters", ""}, {"waiting_lora_adapters", ""}});
     }},
};

void write_metric(std::string& out, const Metric& metric, std::string_view name, const MetricsView& view,
                  std::string_view model) {
  fmt::format_to(std::back_inserter(out), "# HELP {} {}\n# TYPE {} {}\n", name, metric.help, name, metric.type);
  Samples samples(out, name, model);
  metric.write(samples, view);
}

}  // namespace

void ServerMetrics::count_response(std::string_view route, std::string_view method, int status,
                                   std::string_view reason) {
  const bool known = std::find(std::begin(kMethods), std::end(kMethods), method) != std::end(kMethods);
  const std::lock_guard lock(mutex_);
  responses_[{std::string(route), std::string(known ? method : "other"), status}]++;
  if ((status != 429 && status != 503) || reason.empty()) return;
  std::string why(reason);
  if (rejections_.size() >= kMostReasons && !rejections_.contains(why)) why = "other";
  rejections_[std::move(why)]++;
}

void ServerMetrics::set_loaded() {
  load_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
}

ServerMetrics::Responses ServerMetrics::responses() const {
  const std::lock_guard lock(mutex_);
  return responses_;
}

ServerMetrics::Rejections ServerMetrics::rejections() const {
  const std::lock_guard lock(mutex_);
  return rejections_;
}

std::string metrics_text(const MetricsView& view) {
  std::string out;
  out.reserve(16 * 1024);
  for (const Metric& metric : kMetrics) write_metric(out, metric, metric.name, view, "");
  if (!view.vllm_names) return out;
  for (const Metric& metric : kMetrics)
    if (!metric.alias.empty()) write_metric(out, metric, metric.alias, view, view.model);
  for (const Metric& metric : kVllmMetrics) write_metric(out, metric, metric.name, view, view.model);
  return out;
}

std::string metrics_markdown() {
  std::string out =
      "# Metrics\n\n"
      "`GET /metrics` answers in the Prometheus text format 0.0.4, also before the model is loaded. With\n"
      "`--metrics-compat vllm` the same numbers appear under vLLM's names too, with a label `model_name`, so that a\n"
      "gateway that expects vLLM needs no configuration. This file is the table of `src/server/metrics.cpp`:\n"
      "`lancet serve --print-metrics > docs/metrics.md` makes it anew.\n\n"
      "| metric | type | says | vLLM's name |\n|---|---|---|---|\n";
  const auto row = [&](std::string_view name, const Metric& metric, std::string_view alias) {
    const std::string shown = alias.empty() ? std::string() : fmt::format(" `{}`", alias);
    fmt::format_to(std::back_inserter(out), "| {}`{}` | {} | {} |{} |\n", "", name, metric.type, metric.help, shown);
  };
  for (const Metric& metric : kMetrics) row(metric.name, metric, metric.alias);
  out += "\nOnly with `--metrics-compat vllm`:\n\n| metric | type | says | |\n|---|---|---|---|\n";
  for (const Metric& metric : kVllmMetrics) row(metric.name, metric, "");
  return out;
}

}  // namespace lancet
