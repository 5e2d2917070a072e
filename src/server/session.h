// One connection. Everything in it runs on its strand; other threads only post to it.
//
// All reading goes through one outstanding wait for readability, whatever the phase. While a request is being answered
// the same wait notices that the client has gone (end of file, reset): then the running answer is destroyed, which
// cancels its generations. Bytes that arrive meanwhile are a next request, kept for later, not a reason to stop.
//
// An idle connection costs little: it has no buffers (stream.cpp reads into the thread's), no parser, no request.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "server/access_log.h"
#include "server/answer.h"
#include "server/core.h"
#include "server/http_parser.h"
#include "server/stream.h"

namespace lancet {

class Waker;

class Session : public std::enable_shared_from_this<Session> {
 public:
  /// The stream's executor is a strand. `address` stands for the peer's, in counts and shares.
  Session(ServerCore&, std::unique_ptr<Stream>, uint64_t address);
  ~Session();

  void start();
  /// Any thread: running answers get their last words, then the connection ends.
  void post_stop();
  /// Any thread: the connection ends now.
  void post_close();

 private:
  friend class Waker;
  enum class Phase { idle, header, body, answering, responding, lingering, closed };

  void await_request();
  void want_read();
  void on_bytes(std::string_view);
  void on_end_of_file();
  void feed();
  bool on_header();  // false: answered, or waiting for "100 Continue" to be written
  void dispatch();
  void start_work(std::shared_ptr<const HttpRequest>);
  void run_work(std::shared_ptr<const HttpRequest>, std::shared_ptr<const Service>);
  void on_answer(Answer, std::shared_ptr<const Service>);
  void on_wake();
  void pump();
  void emit(Output);
  void keep_for_later(Output);
  void on_tick(bool late);
  void respond(HttpResponse, bool keep_alive);
  void write(std::string bytes, void (Session::*then)());
  void write_more();
  void after_piece();
  void after_response();
  void end_answer();
  void linger();
  void close();
  void stop();
  void set_timer(double seconds);
  void on_timer(bool late);
  bool hold_body();
  bool peer_has_gone();

  ServerCore& core_;
  const std::unique_ptr<Stream> stream_;
  const uint64_t address_;
  const boost::asio::any_io_executor strand_;
  boost::asio::steady_timer timer_;
  uint64_t timer_epoch_ = 0;
  double timer_s_ = 0;

  Phase phase_ = Phase::idle;
  std::string buffer_;  // received and not yet parsed
  bool reading_ = false, end_of_file_ = false;
  size_t lingered_bytes_ = 0;

  std::unique_ptr<HttpParser> parser_;  // while a message is being read
  bool header_checked_ = false;
  std::shared_ptr<HeldBytes> held_;  // the body's share, also of the worker that reads it
  bool http_1_0_ = false, head_only_ = false, counted_ = false;
  uint64_t owner_ = 0;
  HttpFields cors_;
  std::string request_id_;
  AccessRecord access_;
  bool keep_alive_ = false;

  std::shared_ptr<CancelFlag> cancel_;
  std::shared_ptr<Waker> waker_;
  std::shared_ptr<const Service> service_;  // before what uses it
  std::unique_ptr<RunningAnswer> running_;
  Output pending_;  // ready while a piece is being written
  Framing framing_ = Framing::length;
  std::atomic<bool> work_failed_ = false;  // by the worker, for the next tick; carries no data
  bool answer_finished_ = false, answer_broken_ = false, stopping_ = false;

  bool writing_ = false;
  std::string outgoing_;
  size_t written_bytes_ = 0;
  void (Session::*after_write_)() = nullptr;
  std::chrono::steady_clock::time_point write_started_, last_output_;
};

/// The engine's way back to a connection, severed before the connection goes. Any thread.
class Waker : public std::enable_shared_from_this<Waker> {
 public:
  Waker(WakeQueue& queue, std::weak_ptr<Session> session) : queue_(queue), session_(std::move(session)) {}
  void wake();
  void sever();
  /// A network thread, from the queue.
  void run();
  /// On the strand: wakes from now on post again.
  void taken() { posted_ = false; }

 private:
  WakeQueue& queue_;
  std::mutex mutex_;
  std::weak_ptr<Session> session_;
  std::atomic<bool> posted_ = false;
};

}  // namespace lancet
