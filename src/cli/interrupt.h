// Ctrl-C as a flag that loops look at, instead of the end of the program.
#pragma once

namespace lancet {

/// From now on SIGINT, SIGWINCH and SIGCONT only raise flags, and end a poll() that waits.
void watch_terminal_signals();

/// True once for one or more SIGINT since the last call.
bool take_interrupt();
/// The same for SIGWINCH (the window has another size) and SIGCONT (the program was stopped).
bool take_resize();
bool take_continue();

}  // namespace lancet
