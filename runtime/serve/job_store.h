// Jobs in an SQLite database: what is told to a client is on the disk first. Thread safe.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "graph/status.h"
#include "runtime/serve/job.h"

struct sqlite3;

namespace zoetrope {

class JobStore {
 public:
  // Makes the database where it is missing; jobs that a process left running are queued again, in
  // their old place, but those that did so kMostAttempts times: they have failed.
  static Result<std::unique_ptr<JobStore>> open(const std::string& path);
  ~JobStore();
  JobStore(const JobStore&) = delete;
  JobStore& operator=(const JobStore&) = delete;

  // Queues it, unless so many jobs wait already: kResourceExhausted, and `full`. `most_of_owner`:
  // of its own. A disk without room is kUnavailable.
  Status add(const ServeJob& job, int64_t most, int64_t most_of_owner, bool* full);
  Result<std::optional<ServeJob>> find(const std::string& id);
  // The owner's, behind `after` (an id; empty: from the begin), newest first or last.
  Result<std::vector<ServeJob>> list(const std::string& owner, int64_t limit,
                                     const std::string& after, bool newest_first);
  // Jobs of all owners before this one, and the seconds that they are expected to take.
  struct Ahead {
    int64_t jobs = 0;
    double seconds = 0;
  };
  Result<Ahead> ahead_of(const std::string& id);
  Result<int64_t> count(JobState state);
  // Expected of all that wait.
  Result<double> waiting_seconds();

  // The oldest queued job, now running, by one attempt more; none: there is none.
  Result<std::optional<ServeJob>> take();
  // A running job ends, or is queued again in its old place: with one attempt more, or as if there
  // had been none.
  // False: it is not running. `job`: its state, error, notices and bytes are what is stored.
  Result<bool> end(const ServeJob& job);
  Result<bool> requeue(const std::string& id, bool attempt);
  // False: it is not queued (any more).
  Result<bool> cancel_queued(const std::string& id);
  Status remove(const std::string& id);

  // The longest ended, and the oldest files, first.
  Result<std::vector<ServeJob>> ended(int64_t limit);
  // Unless files would take more than `most` bytes, or its owner's more than `most_of_owner`:
  // kResourceExhausted. 0: no limit.
  Status add_file(const GivenFile& file, int64_t most, int64_t most_of_owner);
  // The same, asked beforehand.
  Status check_room(const GivenFile& file, int64_t most, int64_t most_of_owner);
  Result<std::optional<GivenFile>> find_file(const std::string& id);
  Result<std::vector<GivenFile>> files(int64_t limit);
  Status remove_file(const std::string& id);
  // Of jobs and of given files.
  Result<int64_t> bytes();

 private:
  explicit JobStore(sqlite3* database) : database_(database) {}
  Status execute(const char* sql);
  Status check_room_locked(const GivenFile& file, int64_t most, int64_t most_of_owner);

  std::mutex mutex_;
  sqlite3* const database_;
};

}  // namespace zoetrope
