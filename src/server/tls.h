// TLS for the connections, by OpenSSL.
#pragma once

#include <memory>
#include <string>

#include "server/stream.h"

namespace lancet {

/// A certificate chain with its key. Made once; streams of any thread use it.
class TlsContext {
 public:
  /// PEM files. Throws Error{bad_file} for what cannot be read or does not belong together.
  TlsContext(const std::string& certificate_file, const std::string& key_file);
  ~TlsContext();
  /// The server's side of a connection. TLS 1.2 or later; ALPN answers http/1.1 only.
  std::unique_ptr<Stream> make_stream(boost::asio::ip::tcp::socket) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lancet
