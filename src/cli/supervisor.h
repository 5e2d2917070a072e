// What a service manager that started the program wants to hear, by systemd's notification protocol (sd_notify(3)):
// datagrams of VARIABLE=value lines to the socket in $NOTIFY_SOCKET.
#pragma once

#include <string_view>

namespace lancet {

/// Sends "READY=1", "STATUS=loading", ... True if it was sent; without $NOTIFY_SOCKET nothing is. A socket that cannot
/// be reached costs a warning: the manager will notice by itself.
bool tell_supervisor(std::string_view message);

}  // namespace lancet
