// Where the hub is and how it is asked: endpoint, token, patience. The variables are those of huggingface_hub.
#pragma once

#include <optional>
#include <string>

namespace lancet {

struct HubSettings {
  std::string endpoint = "https://huggingface.co";  // scheme, host, perhaps a path; no '/' at the end
  std::string token;                                // empty: none
  std::string token_source;                         // "$HF_TOKEN", a path; without a token: where one was looked for
  std::string ca_file;                              // PEM file of certificates to trust; empty: the system's
  bool offline = false;
  bool verify = false;  // what the cache has already is read and compared with its digest
  int attempts = 5;     // in a row without progress, for what may pass: no connection, 5xx, 429, a stalled transfer
  int stall_s = 30;     // a transfer of less than 1 kB/s for so long is stalled
};

/// The settings of this environment: $HF_ENDPOINT; the token in `token_file`, else $HF_TOKEN, else the file
/// $HF_TOKEN_PATH, else $HF_HOME/token; $HF_HUB_OFFLINE; $SSL_CERT_FILE. Throws Error{bad_request} for an endpoint that
/// is no http or https address and for a token that cannot be one; Error{not_found} for a `token_file` that is not
/// there.
HubSettings hub_settings(const std::string& token_file);

/// The variable, or nothing if it is unset or empty.
std::optional<std::string> environment(const char* name);

}  // namespace lancet
