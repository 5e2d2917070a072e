// A connection's life: idle -> header -> body -> answering or responding -> idle or lingering -> closed.
#include "server/session.h"

#include <poll.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/log.h"
#include "server/errors.h"
#include "server/responses.h"
#include "server/routes.h"

namespace lancet {
namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr double kLateTimer_s = 0.5;
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

/// How long until the engine will have read what waits now: when asking again is worth it.
void set_retry_after(HttpResponse& response, const Service* service) {
  if (!service || !service->engine || (response.status != 429 && response.status != 503)) return;
  const EngineStats stats = service->engine->stats();
  const double seconds =
      stats.prompt_tokens_s > 0 ? std::ceil(static_cast<double>(stats.waiting_tokens) / stats.prompt_tokens_s) : 1;
  for (auto& [name, value] : response.fields)
    if (name == "Retry-After") value = fmt::format("{:.0f}", std::clamp(seconds, 1.0, 60.0));
}

HttpResponse quick_answer(const ServerCore& core, const Service* service, const HttpRequest& request) {
  static const Service kNone;
  const ServerStatus status = core.status();
  Answer answer = run_route(
      {.service = service ? *service : kNone, .limits = core.options.limits, .request = request, .server = &status});
  return std::get<HttpResponse>(std::move(answer));
}

std::string framed(Framing framing, const std::string& bytes) {
  if (framing != Framing::chunked || bytes.empty()) return bytes;
  return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
}

}  // namespace

/// No reference to a session is made here, so that none ever ends on the engine's thread; and sever() waits for the
/// lock, so that nothing is queued for a connection that has gone.
void Waker::wake() {
  const std::lock_guard lock(mutex_);
  if (posted_ || session_.expired()) return;
  posted_ = true;
  queue_.push(shared_from_this());
}

void Waker::run() {
  std::shared_ptr<Session> session;
  {
    const std::lock_guard lock(mutex_);
    session = session_.lock();
  }
  if (!session) return;
  const asio::any_io_executor strand = session->strand_;
  asio::dispatch(strand, [session = std::move(session)] { session->on_wake(); });
}

void Waker::sever() {
  const std::lock_guard lock(mutex_);
  session_.reset();
}

Session::Session(ServerCore& core, std::unique_ptr<Stream> stream, uint64_t address)
    : core_(core),
      stream_(std::move(stream)),
      address_(address),
      strand_(stream_->socket().get_executor()),
      timer_(strand_),
      access_(core.metrics) {}

Session::~Session() {
  if (waker_) waker_->sever();
  if (counted_) core_.count_answer(-1);
  core_.remove(this, address_);
}

