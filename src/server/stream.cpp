// The plain stream. An idle connection waits for readability and owns no buffer: all connections of a network thread
// read into the thread's one.
#include "server/stream.h"

#include <array>

namespace lancet {
namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

thread_local std::array<char, 64 * 1024> t_buffer;

class PlainStream : public Stream {
 public:
  using Stream::Stream;

  void async_handshake(Handler handler) override { handler({}, 0); }

  void async_read(ReadHandler handler) override {
    socket().async_wait(tcp::socket::wait_read, [this, handler = std::move(handler)](error_code error) mutable {
      size_t count = 0;
      if (!error) count = socket().read_some(asio::buffer(t_buffer), error);
      if (error == asio::error::would_block || error == asio::error::try_again) return async_read(std::move(handler));
      handler(error, {t_buffer.data(), count});
    });
  }

  void async_write_some(std::string_view bytes, Handler handler) override {
    socket().async_write_some(asio::buffer(bytes), std::move(handler));
  }
};

}  // namespace

std::unique_ptr<Stream> make_plain_stream(tcp::socket socket) {
  return std::make_unique<PlainStream>(std::move(socket));
}

}  // namespace lancet
