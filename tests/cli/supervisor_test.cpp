// systemd's notification protocol, against a socket of our own.
#include "cli/supervisor.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

namespace lancet {
namespace {

class Supervisor : public ::testing::Test {
 protected:
  /// A socket at that path; '@' in front: in the abstract namespace.
  void listen(const std::string& path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    if (path[0] == '@') address.sun_path[0] = 0;
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    ASSERT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), length), 0);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  std::string heard() const {
    char buffer[256];
    const ssize_t got = ::recv(socket_, buffer, sizeof buffer, 0);
    return got < 0 ? "nothing" : std::string(buffer, static_cast<size_t>(got));
  }
  void TearDown() override {
    ::close(socket_);
    ::unsetenv("NOTIFY_SOCKET");
  }
  int socket_ = -1;
};

TEST_F(Supervisor, HearsEachMessageAsOneDatagram) {
  const std::string path = std::filesystem::temp_directory_path() / ("lancet-notify-" + std::to_string(::getpid()));
  listen(path);
  EXPECT_TRUE(tell_supervisor("READY=1\nSTATUS=ready"));
  EXPECT_EQ(heard(), "READY=1\nSTATUS=ready");
  EXPECT_EQ(heard(), "nothing");
  std::filesystem::remove(path);
}

#ifdef __linux__
TEST_F(Supervisor, HearsInTheAbstractNamespace) {
  listen("@lancet-notify-" + std::to_string(::getpid()));
  EXPECT_TRUE(tell_supervisor("STOPPING=1"));
  EXPECT_EQ(heard(), "STOPPING=1");
}
#endif

TEST_F(Supervisor, IsNotNeeded) {
  EXPECT_FALSE(tell_supervisor("READY=1"));
  for (const char* path : {"", "/no/such/socket", "relative", "@"}) {
    ::setenv("NOTIFY_SOCKET", path, 1);
    EXPECT_FALSE(tell_supervisor("READY=1")) << path;
  }
  ::setenv("NOTIFY_SOCKET", ("/" + std::string(200, 'x')).c_str(), 1);
  EXPECT_FALSE(tell_supervisor("READY=1"));
}

}  // namespace
}  // namespace lancet
