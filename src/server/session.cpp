// A connection's life: idle -> header -> body -> answering or responding -> idle or lingering -> closed.
#include "server/session.h"

#include <poll.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "server/errors.h"
#include "server/responses.h"
#include "server/routes.h"

namespace lancet {
namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr size_t kMostLingeredBytes = 64 * 1024 * 1024;

double seconds_since(std::chrono::steady_clock::time_point then) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - then).count();
}

/// The client's id if it is harmless, else one of ours.
std::string request_id(const HttpRequest& request) {
  const auto sent = request.field("x-request-id");
  const auto harmless = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("-_.:").find(c) != std::string_view::npos;
  };
  if (sent && !sent->empty() && sent->size() <= 128 && std::all_of(sent->begin(), sent->end(), harmless))
    return std::string(*sent);
  return random_id("req_");
}

std::string framed(Framing framing, const std::string& bytes) {
  if (framing != Framing::chunked || bytes.empty()) return bytes;
  return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
}

}  // namespace

/// The posted handler gets the only reference made here, so that a session never ends on the engine's thread; and
/// sever() waits for the lock, so that nothing is posted to a server that has gone.
void Waker::wake() {
  const std::lock_guard lock(mutex_);
  if (posted_) return;
  auto session = session_.lock();
  if (!session) return;
  posted_ = true;
  const asio::any_io_executor strand = session->strand_;
  asio::post(strand, [session = std::move(session)] { session->on_wake(); });
}

void Waker::sever() {
  const std::lock_guard lock(mutex_);
  session_.reset();
}

Session::Session(ServerCore& core, asio::ip::tcp::socket socket)
    : core_(core), socket_(std::move(socket)), strand_(socket_.get_executor()), timer_(strand_) {}

Session::~Session() {
  if (waker_) waker_->sever();
  core_.remove(this);
}

void Session::start() {
  asio::post(strand_, [self = shared_from_this()] {
    error_code ignored;
    self->socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
    self->socket_.non_blocking(true, ignored);
    self->phase_ = Phase::header;
    self->parser_.emplace(self->core_.options.limits);
    self->set_timer(self->core_.options.limits.header_s);
    self->want_read();
  });
}

void Session::post_stop() {
  asio::post(strand_, [self = shared_from_this()] { self->stop(); });
}

void Session::post_close() {
  asio::post(strand_, [self = shared_from_this()] { self->close(); });
}

void Session::on_wake() {
  if (waker_) waker_->taken();
  pump();
}

void Session::await_request() {
  phase_ = buffer_.empty() ? Phase::idle : Phase::header;
  header_checked_ = false;
  request_id_.clear();
  parser_.emplace(core_.options.limits);
  set_timer(phase_ == Phase::idle ? core_.options.limits.idle_s : core_.options.limits.header_s);
  if (!buffer_.empty()) return feed();
  if (end_of_file_ || core_.draining()) return close();
  want_read();
}

void Session::want_read() {
  if (reading_ || end_of_file_ || phase_ == Phase::closed) return;
  reading_ = true;
  socket_.async_wait(asio::ip::tcp::socket::wait_read, [self = shared_from_this()](error_code error) {
    self->reading_ = false;
    if (!error && self->phase_ != Phase::closed) self->on_readable();
  });
}

void Session::on_readable() {
  error_code error;
  const size_t count = socket_.read_some(asio::buffer(chunk_), error);
  if (error == asio::error::would_block || error == asio::error::try_again) return want_read();
  if (error) return on_end_of_file();
  if (phase_ == Phase::lingering) {
    lingered_bytes_ += count;
    return lingered_bytes_ > kMostLingeredBytes ? close() : want_read();
  }
  buffer_.append(chunk_.data(), count);
  if (phase_ == Phase::idle) {
    phase_ = Phase::header;
    set_timer(core_.options.limits.header_s);
  }
  if (phase_ == Phase::header || phase_ == Phase::body) return feed();
  if (buffer_.size() < core_.options.limits.early_bytes) want_read();
}

void Session::on_end_of_file() {
  end_of_file_ = true;
  // A whole response on its way may still be read by a client that only closed its sending side; one that is yet to
  // be computed is nobody's any more.
  if (phase_ != Phase::responding) close();
}

