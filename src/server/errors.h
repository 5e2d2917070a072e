// Errors on the wire: {"error": {message, type, param, code}}, all four always there (docs/api.md).
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "server/http.h"

namespace lancet {

/// An error whose status or code is not the one that its Fault stands for.
class ApiError : public Error {
 public:
  ApiError(int status, std::string code, std::string message, std::string param = {})
      : Error(Fault::bad_request, std::move(message), std::move(param)), status_(status), code_(std::move(code)) {}
  int status() const { return status_; }
  const std::string& code() const { return code_; }

 private:
  int status_;
  std::string code_;  // empty: null
};

/// The answer to a request that failed with this. Never contains a path or a stack.
HttpResponse error_response(const Error&);

/// The code, or "" for null.
std::string code_of(const Error&);

/// The error object alone, as one line of JSON: for a stream that has begun.
std::string error_json(const Error&);

}  // namespace lancet
