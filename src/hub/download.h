// One file of a repository into the cache: resumed, verified, renamed into place. The final name exists only with the
// right content.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "hub/http.h"
#include "hub/repository.h"

namespace lancet {

struct BlobRequest {
  std::string url, commit;
  RepositoryFile file;
  std::filesystem::path blobs;  // the folder; exists
  std::filesystem::path lock;   // the file; its folder exists
  HttpClient::Note note;
  std::function<void(uint64_t have)> progress;  // bytes of this file that are there
};

struct BlobResult {
  bool changed = false;  // the hub has another file there than it said: what was fetched is thrown away
  uint64_t fetched_bytes = 0;
};

/// True if the file is there under its final name: then it was verified by whoever put it there.
bool blob_present(const std::filesystem::path& blobs, const RepositoryFile&);

/// Bytes of the file that need not be fetched: all, those of an unfinished download, or none.
uint64_t bytes_present(const std::filesystem::path& blobs, const RepositoryFile&);

/// Fetches blobs/<digest>, in blobs/<digest>.incomplete until it is verified. Two processes take turns. Content that
/// does not have the digest is kept as blobs/<digest>.corrupt. Throws Error{bad_file}, Error{io}, Error{unavailable}.
BlobResult fetch_blob(HttpClient& http, const BlobRequest&);

/// The sentence for an answer that is neither 200 nor 206; `what` is "owner/repo" or a file in it.
[[noreturn]] void refuse_status(const HubResponse&, const std::string& what, const HubSettings&);

/// Throws if an answer is a page for people where data were wanted: a portal that wants a login, or a proxy.
void refuse_page(const HubResponse&, const std::string& what);

}  // namespace lancet
