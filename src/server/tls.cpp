// The one file of ours that includes OpenSSL; the part of Asio that does is compiled in asio.cpp.
#include "server/tls.h"

#include <array>

#include <fmt/format.h>

#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>

#include "base/error.h"

namespace lancet {
namespace asio = boost::asio;
namespace ssl = asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

/// Offers of other protocols are left unanswered, as if there were no ALPN; the client then decides.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                    unsigned int in_size, void*) {
  static constexpr unsigned char kOurs[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kOurs, sizeof kOurs, in, in_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_NOACK;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

class TlsStream : public Stream {
 public:
  TlsStream(tcp::socket socket, ssl::context& context) : Stream(std::move(socket)), tls_(this->socket(), context) {}

  void async_handshake(Handler handler) override {
    tls_.async_handshake(ssl::stream_base::server,
                         [handler = std::move(handler)](error_code error) { handler(error, 0); });
  }

  void async_read(ReadHandler handler) override {
    tls_.async_read_some(asio::buffer(buffer_), [this, handler = std::move(handler)](error_code error, size_t count) {
      handler(error, {buffer_.data(), count});
    });
  }

  void async_write_some(std::string_view bytes, Handler handler) override {
    tls_.async_write_some(asio::buffer(bytes), std::move(handler));
  }

 private:
  ssl::stream<tcp::socket&> tls_;
  std::array<char, 4096> buffer_;
};

}  // namespace

struct TlsContext::State {
  ssl::context context{ssl::context::tls_server};
};

TlsContext::TlsContext(const std::string& certificate_file, const std::string& key_file)
    : state_(std::make_unique<State>()) {
  SSL_CTX* handle = state_->context.native_handle();
  SSL_CTX_set_min_proto_version(handle, TLS1_2_VERSION);
  SSL_CTX_set_alpn_select_cb(handle, choose_protocol, nullptr);
  SSL_CTX_set_mode(handle, SSL_MODE_RELEASE_BUFFERS);  // idle connections keep none
  error_code error;
  state_->context.use_certificate_chain_file(certificate_file, error);
  if (error)
    throw Error(Fault::bad_file,
                fmt::format("cannot use {} as a TLS certificate chain: {}", quoted(certificate_file), error.message()));
  state_->context.use_private_key_file(key_file, ssl::context::pem, error);
  if (error)
    throw Error(Fault::bad_file, fmt::format("cannot use {} as the TLS key of {}: {}", quoted(key_file),
                                             quoted(certificate_file), error.message()));
}

TlsContext::~TlsContext() = default;

std::unique_ptr<Stream> TlsContext::make_stream(tcp::socket socket) const {
  return std::make_unique<TlsStream>(std::move(socket), state_->context);
}

}  // namespace lancet
