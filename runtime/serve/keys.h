// Keys of the API. The file holds digests alone: who reads it can ask for nothing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

struct ApiKey {
  std::string owner, digest;  // "sha256:" and 64 hexadecimal digits
};

// Lines "NAME sha256:DIGEST"; a word that begins with # begins a comment. A file that others may
// read is refused.
Result<std::vector<ApiKey>> read_api_keys(const std::string& path);

// Draws a key for this name and adds its digest to the file, which is made where it is missing.
// The key itself is nowhere but in the answer.
Result<std::string> add_api_key(const std::string& path, const std::string& owner);

std::string digest_of_key(std::string_view key);

}  // namespace zoetrope
