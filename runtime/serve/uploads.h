// What clients give: pictures, clips and sound, kept in files. Each is decoded once, whole, by a
// process of its own with limits of memory and time, before anything else reads it: what ends that
// process, or what it refuses, is refused. Thread safe.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "runtime/serve/job_store.h"

namespace zoetrope {

struct UploadLimits {
  int64_t bytes = 64 << 20;
  double seconds = 600;                    // that a clip or sound may last
  int64_t all_bytes = 0, owner_bytes = 0;  // of all that are kept, of all and of one; 0: no limit
};

class Uploads {
 public:
  // `store` is kept by reference; the folder is there.
  Uploads(JobStore& store, std::string folder, UploadLimits limits)
      : store_(store), folder_(std::move(folder)), limits_(limits) {}

  // kInvalidArgument: it is not what the service takes, and why. kResourceExhausted: the quota.
  Result<GivenFile> add(const std::string& owner, std::string_view bytes);
  // Of this owner; another's is not found.
  Result<GivenFile> find(const std::string& id, const std::string& owner);
  Status remove(const GivenFile& file);
  std::string path_of(const std::string& id) const { return folder_ + "/" + id; }
  const UploadLimits& limits() const { return limits_; }

 private:
  JobStore& store_;
  const std::string folder_;
  const UploadLimits limits_;
};

// `prefix` and 128 bits that nobody guesses.
std::string new_id(const char* prefix);

// The other process's part: limits itself, decodes the file and says what it is, as JSON, or why it
// is nothing: {"error": {"code", "message"}}.
nlohmann::json try_media(const std::string& path, double most_seconds);

}  // namespace zoetrope
