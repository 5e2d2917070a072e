// A client that sends exactly the bytes it is told to, and reads answers one at a time.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <string>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "server/http.h"

namespace lancet::test {

struct Reply {
  int status = 0;                             // 0: the connection ended before an answer
  std::map<std::string, std::string> fields;  // names lower-case
  std::string body;                           // unchunked
  boost::json::value json() const { return boost::json::parse(body); }
  std::string error(const char* key) const {
    const auto value = json();
    const auto& member = value.at("error").at(key);
    return member.is_null() ? "null" : std::string(member.as_string());
  }
};

class HttpClient {
 public:
  /// `receive_bytes` is the kernel's buffer for what is not read; 0: its own choice.
  explicit HttpClient(uint16_t port, int receive_bytes = 0) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_bytes) ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const timeval patience{.tv_sec = 30, .tv_usec = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  ~HttpClient() { close(); }
  HttpClient(const HttpClient&) = delete;

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;  // the server closed: the answer says why
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }
  void half_close() { ::shutdown(socket_, SHUT_WR); }
  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }
  /// RST instead of FIN.
  void reset() {
    const linger hard{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close();
  }

  /// Reads until what was received contains the text; false at the end of the connection.
  bool wait_for(std::string_view text) {
    while (received_.find(text) == std::string::npos)
      if (!more()) return false;
    return true;
  }
  std::string read_all() {
    while (more()) {}
    return std::exchange(received_, {});
  }
  bool at_end() { return received_.empty() && !more(); }

  Reply read_reply(bool has_body = true) {
    Reply reply;
    do {  // interim responses are skipped
      reply = {};
      if (!wait_for("\r\n\r\n")) return reply;
      read_head(reply);
    } while (reply.status == 100);
    if (!has_body || reply.status == 204) return reply;
    if (reply.fields["transfer-encoding"] == "chunked") {
      read_chunks(reply);
    } else if (reply.fields.contains("content-length")) {
      const size_t length = std::stoul(reply.fields["content-length"]);
      while (received_.size() < length && more()) {}
      reply.body = received_.substr(0, length);
      received_.erase(0, length);
    } else {
      reply.body = read_all();
    }
    return reply;
  }

  static std::string post(std::string_view path, std::string_view body, std::string_view fields = "") {
    return "POST " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
           std::string(fields) + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
  }
  static std::string get(std::string_view path) {
    return "GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
  }
  Reply call(std::string_view bytes) {
    send(bytes);
    return read_reply();
  }

 private:
  bool more() {
    char buffer[65536];
    const ssize_t count = ::recv(socket_, buffer, sizeof buffer, 0);
    if (count > 0) received_.append(buffer, static_cast<size_t>(count));
    return count > 0;
  }
  void read_head(Reply& reply) {
    const size_t end = received_.find("\r\n\r\n");
    std::string head = received_.substr(0, end + 2);
    received_.erase(0, end + 4);
    reply.status = std::stoi(head.substr(9, 3));
    size_t at = head.find("\r\n") + 2;
    while (at < head.size()) {
      const size_t line_end = head.find("\r\n", at);
      const size_t colon = head.find(": ", at);
      std::string name = head.substr(at, colon - at);
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      reply.fields[name] = head.substr(colon + 2, line_end - colon - 2);
      at = line_end + 2;
    }
  }
  void read_chunks(Reply& reply) {
    while (true) {
      if (!wait_for("\r\n")) return;
      const size_t line = received_.find("\r\n");
      const size_t size = std::stoul(received_.substr(0, line), nullptr, 16);
      while (received_.size() < line + 2 + size + 2)
        if (!more()) return;
      reply.body += received_.substr(line + 2, size);
      received_.erase(0, line + 2 + size + 2);
      if (size == 0) return;
    }
  }

  int socket_;
  std::string received_;
};

}  // namespace lancet::test
