#include "cli/supervisor.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "base/log.h"

namespace lancet {
namespace {

/// 0 or an errno.
int send_datagram(std::string_view path, std::string_view message) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return ENAMETOOLONG;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = 0;  // Linux's abstract namespace
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  const int file = ::socket(AF_UNIX, SOCK_DGRAM, 0);
  if (file < 0) return errno;
  const ssize_t sent =
      ::sendto(file, message.data(), message.size(), 0, reinterpret_cast<const sockaddr*>(&address), length);
  const int reason = sent < 0 ? errno : 0;
  ::close(file);
  return reason;
}

}  // namespace

bool tell_supervisor(std::string_view message) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (!path || !*path) return false;
  const int reason = *path == '/' || *path == '@' ? send_datagram(path, message) : EAFNOSUPPORT;
  if (reason) log_warning(fmt::format("NOTIFY_SOCKET cannot be reached: {}", std::strerror(reason)));
  return reason == 0;
}

}  // namespace lancet