void Session::feed() {
  while (true) {
    const size_t before = buffer_.size();
    const HttpParser::State state = parser_->feed(buffer_);
    if (state == HttpParser::State::refused) {
      const HttpRefusal& refusal = parser_->refusal();
      if (request_id_.empty()) request_id_ = random_id("req_");
      return respond(error_response(ApiError(refusal.status, "invalid_http", refusal.message)), false);
    }
    if (state != HttpParser::State::header && !header_checked_ && !on_header()) return;
    if (state == HttpParser::State::complete) return dispatch();
    if (state == HttpParser::State::header || buffer_.empty() || buffer_.size() == before)
      return end_of_file_ ? close() : want_read();
  }
}

bool Session::on_header() {
  header_checked_ = true;
  request_id_ = request_id(parser_->request());
  keep_alive_ = parser_->keep_alive();
  const bool whole = parser_->state() == HttpParser::State::complete;
  if (auto response = early_response(parser_->request(), core_.options)) {
    request_ = std::make_shared<HttpRequest>(std::move(parser_->request()));
    respond(std::move(*response), keep_alive_ && whole);
    return false;
  }
  if (whole) return true;
  phase_ = Phase::body;
  set_timer(core_.options.limits.body_s);
  // HTTP/1.0 clients do not know the interim response.
  if (!parser_->request().field("expect") || parser_->request().http_1_0 || !buffer_.empty()) return true;
  write("HTTP/1.1 100 Continue\r\n\r\n", &Session::feed);
  return false;
}

void Session::dispatch() {
  request_ = std::make_shared<HttpRequest>(std::move(parser_->request()));
  const auto service = core_.service();
  const bool health = request_->path() == "/health";
  if (!service || core_.draining()) return respond(core_.not_serving(health), keep_alive_);
  if (route_of(*request_).method == "GET") {
    Answer answer = run_route({.service = *service, .limits = core_.options.limits, .request = *request_});
    return respond(std::get<HttpResponse>(std::move(answer)), keep_alive_);
  }
  start_work(service);
}

void Session::start_work(std::shared_ptr<const Service> service) {
  phase_ = Phase::answering;
  answer_finished_ = answer_broken_ = false;
  cancel_ = std::make_shared<CancelFlag>();
  waker_ = std::make_shared<Waker>(weak_from_this());
  last_output_ = std::chrono::steady_clock::now();
  set_timer(core_.options.keep_alive_comment_s);
  if (buffer_.size() < core_.options.limits.early_bytes) want_read();
  asio::post(core_.workers, [self = shared_from_this(), service = std::move(service), request = request_,
                             cancel = cancel_, waker = waker_]() mutable {
    Answer answer = run_route({.service = *service,
                               .limits = self->core_.options.limits,
                               .request = *request,
                               .cancel = cancel,
                               .wake = [waker] { waker->wake(); }});
    const asio::any_io_executor strand = self->strand_;
    asio::post(strand, [self = std::move(self), cancel = std::move(cancel), answer = std::move(answer)]() mutable {
      // The request that this answers may have been given up.
      if (self->cancel_ == cancel) self->on_answer(std::move(answer));
    });
  });
}

void Session::on_answer(Answer answer) {
  if (auto* response = std::get_if<HttpResponse>(&answer)) {
    end_answer();
    return respond(std::move(*response), keep_alive_);
  }
  running_ = std::move(std::get<std::unique_ptr<RunningAnswer>>(answer));
  framing_ = request_->http_1_0 ? Framing::until_close : Framing::chunked;
  if (stopping_) return stop();
  pump();
}

void Session::pump() {
  if (phase_ != Phase::answering || writing_ || !running_) return;
  emit(running_->poll());
}

void Session::emit(Output output) {
  if (output.head && output.finished && output.bytes.empty()) {
    end_answer();
    return respond(std::move(*output.head), keep_alive_ && !stopping_);
  }
  std::string bytes;
  if (output.head) {
    output.head->fields.emplace_back("x-request-id", request_id_);
    bytes = response_head(*output.head, {.framing = framing_, .keep_alive = keep_alive_});
  }
  bytes += framed(framing_, output.bytes);
  answer_finished_ = output.finished;
  answer_broken_ = output.broken;
  if (output.finished && framing_ == Framing::chunked) bytes += "0\r\n\r\n";
  if (!bytes.empty()) write(std::move(bytes), &Session::after_piece);
}

