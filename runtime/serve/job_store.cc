#include "runtime/serve/job_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "graph/format/output_file.h"

namespace zoetrope {
namespace {

constexpr int kSchema = 3;  // PRAGMA user_version
constexpr const char* kFirst = R"(
  CREATE TABLE jobs (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, owner TEXT NOT NULL, state INTEGER NOT NULL,
    created INTEGER NOT NULL, started INTEGER NOT NULL, finished INTEGER NOT NULL, request TEXT NOT NULL,
    prompt TEXT NOT NULL, seed INTEGER NOT NULL, output TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    frames INTEGER NOT NULL, fps INTEGER NOT NULL, estimated REAL NOT NULL, error_code TEXT NOT NULL,
    error TEXT NOT NULL);
  CREATE INDEX jobs_by_state ON jobs (state, place);
  CREATE INDEX jobs_by_owner ON jobs (owner, place);)";
// What makes each format of the one before.
constexpr const char* kSteps[kSchema] = {
    kFirst, "ALTER TABLE jobs ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;", R"(
  ALTER TABLE jobs ADD COLUMN model TEXT NOT NULL DEFAULT '';
  ALTER TABLE jobs ADD COLUMN remix_of TEXT NOT NULL DEFAULT '';
  ALTER TABLE jobs ADD COLUMN notices TEXT NOT NULL DEFAULT '[]';
  ALTER TABLE jobs ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
  CREATE TABLE files (
    id TEXT PRIMARY KEY NOT NULL, owner TEXT NOT NULL, created INTEGER NOT NULL, bytes INTEGER NOT NULL,
    facts TEXT NOT NULL);)"};
#define ZT_JOB_COLUMNS                                                                           \
  "id, owner, state, created, started, finished, request, prompt, seed, output, width, height, " \
  "frames, fps, estimated, error_code, error, model, remix_of, notices, bytes, "                 \
  "attempts"

Status sql_error(sqlite3* database, int code) {
  const char* text = database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(code);
  const int primary = code & 0xff;
  return error(primary == SQLITE_FULL                                  ? Code::kResourceExhausted
               : primary == SQLITE_NOMEM                               ? Code::kUnavailable
               : primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB ? Code::kDataLoss
                                                                       : Code::kIoError,
               "the jobs' database: ", text);
}

// One statement, run once.
class Query {
 public:
  Query(sqlite3* database, const char* sql) : database_(database) {
    code_ = sqlite3_prepare_v2(database, sql, -1, &statement_, nullptr);
  }
  ~Query() { sqlite3_finalize(statement_); }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  Query& bind(const std::string& text) {
    if (code_ == SQLITE_OK)
      code_ = sqlite3_bind_text64(statement_, ++bound_, text.data(), text.size(), SQLITE_TRANSIENT,
                                  SQLITE_UTF8);
    return *this;
  }
  Query& bind(int64_t number) {
    if (code_ == SQLITE_OK) code_ = sqlite3_bind_int64(statement_, ++bound_, number);
    return *this;
  }
  Query& bind(double number) {
    if (code_ == SQLITE_OK) code_ = sqlite3_bind_double(statement_, ++bound_, number);
    return *this;
  }
  Query& bind(JobState state) { return bind(static_cast<int64_t>(state)); }

  // Whether there is a row.
  Result<bool> step() {
    if (code_ == SQLITE_OK) code_ = sqlite3_step(statement_);
    const int code = code_;
    if (code != SQLITE_ROW && code != SQLITE_DONE) return sql_error(database_, code);
    code_ = SQLITE_OK;
    return code == SQLITE_ROW;
  }
  Status run() { return step().status(); }

  int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  double number(int column) const { return sqlite3_column_double(statement_, column); }
  std::string text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    return bytes == nullptr
               ? std::string()
               : std::string(bytes, static_cast<size_t>(sqlite3_column_bytes(statement_, column)));
  }

 private:
  sqlite3* database_;
  sqlite3_stmt* statement_ = nullptr;
  int code_ = SQLITE_OK, bound_ = 0;
};

ServeJob read_job(const Query& row) {
  ServeJob job;
  job.id = row.text(0);
  job.owner = row.text(1);
  job.state = static_cast<JobState>(row.integer(2));
  job.created = row.integer(3);
  job.started = row.integer(4);
  job.finished = row.integer(5);
  job.request = row.text(6);
  job.prompt = row.text(7);
  job.seed = static_cast<uint64_t>(row.integer(8));
  job.output = row.text(9);
  job.width = row.integer(10);
  job.height = row.integer(11);
  job.frames = row.integer(12);
  job.fps = row.integer(13);
  job.estimated_seconds = row.number(14);
  job.error_code = row.text(15);
  job.error = row.text(16);
  job.model = row.text(17);
  job.remix_of = row.text(18);
  job.notices = row.text(19);
  job.bytes = row.integer(20);
  job.attempts = row.integer(21);
  return job;
}

