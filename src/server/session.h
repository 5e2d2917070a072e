// One connection. Everything in it runs on its strand; other threads only post to it.
//
// All reading goes through one outstanding wait for readability, whatever the phase. While a request is being answered
// the same wait notices that the client has gone (end of file, reset): then the running answer is destroyed, which
// cancels its generations. Bytes that arrive meanwhile are a next request, kept for later, not a reason to stop.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "server/answer.h"
#include "server/core.h"
#include "server/http_parser.h"

namespace lancet {

class Waker;

class Session : public std::enable_shared_from_this<Session> {
 public:
  /// The socket's executor is a strand.
  Session(ServerCore&, boost::asio::ip::tcp::socket);
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
  void on_readable();
  void on_end_of_file();
  void feed();
  bool on_header();  // false: answered, or waiting for "100 Continue" to be written
  void dispatch();
  void start_work(std::shared_ptr<const Service>);
  void on_answer(Answer);
  void on_wake();
  void pump();
  void emit(Output);
  void on_tick();
  void respond(HttpResponse, bool keep_alive);
  void write(std::string bytes, void (Session::*then)());
  void after_piece();
  void after_response();
  void end_answer();
  void linger();
  void close();
  void stop();
  void set_timer(double seconds);
  void on_timer();
  bool peer_has_gone();

  ServerCore& core_;
  boost::asio::ip::tcp::socket socket_;
  const boost::asio::any_io_executor strand_;
  boost::asio::steady_timer timer_;
  uint64_t timer_epoch_ = 0;

  Phase phase_ = Phase::idle;
  std::string buffer_;  // received and not yet parsed
  std::array<char, 16 * 1024> chunk_;
  bool reading_ = false, end_of_file_ = false;
  size_t lingered_bytes_ = 0;

  std::optional<HttpParser> parser_;
  bool header_checked_ = false;
  std::shared_ptr<const HttpRequest> request_;
  std::string request_id_;
  bool keep_alive_ = false;

  std::shared_ptr<CancelFlag> cancel_;
  std::shared_ptr<Waker> waker_;
  std::unique_ptr<RunningAnswer> running_;
  Framing framing_ = Framing::length;
  bool answer_finished_ = false, answer_broken_ = false, stopping_ = false;

  bool writing_ = false;
  std::string outgoing_;
  std::chrono::steady_clock::time_point write_started_, last_output_;
};

/// The engine's way back to a connection, severed before the connection goes. Any thread.
class Waker {
 public:
  explicit Waker(std::weak_ptr<Session> session) : session_(std::move(session)) {}
  void wake();
  void sever();
  /// On the strand: wakes from now on post again.
  void taken() { posted_ = false; }

 private:
  std::mutex mutex_;
  std::weak_ptr<Session> session_;
  std::atomic<bool> posted_ = false;
};

}  // namespace lancet
