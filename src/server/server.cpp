// Sockets and threads: bind, accept, run, stop. Connections are session.cpp's.
#include "server/server.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/log.h"
#include "server/core.h"
#include "server/session.h"
#include "server/stream.h"
#include "server/tls.h"

namespace lancet {
namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

/// Descriptors that are not connections: the model's files, the listener, logs.
constexpr size_t kOtherDescriptors = 64;

/// As many connections as are allowed need as many descriptors; the system's soft limit is often 1,024.
void raise_descriptor_limit(size_t connections) {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < connections + kOtherDescriptors)
    log_warning(fmt::format("the system allows this process {} open files, {} connections would need {}",
                            limit.rlim_cur, connections, connections + kOtherDescriptors));
}

/// Dead peers are found within about a minute although they send nothing: half a minute of silence, then probes; and
/// what was sent must be acknowledged in time.
void set_socket_options(tcp::socket& socket, double slow_client_s) {
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  socket.non_blocking(true, ignored);
#ifdef TCP_USER_TIMEOUT
  const auto set = [&](int name, int value) {
    ::setsockopt(socket.native_handle(), IPPROTO_TCP, name, &value, sizeof value);
  };
  set(TCP_KEEPIDLE, 30);
  set(TCP_KEEPINTVL, 10);
  set(TCP_KEEPCNT, 3);
  set(TCP_USER_TIMEOUT, static_cast<int>(std::max(1.0, slow_client_s) * 1000));
#endif
}

/// Stands for the address in counts: an IPv4 address, or the 64 bits of an IPv6 one that name a network, because a
/// client there has all addresses below.
uint64_t address_key(const asio::ip::address& address) {
  if (address.is_v4()) return address.to_v4().to_uint();
  const auto v6 = address.to_v6();
  if (v6.is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, v6).to_uint();
  const auto bytes = v6.to_bytes();
  return hash64(std::as_bytes(std::span(bytes).first(8)));
}

bool is_loopback(const asio::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).is_loopback();
  return address.is_loopback();
}

}  // namespace

/// Destroyed in reverse: the context first, and with it what its handlers hold; the core last.
struct Server::State {
  ServerCore core;
  std::unique_ptr<const TlsContext> tls;  // null: plain HTTP
  asio::io_context io;
  asio::executor_work_guard<asio::io_context::executor_type> guard{io.get_executor()};
  tcp::acceptor acceptor{asio::make_strand(io)};
  asio::steady_timer retry{acceptor.get_executor()};
  asio::steady_timer ticker{acceptor.get_executor()};
  std::chrono::steady_clock::time_point last_tick = std::chrono::steady_clock::now();
  int reserve = ::open("/dev/null", O_RDONLY | O_CLOEXEC);  // given up to accept and close one connection more
  std::chrono::steady_clock::time_point last_complaint = {};
  std::vector<std::thread> threads;
  uint16_t port = 0;
  bool stopped = false;

  explicit State(ServerOptions options) : core(std::move(options)) {
    if (!core.options.tls_certificate.empty())
      tls = std::make_unique<const TlsContext>(core.options.tls_certificate, core.options.tls_key);
    core.wakes.open(io);
  }
  ~State() {
    core.wakes.close();
    if (reserve >= 0) ::close(reserve);
  }
  void run();
  void listen();
  void accept();
  void on_accept_error(error_code);
  void turn_away();
  void on_connection(tcp::socket socket);
  void tick();
};

/// A handler that throws (no memory, in effect) takes its own connection with it, not the thread.
void Server::State::run() {
  while (true) {
    try {
      io.run();
      return;
    } catch (const std::exception& exception) {
      try {
        log_error(fmt::format("a connection failed: {}", exception.what()));
      } catch (const std::exception&) {  // the log needs memory too
      }
    }
  }
}

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
    if (error) return on_accept_error(error);
    on_connection(std::move(socket));
    accept();
  });
}

/// Out of file descriptors, mostly: wait for some to be given back, without a busy loop, and say so now and then.
void Server::State::on_accept_error(error_code error) {
  const auto now = std::chrono::steady_clock::now();
  if (now - last_complaint > std::chrono::seconds(10)) {
    log_warning(fmt::format("cannot accept a connection: {}", error.message()));
    last_complaint = now;
  }
  if (error == asio::error::no_descriptors) turn_away();
  retry.expires_after(std::chrono::milliseconds(100));
  retry.async_wait([this](error_code cancelled) {
    if (!cancelled) accept();
  });
}

/// A client that is closed at once can go elsewhere; one in the listener's queue would wait for an unknown time.
void Server::State::turn_away() {
  if (reserve >= 0) ::close(reserve);
  const int descriptor = ::accept4(acceptor.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (descriptor >= 0) ::close(descriptor);
  reserve = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void Server::State::on_connection(tcp::socket socket) {
  error_code gone;
  const auto address = socket.remote_endpoint(gone).address();
  if (gone) return;
  set_socket_options(socket, core.options.limits.slow_client_s);
  const uint64_t key = address_key(address);
  auto stream = tls ? tls->make_stream(std::move(socket)) : make_plain_stream(std::move(socket));
  const auto session = std::make_shared<Session>(core, std::move(stream), key);
  if (core.add(session, key, is_loopback(address))) session->start();  // otherwise it is closed by going out of scope
}

void Server::State::tick() {
  ticker.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(core.options.tick_s)));
  ticker.async_wait([this](error_code cancelled) {
    // A tick that was due before stop() cancelled it says nothing of that.
    if (cancelled || !acceptor.is_open()) return;
    tick();
    const auto now = std::chrono::steady_clock::now();
    core.tick(now - std::exchange(last_tick, now));
  });
}

Server::Server(ServerOptions options) : state_(std::make_unique<State>(std::move(options))) {
  raise_descriptor_limit(state_->core.options.limits.connections);
  state_->listen();
  state_->accept();
  state_->tick();
  for (int i = 0; i < std::max(1, state_->core.options.network_threads); i++)
    state_->threads.emplace_back([this] { state_->run(); });
}

Server::~Server() { stop(); }

uint16_t Server::port() const { return state_->port; }

void Server::set_progress(double done, std::string what) { state_->core.holder.set_progress(done, std::move(what)); }

void Server::serve(Service service) {
  state_->core.holder.serve(std::move(service));
  state_->core.metrics.set_loaded();
}

void Server::set_loader(std::function<Service()> loader) { state_->core.holder.set_loader(std::move(loader)); }

void Server::drain() { state_->core.drain(); }

bool Server::wait_for_answers(std::chrono::milliseconds patience) { return state_->core.wait_for_answers(patience); }

void Server::end_answers(std::chrono::milliseconds patience) {
  ServerCore& core = state_->core;
  core.drain();
  core.close_door();
  asio::post(state_->acceptor.get_executor(), [state = state_.get()] {
    error_code ignored;
    state->acceptor.close(ignored);
    state->retry.cancel();
    state->ticker.cancel();
  });
  for (const auto& session : core.sessions()) session->post_stop();
  if (core.wait_for_sessions(patience)) return;  // for last words to be written
  for (const auto& session : core.sessions()) session->post_close();
  core.wait_for_sessions(patience);
}

void Server::stop() {
  if (std::exchange(state_->stopped, true)) return;
  end_answers(std::chrono::milliseconds(1000));
  state_->core.workers.join();
  state_->guard.reset();
  for (std::thread& thread : state_->threads) thread.join();
}

}  // namespace lancet
