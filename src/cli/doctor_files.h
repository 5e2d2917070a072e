// Files that are not what their names say, and files that are not what the hub sent.
#pragma once

#include <filesystem>

#include "cli/doctor_report.h"

namespace lancet {

/// Looks at the head of every file of the model and, where a file is a link into a hub cache's blobs, compares its
/// content with the hash that its blob is named after, while there is time.
void examine_files(const std::filesystem::path& model, const Deadline&, Report&);

}  // namespace lancet
