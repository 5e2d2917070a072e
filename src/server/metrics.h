// GET /metrics: the numbers that Prometheus collects, by one table (docs/metrics.md is made from it). The engine counts
// for itself (EngineStats); what only the server knows is counted here.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>

#include "engine/engine.h"
#include "server/grammars.h"

namespace lancet {

/// Counts requests and connections. Any thread.
class ServerMetrics {
 public:
  /// `route` is a route's own path or "none", never what a client sent. `reason` is an error's code, empty if there is
  /// none; with 429 and 503 it says why a request was rejected.
  void count_response(std::string_view route, std::string_view method, int status, std::string_view reason);
  void add_in_flight(int change) { in_flight_.fetch_add(change, std::memory_order_relaxed); }
  void add_connections(int change) { connections_.fetch_add(change, std::memory_order_relaxed); }
  /// The model is ready; the time since construction is how long that took.
  void set_loaded();

  using Responses = std::map<std::tuple<std::string, std::string, int>, uint64_t>;  // route, method, status
  using Rejections = std::map<std::string, uint64_t>;                               // reason
  Responses responses() const;
  Rejections rejections() const;
  int64_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }
  int64_t connections() const { return connections_.load(std::memory_order_relaxed); }
  /// 0 until set_loaded().
  double load_seconds() const { return load_seconds_.load(std::memory_order_relaxed); }

 private:
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::atomic<int64_t> in_flight_ = 0, connections_ = 0;
  std::atomic<double> load_seconds_ = 0;
  mutable std::mutex mutex_;
  Responses responses_;    // guarded by mutex_; bounded by routes, kMethods and our own statuses
  Rejections rejections_;  // guarded by mutex_; bounded by our own codes
};

/// All that a scrape looks at, read once.
struct MetricsView {
  EngineStats engine;         // zeros until the model is loaded
  Grammars::Counts grammars;  // likewise
  const ServerMetrics& server;
  std::string version, kernels, model;
  bool vllm_names = false;  // the aliases too
};

/// The text format, version 0.0.4.
std::string metrics_text(const MetricsView&);

/// docs/metrics.md.
std::string metrics_markdown();

inline constexpr std::string_view kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace lancet
