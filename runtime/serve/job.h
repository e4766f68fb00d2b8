// A job of the service, as its database keeps it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace zoetrope {

enum class JobState : uint8_t { kQueued, kRunning, kDone, kFailed, kCancelled };

inline constexpr std::string_view kJobStates[] = {"queued", "running", "done", "failed",
                                                  "cancelled"};
inline std::string_view job_state_name(JobState state) {
  return kJobStates[static_cast<size_t>(state)];
}

// A text for clients: of a path in `folder`, where the service keeps its files, the last name
// stays.
std::string without_paths(std::string text, const std::string& folder);

// Of a job that ends the process, or loses its device.
inline constexpr int64_t kMostAttempts = 3;

struct ServeJob {
  std::string id;     // nobody's to guess
  std::string owner;  // of the API key; empty where the service asks for none
  std::string model;  // by its name; empty in databases of before there were several: the first
  JobState state = JobState::kQueued;
  int64_t created = 0, started = 0, finished = 0;  // seconds since 1970; 0: not yet
  std::string request;                             // JSON: fields(V&, ClientRequest&)
  std::string prompt;
  uint64_t seed = 0;
  std::string output;  // the result's name in the job's folder
  // As planned.
  int64_t width = 0, height = 0, frames = 0, fps = 1;
  double estimated_seconds = 0;  // 0: not known
  std::string remix_of;          // another job's id; empty: none's
  std::string notices = "[]";    // JSON: what a person should know of it
  int64_t attempts = 0;          // begun, and not ended politely; at most kMostAttempts
  int64_t bytes = 0;             // of its files: given ones, and all once it is done
  // Of a job that failed: a code's name and the words.
  std::string error_code, error;
};

// What a client uploaded: its bytes lie in a file of the id's name.
struct GivenFile {
  std::string id, owner;
  int64_t created = 0, bytes = 0;
  std::string facts;  // JSON: kind, frames, seconds, sound
};

}  // namespace zoetrope