GivenFile read_file(const Query& row) {
  return {row.text(0), row.text(1), row.integer(2), row.integer(3), row.text(4)};
}

// Every row.
template <typename T>
Result<std::vector<T>> all(Query& query, T (*read)(const Query&)) {
  std::vector<T> rows;
  while (true) {
    ZT_ASSIGN_OR_RETURN(const bool found, query.step());
    if (!found) return rows;
    rows.push_back(read(query));
  }
}

int64_t now() { return static_cast<int64_t>(std::time(nullptr)); }

// One number.
Result<double> ask(Query& query) {
  ZT_ASSIGN_OR_RETURN(const bool found, query.step());
  return found ? query.number(0) : 0.0;
}

}  // namespace

Result<std::unique_ptr<JobStore>> JobStore::open(const std::string& path) {
  // SQLite gives its journals the rights of the database.
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return io_error(errno, "cannot write", path);
  const int refused = ::fchmod(file, 0600) != 0 ? errno : 0;
  ::close(file);  // before SQLite's locks, which closing would end
  if (refused != 0) return io_error(refused, "cannot keep others from", path);
  sqlite3* database = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &database,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, nullptr);
  std::unique_ptr<JobStore> store(new JobStore(database));  // closes it, whatever comes
  if (code != SQLITE_OK) return sql_error(database, code).with_context(path);
  sqlite3_busy_timeout(database, 5000);
  // A job that a client heard of survives the machine's crash, too.
  ZT_RETURN_IF_ERROR(store->execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"));
  Query version(database, "PRAGMA user_version");
  ZT_ASSIGN_OR_RETURN(const double schema, ask(version));
  if (schema > kSchema)
    return error(Code::kUnsupported, path, ": its jobs are of format ", schema,
                 "; this version knows ", kSchema);
  for (int step = static_cast<int>(schema); step < kSchema; ++step)
    ZT_RETURN_IF_ERROR(store->execute(
        str("BEGIN;", kSteps[step], "PRAGMA user_version = ", step + 1, "; COMMIT;").c_str()));
  Query fatal(database,
              "UPDATE jobs SET state = ?, finished = ?, error_code = ?, error = ?, bytes = 0 WHERE "
              "state = ? AND attempts >= ?");
  ZT_RETURN_IF_ERROR(fatal.bind(JobState::kFailed)
                         .bind(now())
                         .bind(std::string(code_name(Code::kInternal)))
                         .bind(str("the service ended ", kMostAttempts,
                                   " times while it made this clip; it is not tried again"))
                         .bind(JobState::kRunning)
                         .bind(int64_t{kMostAttempts})
                         .run());
  Query again(database, "UPDATE jobs SET state = ? WHERE state = ?");
  ZT_RETURN_IF_ERROR(again.bind(JobState::kQueued).bind(JobState::kRunning).run());
  return store;
}

JobStore::~JobStore() { sqlite3_close(database_); }

