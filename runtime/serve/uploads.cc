#include "runtime/serve/uploads.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <random>

#include "graph/format/output_file.h"
#include "graph/text.h"
#include "runtime/media/media_reader.h"
#include "runtime/serve/request.h"

extern char** environ;

namespace zoetrope {
namespace {

using Json = nlohmann::json;

constexpr rlim_t kMemory = rlim_t{4} << 30;  // of the process that tries a file
constexpr rlim_t kProcessorSeconds = 60;
constexpr double kPatience = 120;        // seconds by the clock
constexpr size_t kMostAnswer = 1 << 16;  // bytes
constexpr int kMostRate = 120;           // frames a second that are counted

Status refused(const auto&... why) { return error(Code::kInvalidArgument, why...); }

// All that the process writes, until it ends or patience does.
std::string listen(int descriptor, double seconds) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  std::string answer;
  char part[4096];
  while (answer.size() < kMostAnswer) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    pollfd wait{descriptor, POLLIN, 0};
    if (left.count() <= 0) break;
    const int ready = ::poll(&wait, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) break;
    const ssize_t got = ::read(descriptor, part, sizeof(part));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    answer.append(part, static_cast<size_t>(got));
  }
  return answer;
}

// What `zoetrope try-media` says of the file.
Result<Json> try_apart(const std::string& path, double most_seconds) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return io_error(errno, "cannot make a pipe to try", path);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  const std::string seconds = str(most_seconds);
  const char* const words[] = {"zoetrope", "try-media", path.c_str(), seconds.c_str(), nullptr};
  pid_t child = 0;
  const int failed = ::posix_spawn(&child, "/proc/self/exe", &actions, nullptr,
                                   const_cast<char* const*>(words), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  const std::string answer = failed == 0 ? listen(ends[0], kPatience) : "";
  ::close(ends[0]);
  if (failed != 0) return io_error(failed, "cannot start the process that tries", path);
  ::kill(child, SIGKILL);  // it has said all, or taken too long
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  Json said = parse_json(answer);
  if (said.is_object()) return said;
  return refused("decoding it ended the process that tried it: it is damaged, or takes more than ",
                 kProcessorSeconds, " s or ", kMemory >> 30, " GiB");
}

void limit_this_process() {
  ::close_range(3, ~0U, 0);  // connections of the service's that a fork had
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const auto limit = [](auto what, rlim_t most) {
    const rlimit both{most, most};
    ::setrlimit(what, &both);
  };
#if !defined(__SANITIZE_ADDRESS__)  // whose shadow takes terabytes of address space
  limit(RLIMIT_AS, kMemory);
#endif
  limit(RLIMIT_CPU, kProcessorSeconds);
  limit(RLIMIT_FSIZE, 0);
  limit(RLIMIT_CORE, 0);
}

Result<Json> look_at(const std::string& path, double most_seconds) {
  Media sight, sound;
  ReadRequest pictures;
  pictures.width = pictures.height = 16;
  pictures.fit = Fit::kStretch;
  pictures.max_frames = static_cast<int64_t>(most_seconds * kMostRate) + 1;
  auto seen =
      read_media(path, pictures, [](std::span<const uint8_t>) { return Result<bool>(true); });
  if (!seen.ok() && seen.status().code() != Code::kNotFound) return seen.status();
  ReadRequest heard;
  heard.sound = true;
  heard.max_seconds = most_seconds;
  auto listened = read_media(path, heard);
  if (!listened.ok() && listened.status().code() != Code::kNotFound) return listened.status();
  if (!seen.ok() && !listened.ok()) return seen.status();
  if (seen.ok()) sight = std::move(*seen);
  if (listened.ok()) sound = std::move(*listened);
  if (sight.more_frames || sound.more_samples)
    return refused("it lasts more than ", most_seconds, " s, or has more than ", kMostRate,
                   " frames a second of that");
  const double seconds = sound.sample_rate > 0 ? static_cast<double>(sound.samples.size()) /
                                                     sound.channels / sound.sample_rate
                                               : 0;
  return Json{{"kind", sight.frames == 0                   ? "sound"
                       : sight.frames == 1 && seconds == 0 ? "picture"
                                                           : "clip"},
              {"frames", sight.frames},
              {"sound_seconds", seconds}};
}

}  // namespace

std::string new_id(const char* prefix) {
  std::random_device device;
  std::string id = prefix;
  for (int i = 0; i < 4; ++i) {
    char part[9];
    std::snprintf(part, sizeof(part), "%08x", device());
    id += part;
  }
  return id;
}

Json try_media(const std::string& path, double most_seconds) {
  limit_this_process();
  const auto facts = look_at(path, most_seconds);
  if (facts.ok()) return *facts;
  return {{"error",
           {{"code", std::string(code_name(facts.status().code()))},
            {"message", facts.status().message()}}}};
}

Result<GivenFile> Uploads::add(const std::string& owner, std::string_view bytes) {
  if (bytes.empty()) return refused("the file is empty");
  if (static_cast<int64_t>(bytes.size()) > limits_.bytes)
    return refused("the file has ", bytes.size(), " bytes; at most ", limits_.bytes);
  GivenFile file;
  file.id = new_id("file_");
  file.owner = owner;
  file.created = static_cast<int64_t>(std::time(nullptr));
  file.bytes = static_cast<int64_t>(bytes.size());
  ZT_RETURN_IF_ERROR(store_.check_room(file, limits_.all_bytes, limits_.owner_bytes));
  const std::string path = path_of(file.id);
  ZT_ASSIGN_OR_RETURN(OutputFile out, OutputFile::create(path));
  ZT_RETURN_IF_ERROR(out.write(bytes.data(), bytes.size()));
  ZT_RETURN_IF_ERROR(out.commit());
  auto facts = try_apart(path, limits_.seconds);
  Status status = facts.status();
  if (facts.ok() && facts->contains("error"))
    status = refused((*facts)["error"].value("message", "it cannot be decoded"));
  if (facts.ok()) file.facts = facts->dump();
  if (status.ok()) status = store_.add_file(file, limits_.all_bytes, limits_.owner_bytes);
  if (status.ok()) return file;
  ::unlink(path.c_str());
  return status;
}

Result<GivenFile> Uploads::find(const std::string& id, const std::string& owner) {
  ZT_ASSIGN_OR_RETURN(auto file, store_.find_file(id));
  if (!file || file->owner != owner) return error(Code::kNotFound, "there is no file '", id, "'");
  return std::move(*file);
}

Status Uploads::remove(const GivenFile& file) {
  ZT_RETURN_IF_ERROR(store_.remove_file(file.id));
  ::unlink(path_of(file.id).c_str());
  return Status();
}

}  // namespace zoetrope
