// The one exception type. It says that something outside the program was wrong: a file, a request, the network, the
// machine. Our own mistakes are CHECKs (check.h). It is caught in three places: main, the connection, the engine step.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace lancet {

/// What kind of thing was wrong. Maps to an HTTP status (server) and an exit code (cli).
enum class Fault {
  bad_request,       ///< a request breaks the contract: 400
  context_overflow,  ///< the prompt does not fit the context: 400 context_length_exceeded
  too_large,         ///< a stated limit was passed: 413
  not_found,         ///< no such file, model or route: 404
  busy,              ///< a queue is full; worth trying again: 429
  unavailable,       ///< loading or draining: 503
  timeout,           ///< waited in a queue longer than it was willing to: 503
  bad_file,          ///< a file contradicts its format or the model: exit 1
  unsupported,       ///< understood, but not something that Lancet does
  io,                ///< the operating system refused
  budget,            ///< work on untrusted input passed its budget
  cancelled,         ///< nobody waits for the result any more
  internal,          ///< a step failed for a reason that is not the request's: 500
};

/// Lower-case name of a fault, for logs: "bad_file".
std::string_view fault_name(Fault);

/// Thrown for everything that is wrong outside. The message is one sentence that names the thing, what was wanted and
/// what was found. `param` names the request field or file key at fault, or is empty.
class Error : public std::exception {
 public:
  Error(Fault fault, std::string message, std::string param = {})
      : fault_(fault), message_(std::move(message)), param_(std::move(param)) {}
  Fault fault() const { return fault_; }
  const std::string& message() const { return message_; }
  const std::string& param() const { return param_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  Fault fault_;
  std::string message_;
  std::string param_;
};

/// Untrusted text made safe to show in one line: control characters and ill-formed UTF-8 escaped, cut at
/// `limit_bytes` with an ellipsis, in double quotes.
std::string quoted(std::string_view text, size_t limit_bytes = 120);
/// The same for strings and literals; without these, argument-dependent lookup would prefer std::quoted.
inline std::string quoted(const std::string& text, size_t limit_bytes = 120) {
  return quoted(std::string_view(text), limit_bytes);
}
inline std::string quoted(const char* text, size_t limit_bytes = 120) {
  return quoted(std::string_view(text), limit_bytes);
}

}  // namespace lancet