Status JobStore::execute(const char* sql) {
  const int code = sqlite3_exec(database_, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? Status() : sql_error(database_, code);
}

Status JobStore::add(const ServeJob& j, int64_t most, int64_t most_of_owner, bool* full) {
  *full = false;
  const std::lock_guard lock(mutex_);
  Query all(database_, "SELECT count(*) FROM jobs WHERE state = ?");
  ZT_ASSIGN_OR_RETURN(const double waiting, ask(all.bind(JobState::kQueued)));
  Query own(database_, "SELECT count(*) FROM jobs WHERE state = ? AND owner = ?");
  ZT_ASSIGN_OR_RETURN(const double of_owner, ask(own.bind(JobState::kQueued).bind(j.owner)));
  *full = waiting >= static_cast<double>(most) || of_owner >= static_cast<double>(most_of_owner);
  if (*full)
    return error(Code::kResourceExhausted, "the queue is full: ", waiting, " jobs wait (at most ",
                 most, "), ", of_owner, " of them yours (at most ", most_of_owner, ")");
  Query insert(database_,
               "INSERT INTO jobs (" ZT_JOB_COLUMNS
               ") VALUES (?, ?, ?, ?, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', ?, ?, ?, ?, 0)");
  return insert.bind(j.id)
      .bind(j.owner)
      .bind(JobState::kQueued)
      .bind(j.created)
      .bind(j.request)
      .bind(j.prompt)
      .bind(static_cast<int64_t>(j.seed))
      .bind(j.output)
      .bind(j.width)
      .bind(j.height)
      .bind(j.frames)
      .bind(j.fps)
      .bind(j.estimated_seconds)
      .bind(j.model)
      .bind(j.remix_of)
      .bind(j.notices)
      .bind(j.bytes)
      .run();
}

Result<std::optional<ServeJob>> JobStore::find(const std::string& id) {
  const std::lock_guard lock(mutex_);
  Query query(database_, "SELECT " ZT_JOB_COLUMNS " FROM jobs WHERE id = ?");
  ZT_ASSIGN_OR_RETURN(const bool found, query.bind(id).step());
  return found ? std::optional(read_job(query)) : std::nullopt;
}

Result<std::vector<ServeJob>> JobStore::list(const std::string& owner, int64_t limit,
                                             const std::string& after, bool newest_first) {
  const std::lock_guard lock(mutex_);
  Query query(database_,
              newest_first
                  ? "SELECT " ZT_JOB_COLUMNS
                    " FROM jobs WHERE owner = ?1 AND (?2 = '' OR place < (SELECT place FROM jobs "
                    "WHERE id = ?2 AND owner = ?1)) ORDER BY place DESC LIMIT ?3"
                  : "SELECT " ZT_JOB_COLUMNS
                    " FROM jobs WHERE owner = ?1 AND (?2 = '' OR place > (SELECT place FROM jobs "
                    "WHERE id = ?2 AND owner = ?1)) ORDER BY place LIMIT ?3");
  return all<ServeJob>(query.bind(owner).bind(after).bind(limit), read_job);
}

Result<JobStore::Ahead> JobStore::ahead_of(const std::string& id) {
  const std::lock_guard lock(mutex_);
  Query query(database_,
              "SELECT count(*), total(estimated) FROM jobs WHERE state IN (?, ?) AND place < "
              "(SELECT place FROM jobs WHERE id = ?)");
  ZT_RETURN_IF_ERROR(query.bind(JobState::kQueued).bind(JobState::kRunning).bind(id).run());
  return Ahead{query.integer(0), query.number(1)};
}

Result<int64_t> JobStore::count(JobState state) {
  const std::lock_guard lock(mutex_);
  Query query(database_, "SELECT count(*) FROM jobs WHERE state = ?");
  ZT_ASSIGN_OR_RETURN(const double counted, ask(query.bind(state)));
  return static_cast<int64_t>(counted);
}

Result<double> JobStore::waiting_seconds() {
  const std::lock_guard lock(mutex_);
  Query query(database_, "SELECT total(estimated) FROM jobs WHERE state = ?");
  return ask(query.bind(JobState::kQueued));
}

Result<std::optional<ServeJob>> JobStore::take() {
  const std::lock_guard lock(mutex_);
  Query query(database_,
              "UPDATE jobs SET state = ?, attempts = attempts + 1, started = CASE started WHEN 0 "
              "THEN ? ELSE "
              "started END WHERE place = (SELECT min(place) FROM jobs WHERE state = ?) "
              "RETURNING " ZT_JOB_COLUMNS);
  ZT_ASSIGN_OR_RETURN(const bool found,
                      query.bind(JobState::kRunning).bind(now()).bind(JobState::kQueued).step());
  if (!found) return std::optional<ServeJob>();
  const ServeJob job = read_job(query);
  ZT_RETURN_IF_ERROR(query.run());  // to its end: only then it is written
  return std::optional(job);
}

Result<bool> JobStore::end(const ServeJob& job) {
  const std::lock_guard lock(mutex_);
  Query query(database_,
              "UPDATE jobs SET state = ?, finished = ?, error_code = ?, error = ?, notices = ?, "
              "bytes = ? WHERE id = ? AND state = ?");
  ZT_RETURN_IF_ERROR(query.bind(job.state)
                         .bind(now())
                         .bind(job.error_code)
                         .bind(job.error)
                         .bind(job.notices)
                         .bind(job.bytes)
                         .bind(job.id)
                         .bind(JobState::kRunning)
                         .run());
  return sqlite3_changes(database_) > 0;
}

Result<bool> JobStore::requeue(const std::string& id, bool attempt) {
  const std::lock_guard lock(mutex_);
  Query query(
      database_,
      "UPDATE jobs SET state = ?, attempts = max(attempts - ?, 0) WHERE id = ? AND state = ?");
  ZT_RETURN_IF_ERROR(query.bind(JobState::kQueued)
                         .bind(int64_t{attempt ? 0 : 1})
                         .bind(id)
                         .bind(JobState::kRunning)
                         .run());
  return sqlite3_changes(database_) > 0;
}

Result<bool> JobStore::cancel_queued(const std::string& id) {
  const std::lock_guard lock(mutex_);
  Query query(database_,
              "UPDATE jobs SET state = ?, finished = ?, bytes = 0 WHERE id = ? AND state = ?");
  ZT_RETURN_IF_ERROR(
      query.bind(JobState::kCancelled).bind(now()).bind(id).bind(JobState::kQueued).run());
  return sqlite3_changes(database_) > 0;
}

Status JobStore::remove(const std::string& id) {
  const std::lock_guard lock(mutex_);
  Query query(database_, "DELETE FROM jobs WHERE id = ?");
  return query.bind(id).run();
}

Result<std::vector<ServeJob>> JobStore::ended(int64_t limit) {
  const std::lock_guard lock(mutex_);
  Query query(database_, "SELECT " ZT_JOB_COLUMNS
                         " FROM jobs WHERE finished > 0 ORDER BY finished, place LIMIT ?");
  return all<ServeJob>(query.bind(limit), read_job);
}

Status JobStore::check_room(const GivenFile& file, int64_t most, int64_t most_of_owner) {
  const std::lock_guard lock(mutex_);
  return check_room_locked(file, most, most_of_owner);
}

Status JobStore::check_room_locked(const GivenFile& file, int64_t most, int64_t most_of_owner) {
  Query all(database_, "SELECT total(bytes) FROM files");
  ZT_ASSIGN_OR_RETURN(const double taken, ask(all));
  Query own(database_, "SELECT total(bytes) FROM files WHERE owner = ?");
  ZT_ASSIGN_OR_RETURN(const double of_owner, ask(own.bind(file.owner)));
  const auto fits = [&](double before, int64_t limit) {
    return limit <= 0 || before + static_cast<double>(file.bytes) <= static_cast<double>(limit);
  };
  if (fits(taken, most) && fits(of_owner, most_of_owner)) return Status();
  return error(Code::kResourceExhausted, "no room for ", file.bytes, " bytes: uploads take ",
               static_cast<int64_t>(taken), " (at most ", most, "), ",
               static_cast<int64_t>(of_owner), " of them yours (at most ", most_of_owner,
               "); DELETE /api/files/ID removes one, and each goes after a day");
}

Status JobStore::add_file(const GivenFile& file, int64_t most, int64_t most_of_owner) {
  const std::lock_guard lock(mutex_);
  ZT_RETURN_IF_ERROR(check_room_locked(file, most, most_of_owner));
  Query query(database_,
              "INSERT INTO files (id, owner, created, bytes, facts) VALUES (?, ?, ?, ?, ?)");
  return query.bind(file.id)
      .bind(file.owner)
      .bind(file.created)
      .bind(file.bytes)
      .bind(file.facts)
      .run();
}

Result<std::optional<GivenFile>> JobStore::find_file(const std::string& id) {
  const std::lock_guard lock(mutex_);
  Query query(database_, "SELECT id, owner, created, bytes, facts FROM files WHERE id = ?");
  ZT_ASSIGN_OR_RETURN(const bool found, query.bind(id).step());
  return found ? std::optional(read_file(query)) : std::nullopt;
}

Result<std::vector<GivenFile>> JobStore::files(int64_t limit) {
  const std::lock_guard lock(mutex_);
  Query query(database_,
              "SELECT id, owner, created, bytes, facts FROM files ORDER BY created, rowid LIMIT ?");
  return all<GivenFile>(query.bind(limit), read_file);
}

Status JobStore::remove_file(const std::string& id) {
  const std::lock_guard lock(mutex_);
  Query query(database_, "DELETE FROM files WHERE id = ?");
  return query.bind(id).run();
}

Result<int64_t> JobStore::bytes() {
  const std::lock_guard lock(mutex_);
  Query query(database_,
              "SELECT (SELECT total(bytes) FROM jobs) + (SELECT total(bytes) FROM files)");
  ZT_ASSIGN_OR_RETURN(const double all, ask(query));
  return static_cast<int64_t>(all);
}

}  // namespace zoetrope