void Session::start() {
  asio::post(strand_, [self = shared_from_this()] {
    self->phase_ = Phase::header;
    self->set_timer(self->core_.options.limits.header_s);
    self->stream_->async_handshake([self](error_code error, size_t) {
      if (self->phase_ == Phase::closed) return;
      return error ? self->close() : self->want_read();
    });
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
  set_timer(phase_ == Phase::idle ? core_.options.limits.idle_s : core_.options.limits.header_s);
  if (!buffer_.empty()) return feed();
  // Also while draining: the answer's head said that the connection is kept, and a request may be on its way.
  if (end_of_file_) return close();
  buffer_.shrink_to_fit();
  want_read();
}

void Session::want_read() {
  if (reading_ || end_of_file_ || phase_ == Phase::closed) return;
  reading_ = true;
  stream_->async_read([self = shared_from_this()](error_code error, std::string_view bytes) {
    self->reading_ = false;
    if (self->phase_ == Phase::closed) return;
    return error ? self->on_end_of_file() : self->on_bytes(bytes);
  });
}

void Session::on_bytes(std::string_view bytes) {
  if (phase_ == Phase::lingering) {
    lingered_bytes_ += bytes.size();
    return lingered_bytes_ > kMostLingeredBytes ? close() : want_read();
  }
  buffer_.append(bytes);
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
  if (!parser_) parser_ = std::make_unique<HttpParser>(core_.options.limits);
  while (true) {
    const size_t before = buffer_.size();
    const HttpParser::State state = parser_->feed(buffer_);
    if (state == HttpParser::State::refused) {
      const HttpRefusal refusal = parser_->refusal();
      return respond(error_response(ApiError(refusal.status, "invalid_http", refusal.message)), false);
    }
    if (state != HttpParser::State::header && !header_checked_ && !on_header()) return;
    if (!hold_body()) return;
    if (state == HttpParser::State::complete) return dispatch();
    if (state == HttpParser::State::header || buffer_.empty() || buffer_.size() == before)
      return end_of_file_ ? close() : want_read();
  }
}

bool Session::on_header() {
  header_checked_ = true;
  const HttpRequest& request = parser_->request();
  request_id_ = request_id(request);
  access_.begin(&request, request_id_);
  keep_alive_ = parser_->keep_alive();
  http_1_0_ = request.http_1_0;
  head_only_ = request.method == "HEAD";
  owner_ = core_.access.owner(request, address_);
  HttpResponse cors;
  core_.access.add_cors(request, cors);
  cors_ = std::move(cors.fields);
  const bool whole = parser_->state() == HttpParser::State::complete;
  if (auto response = early_response(request, core_.access)) {
    respond(std::move(*response), keep_alive_ && whole);
    return false;
  }
  if (whole) return true;
  phase_ = Phase::body;
  set_timer(core_.options.limits.body_s);
  // HTTP/1.0 clients do not know the interim response.
  if (!request.field("expect") || http_1_0_ || !buffer_.empty()) return hold_body();
  if (!hold_body()) return false;
  write("HTTP/1.1 100 Continue\r\n\r\n", &Session::feed);
  return false;
}

/// Counts the body's bytes so far, and asks for room for those announced; false: refused, there are too many in memory.
bool Session::hold_body() {
  if (!header_checked_ || !parser_) return true;
  const size_t have = parser_->request().body.size();
  if (have == 0 && parser_->announced_bytes() == 0) return true;
  bool fits = have > 0 || core_.has_room_for(parser_->announced_bytes());
  if (!held_) held_ = std::make_shared<HeldBytes>(core_);
  fits = held_->grow_to(have) && fits;
  if (!fits)
    respond(error_response(Error(Fault::busy, fmt::format("the bodies in memory fill the {} bytes they may have",
                                                          core_.options.limits.buffered_bytes))),
            false);
  return fits;
}

void Session::dispatch() {
  const auto request = std::make_shared<const HttpRequest>(std::move(parser_->request()));
  parser_.reset();
  const Route& route = route_of(*request);
  if (route.before_ready) return respond(quick_answer(core_, core_.holder.get().get(), *request), keep_alive_);
  if (core_.draining()) return respond(core_.not_serving(), false);
  if (core_.holder.state() == ServiceHolder::State::loading) return respond(core_.not_serving(), keep_alive_);
  if (route.method != "GET") return start_work(request);
  if (auto models = core_.holder.asleep_answer(request->path())) return respond(std::move(*models), keep_alive_);
  const auto service = core_.holder.get();
  if (!service) return start_work(request);
  Answer answer = run_route({.service = *service, .limits = core_.options.limits, .request = *request});
  respond(std::get<HttpResponse>(std::move(answer)), keep_alive_);
}

void Session::start_work(std::shared_ptr<const HttpRequest> request) {
  if (!core_.queue_work())
    return respond(error_response(Error(Fault::busy, "too many requests wait to be read already")), keep_alive_);
  phase_ = Phase::answering;
  answer_finished_ = answer_broken_ = false;
  cancel_ = std::make_shared<CancelFlag>();
  waker_ = std::make_shared<Waker>(core_.wakes, weak_from_this());
  last_output_ = std::chrono::steady_clock::now();
  core_.count_answer(1);
  counted_ = true;
  set_timer(core_.options.keep_alive_comment_s);
  if (buffer_.size() < core_.options.limits.early_bytes) want_read();
  // The service is there at once, or comes on a worker thread; then the strand decides whether anybody still asks.
  core_.holder.acquire([self = shared_from_this(), request, cancel = cancel_](std::shared_ptr<const Service> service,
                                                                              const std::string& failure) {
    self->core_.work_began();
    const asio::any_io_executor strand = self->strand_;
    asio::dispatch(strand, [self, request, cancel, service = std::move(service), failed = !failure.empty()]() mutable {
      if (self->cancel_ != cancel) return;
      if (service) return self->run_work(std::move(request), std::move(service));
      self->end_answer();
      self->respond(error_response(ApiError(503, "model_unavailable", "the model could not be loaded again")),
                    self->keep_alive_);
    });
  });
}

void Session::run_work(std::shared_ptr<const HttpRequest> request, std::shared_ptr<const Service> service) {
  if (!core_.queue_work()) {
    end_answer();
    return respond(error_response(Error(Fault::busy, "too many requests wait to be read already")), keep_alive_);
  }
  auto work = [self = shared_from_this(), service = std::move(service), request = std::move(request),
               held = std::move(held_), cancel = cancel_, waker = waker_, id = request_id_, owner = owner_]() mutable {
    Answer answer = run_route({.service = *service,
                               .limits = self->core_.options.limits,
                               .request = *request,
                               .owner = owner,
                               .request_id = std::move(id),
                               .cancel = cancel,
                               .wake = [waker] { waker->wake(); }});
    request.reset();
    held.reset();
    const asio::any_io_executor strand = self->strand_;
    asio::post(strand, [self = std::move(self), cancel = std::move(cancel), answer = std::move(answer),
                        service = std::move(service)]() mutable {
      // The request that this answers may have been given up.
      if (self->cancel_ == cancel) self->on_answer(std::move(answer), std::move(service));
    });
  };
  asio::post(core_.workers, [session = shared_from_this(), work = std::move(work)]() mutable {
    session->core_.work_began();
    try {
      work();
    } catch (const std::exception&) {  // no memory even for saying so: the next tick closes the connection
      session->work_failed_ = true;
    }
  });
}

void Session::on_answer(Answer answer, std::shared_ptr<const Service> service) {
  if (auto* response = std::get_if<HttpResponse>(&answer)) {
    set_retry_after(*response, service.get());
    end_answer();
    return respond(std::move(*response), keep_alive_);
  }
  service_ = std::move(service);
  running_ = std::move(std::get<std::unique_ptr<RunningAnswer>>(answer));
  framing_ = http_1_0_ ? Framing::until_close : Framing::chunked;
  if (stopping_) return stop();
  pump();
}

void Session::pump() {
  if (phase_ != Phase::answering || !running_ || answer_finished_ || pending_.finished) return;
  return writing_ ? keep_for_later(running_->poll()) : emit(running_->poll());
}

/// What came while the client takes its time. The engine never waits: beyond the limit the stream is given up.
void Session::keep_for_later(Output output) {
  pending_.bytes += framed(framing_, output.bytes);
  pending_.broken |= output.broken;
  pending_.facts = std::move(output.facts);
  pending_.finished = output.finished;
  if (output.finished) access_.finish(pending_.facts);
  if (pending_.bytes.size() <= core_.options.limits.stream_buffer_bytes) return;
  access_.finish({.reason = "slow_client"});
  close();
}

void Session::emit(Output output) {
  if (output.finished) access_.finish(std::move(output.facts));
  if (output.head && output.finished && output.bytes.empty()) {
    set_retry_after(*output.head, service_.get());
    end_answer();
    return respond(std::move(*output.head), keep_alive_ && !stopping_);
  }
  std::string bytes = std::exchange(pending_, {}).bytes;
  if (output.head) {
    output.head->fields.emplace_back("x-request-id", request_id_);
    output.head->fields.insert(output.head->fields.end(), cors_.begin(), cors_.end());
    access_.answer(*output.head);
    bytes = response_head(*output.head, {.framing = framing_, .keep_alive = keep_alive_});
  }
  bytes += framed(framing_, output.bytes);
  answer_finished_ = output.finished;
  answer_broken_ = output.broken;
  if (output.finished && framing_ == Framing::chunked) bytes += "0\r\n\r\n";
  if (!bytes.empty()) write(std::move(bytes), &Session::after_piece);
}

void Session::after_piece() {
  if (!answer_finished_) {
    if (pending_.finished) return emit({.finished = true, .broken = pending_.broken, .facts = pending_.facts});
    if (stopping_) return stop();
    return emit(running_->poll());
  }
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
  service_.reset();
  pending_ = {};
}

void Session::on_tick(bool late) {
  const auto now = std::chrono::steady_clock::now();
  if (late) write_started_ = last_output_ = now;
  if (writing_ && seconds_since(write_started_) > core_.options.limits.slow_client_s) {
    access_.finish({.reason = "slow_client"});
    return close();
  }
  if (work_failed_ || (!reading_ && peer_has_gone())) return close();
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
  pollfd descriptor{.fd = stream_->socket().native_handle(), .events = closed, .revents = 0};
  return ::poll(&descriptor, 1, 0) > 0 && (descriptor.revents & (closed | POLLHUP | POLLERR));
}

void Session::respond(HttpResponse response, bool keep_alive) {
  phase_ = Phase::responding;
  keep_alive_ = keep_alive && !core_.draining();
  set_timer(core_.options.limits.slow_client_s);
  if (request_id_.empty()) request_id_ = random_id("req_");
  response.fields.emplace_back("x-request-id", request_id_);
  response.fields.insert(response.fields.end(), cors_.begin(), cors_.end());
  access_.begin(nullptr, request_id_);
  access_.answer(response);
  std::string bytes = response_head(response, {.keep_alive = keep_alive_});
  if (!head_only_) bytes += response.body;
  write(std::move(bytes), &Session::after_response);
}

void Session::write(std::string bytes, void (Session::*then)()) {
  outgoing_ = std::move(bytes);
  written_bytes_ = 0;
  after_write_ = then;
  writing_ = true;
  write_started_ = std::chrono::steady_clock::now();
  write_more();
}

void Session::write_more() {
  const std::string_view rest = std::string_view(outgoing_).substr(written_bytes_);
  stream_->async_write_some(rest, [self = shared_from_this()](error_code error, size_t count) {
    if (self->phase_ == Phase::closed) return;
    self->written_bytes_ += count;
    self->write_started_ = self->last_output_ = std::chrono::steady_clock::now();
    if (!error && self->written_bytes_ < self->outgoing_.size()) {
      if (self->phase_ == Phase::responding) self->set_timer(self->core_.options.limits.slow_client_s);
      return self->write_more();
    }
    self->writing_ = false;
    self->outgoing_ = {};
    if (error) return self->close();
    ((*self).*(self->after_write_))();
  });
}

/// Nothing of the request stays behind.
void Session::after_response() {
  access_.end(true);
  if (std::exchange(counted_, false)) core_.count_answer(-1);
  parser_.reset();
  held_.reset();
  request_id_ = {};
  cors_ = {};
  http_1_0_ = head_only_ = false;
  if (!keep_alive_) return linger();
  await_request();
}

/// Closing a socket with unread bytes resets it, and the client may lose the answer: read on for a while.
void Session::linger() {
  phase_ = Phase::lingering;
  buffer_.clear();
  stream_->shutdown_send();
  if (end_of_file_ || stopping_) return close();
  set_timer(core_.options.limits.linger_s);
  want_read();
}

void Session::close() {
  if (phase_ == Phase::closed) return;
  phase_ = Phase::closed;
  access_.end(false);
  end_answer();
  stream_->close();
  held_.reset();
  timer_epoch_++;
  timer_.cancel();
  if (std::exchange(counted_, false)) core_.count_answer(-1);
  core_.remove(this, address_);
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
  timer_s_ = std::max(seconds, 0.001);
  timer_.expires_after(
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(timer_s_)));
  timer_.async_wait([self = shared_from_this(), epoch](error_code error) {
    if (error || epoch != self->timer_epoch_) return;
    // A timer that comes much too late says that this process was stopped (SIGSTOP, a suspended laptop, no CPU), not
    // that the peer was slow: what it sent meanwhile is waiting to be read.
    self->on_timer(seconds_since(self->timer_.expiry()) > kLateTimer_s);
  });
}

void Session::on_timer(bool late) {
  if (phase_ == Phase::answering) return on_tick(late);
  if (late) return set_timer(timer_s_);
  if (phase_ != Phase::header && phase_ != Phase::body) return close();
  if (writing_ || (phase_ == Phase::header && buffer_.empty())) return close();  // a connection never used
  respond(error_response(ApiError(
              408, "request_timeout",
              fmt::format("the request's {} did not arrive in time", phase_ == Phase::header ? "header" : "body"))),
          false);
}

}  // namespace lancet