void Session::after_piece() {
  if (!answer_finished_) return stopping_ ? stop() : pump();
  end_answer();
  phase_ = Phase::responding;
  if (answer_broken_ || framing_ == Framing::until_close) keep_alive_ = false;
  after_response();
}

void Session::end_answer() {
  if (cancel_) cancel_->raise();
  if (waker_) waker_->sever();
  cancel_.reset();
  waker_.reset();
  running_.reset();
}

void Session::on_tick() {
  if (writing_ && seconds_since(write_started_) > core_.options.limits.slow_client_s) return close();
  if (!reading_ && peer_has_gone()) return close();
  const double interval = core_.options.keep_alive_comment_s;
  if (running_ && !writing_ && seconds_since(last_output_) >= interval * 0.9) emit(running_->keep_alive());
  if (phase_ == Phase::answering) set_timer(interval);
}

/// For a client that sent more early bytes than we keep, so that readability no longer tells the end.
bool Session::peer_has_gone() {
#ifdef POLLRDHUP
  const short closed = POLLRDHUP;
#else
  const short closed = 0;
#endif
  pollfd descriptor{.fd = socket_.native_handle(), .events = closed, .revents = 0};
  return ::poll(&descriptor, 1, 0) > 0 && (descriptor.revents & (closed | POLLHUP | POLLERR));
}

void Session::respond(HttpResponse response, bool keep_alive) {
  phase_ = Phase::responding;
  keep_alive_ = keep_alive && !core_.draining();
  set_timer(core_.options.limits.slow_client_s);
  response.fields.emplace_back("x-request-id", request_id_);
  std::string bytes = response_head(response, {.keep_alive = keep_alive_});
  if (!request_ || request_->method != "HEAD") bytes += response.body;
  write(std::move(bytes), &Session::after_response);
}

void Session::write(std::string bytes, void (Session::*then)()) {
  outgoing_ = std::move(bytes);
  writing_ = true;
  write_started_ = std::chrono::steady_clock::now();
  asio::async_write(socket_, asio::buffer(outgoing_), [self = shared_from_this(), then](error_code error, size_t) {
    self->writing_ = false;
    self->last_output_ = std::chrono::steady_clock::now();
    if (self->phase_ == Phase::closed) return;
    if (error) return self->close();
    ((*self).*then)();
  });
}

void Session::after_response() {
  request_.reset();
  if (!keep_alive_) return linger();
  await_request();
}

/// Closing a socket with unread bytes resets it, and the client may lose the answer: read on for a while.
void Session::linger() {
  phase_ = Phase::lingering;
  buffer_.clear();
  error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  if (end_of_file_ || stopping_) return close();
  set_timer(core_.options.limits.linger_s);
  want_read();
}

void Session::close() {
  if (phase_ == Phase::closed) return;
  phase_ = Phase::closed;
  end_answer();
  error_code ignored;
  socket_.close(ignored);
  timer_epoch_++;
  timer_.cancel();
  core_.remove(this);
}

void Session::stop() {
  stopping_ = true;
  keep_alive_ = false;
  if (phase_ == Phase::responding) return;  // ends after what is being written
  if (phase_ != Phase::answering) return close();
  if (writing_) return;  // after_piece comes back here
  const Error error(Fault::unavailable, "the server is stopping");
  if (running_) return emit(running_->abort(error));
  end_answer();
  respond(error_response(error), false);
}

void Session::set_timer(double seconds) {
  const uint64_t epoch = ++timer_epoch_;
  timer_.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(std::max(seconds, 0.001))));
  timer_.async_wait([self = shared_from_this(), epoch](error_code error) {
    if (!error && epoch == self->timer_epoch_) self->on_timer();
  });
}

void Session::on_timer() {
  if (phase_ == Phase::answering) return on_tick();
  if (phase_ != Phase::header && phase_ != Phase::body) return close();
  if (writing_ || (phase_ == Phase::header && buffer_.empty())) return close();  // a connection never used
  if (request_id_.empty()) request_id_ = random_id("req_");
  respond(error_response(ApiError(
              408, "request_timeout",
              fmt::format("the request's {} did not arrive in time", phase_ == Phase::header ? "header" : "body"))),
          false);
}

}  // namespace lancet
