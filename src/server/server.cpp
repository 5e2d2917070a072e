// Sockets and threads: bind, accept, run, stop. Connections are session.cpp's.
#include "server/server.h"

#include <cmath>
#include <thread>

#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/log.h"
#include "server/core.h"
#include "server/errors.h"
#include "server/session.h"

namespace lancet {
namespace asio = boost::asio;
namespace json = boost::json;
using asio::ip::tcp;
using boost::system::error_code;

void ServerCore::set_progress(double done, std::string what) {
  const std::lock_guard lock(mutex_);
  progress_ = std::clamp(done, 0.0, 1.0);
  what_ = std::move(what);
}

void ServerCore::serve(Service service) {
  const std::lock_guard lock(mutex_);
  service_ = std::make_shared<const Service>(std::move(service));
}

std::shared_ptr<const Service> ServerCore::service() const {
  const std::lock_guard lock(mutex_);
  return service_;
}

HttpResponse ServerCore::not_serving(bool health) const {
  const std::lock_guard lock(mutex_);
  const double progress = std::round(progress_ * 100) / 100;
  if (!health)
    return error_response(
        draining_ ? ApiError(503, "draining", "the server is stopping")
                  : ApiError(503, "model_loading",
                             fmt::format("the model is still loading: {:.0f} % done, {}", progress * 100, what_)));
  json::object body{{"status", draining_ ? "draining" : "loading"}, {"progress", progress}, {"what", what_}};
  return {.status = 503, .fields = {{"Retry-After", "1"}}, .body = json::serialize(body)};
}

bool ServerCore::add(const std::shared_ptr<Session>& session) {
  const std::lock_guard lock(mutex_);
  if (sessions_.size() >= options.limits.connections || draining_) return false;
  sessions_.emplace(session.get(), session);
  return true;
}

void ServerCore::remove(const Session* session) {
  const std::lock_guard lock(mutex_);
  sessions_.erase(session);
  if (sessions_.empty()) all_gone_.notify_all();
}

std::vector<std::shared_ptr<Session>> ServerCore::sessions() const {
  std::vector<std::shared_ptr<Session>> out;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, session] : sessions_)
    if (auto alive = session.lock()) out.push_back(std::move(alive));
  return out;
}

bool ServerCore::wait_for_sessions(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  return all_gone_.wait_for(lock, patience, [this] { return sessions_.empty(); });
}

/// Destroyed in reverse: the context first, and with it what its handlers hold; the core last.
struct Server::State {
  ServerCore core;
  asio::io_context io;
  asio::executor_work_guard<asio::io_context::executor_type> guard{io.get_executor()};
  tcp::acceptor acceptor{asio::make_strand(io)};
  asio::steady_timer retry{acceptor.get_executor()};
  std::vector<std::thread> threads;
  uint16_t port = 0;
  bool stopped = false;

  explicit State(ServerOptions options) : core(std::move(options)) {}
  void listen();
  void accept();
  void on_connection(tcp::socket socket);
};

void Server::State::listen() {
  const ServerOptions& options = core.options;
  error_code error;
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(options.host, std::to_string(options.port),
                                      tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error || found.empty())
    throw Error(Fault::io, fmt::format("{} is no address of this machine to listen on", quoted(options.host)));
  const tcp::endpoint endpoint = *found.begin();
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error == asio::error::address_in_use)
    throw Error(Fault::io, fmt::format("port {} on {} is taken by another program; stop that program, or choose "
                                       "another port with --port",
                                       options.port, options.host));
  if (error)
    throw Error(Fault::io,
                fmt::format("cannot listen on {}, port {}: {}", options.host, options.port, error.message()));
  port = acceptor.local_endpoint().port();
}

void Server::State::accept() {
  const asio::any_io_executor strand = asio::make_strand(io);  // the connection's
  acceptor.async_accept(strand, [this](error_code error, tcp::socket socket) {
    if (error == asio::error::operation_aborted || !acceptor.is_open()) return;
    if (error) {  // out of file descriptors, mostly: wait for some to be given back
      log_warning(fmt::format("cannot accept a connection: {}", error.message()));
      retry.expires_after(std::chrono::milliseconds(100));
      retry.async_wait([this](error_code cancelled) {
        if (!cancelled) accept();
      });
      return;
    }
    on_connection(std::move(socket));
    accept();
  });
}

void Server::State::on_connection(tcp::socket socket) {
  const auto session = std::make_shared<Session>(core, std::move(socket));
  if (core.add(session)) session->start();  // otherwise it is closed by going out of scope
}

Server::Server(ServerOptions options) : state_(std::make_unique<State>(std::move(options))) {
  state_->listen();
  state_->accept();
  for (int i = 0; i < std::max(1, state_->core.options.network_threads); i++)
    state_->threads.emplace_back([this] { state_->io.run(); });
}

Server::~Server() { stop(); }

uint16_t Server::port() const { return state_->port; }

void Server::set_progress(double done, std::string what) { state_->core.set_progress(done, std::move(what)); }

void Server::serve(Service service) { state_->core.serve(std::move(service)); }

void Server::stop() {
  if (std::exchange(state_->stopped, true)) return;
  ServerCore& core = state_->core;
  core.drain();
  asio::post(state_->acceptor.get_executor(), [state = state_.get()] {
    error_code ignored;
    state->acceptor.close(ignored);
    state->retry.cancel();
  });
  for (const auto& session : core.sessions()) session->post_stop();
  if (!core.wait_for_sessions(std::chrono::milliseconds(1000))) {  // for last words to be written
    for (const auto& session : core.sessions()) session->post_close();
    core.wait_for_sessions(std::chrono::milliseconds(1000));
  }
  core.workers.join();
  state_->guard.reset();
  for (std::thread& thread : state_->threads) thread.join();
}

}  // namespace lancet
