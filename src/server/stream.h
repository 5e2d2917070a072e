// A connection's bytes, with or without TLS: what a Session needs of its socket and nothing else. Used on the
// connection's strand only.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "server/asio_config.h"

namespace lancet {

class Stream {
 public:
  using ReadHandler = std::function<void(boost::system::error_code, std::string_view)>;
  using Handler = std::function<void(boost::system::error_code, size_t)>;

  explicit Stream(boost::asio::ip::tcp::socket socket) : socket_(std::move(socket)) {}
  virtual ~Stream() = default;

  /// Before anything else; the plain stream has nothing to do.
  virtual void async_handshake(Handler) = 0;
  /// One at a time. The bytes are valid during the call of the handler only; an error is an end of the peer's bytes.
  virtual void async_read(ReadHandler) = 0;
  /// Writes some of the bytes, which must stay until the handler is called. One at a time.
  virtual void async_write_some(std::string_view, Handler) = 0;

  boost::asio::ip::tcp::socket& socket() { return socket_; }
  void shutdown_send() {
    boost::system::error_code ignored;
    socket_.shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
  }
  void close() {
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

 private:
  boost::asio::ip::tcp::socket socket_;
};

std::unique_ptr<Stream> make_plain_stream(boost::asio::ip::tcp::socket);

}  // namespace lancet
