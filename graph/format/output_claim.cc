#include "graph/format/output_claim.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "graph/format/hash.h"
#include "graph/format/output_target.h"

namespace zoetrope {

// A folder, or a file with several names. One open handle serves the whole process: locks of one
// handle do not exclude each other.
struct OutputClaim::Place {
  int descriptor = -1;
  const pid_t process = ::getpid();
  std::map<int64_t, int> claims;  // of this process, by offset
  ~Place() {
    if (descriptor >= 0) ::close(descriptor);
  }
};

namespace {

using Place = OutputClaim::Place;
using Spot = OutputClaim::Spot;
using FileId = std::pair<dev_t, ino_t>;

struct Places {
  std::mutex mutex;
  std::map<FileId, std::weak_ptr<Place>> open;
};

// Never destroyed, as claims may outlive main(); a forked process has its own, as its parent's
// handles lock nothing against the parent, and a mutex may have been held.
Places& places() {
  static Places* all = new Places;
  [[maybe_unused]] static const int told =
      ::pthread_atfork(nullptr, nullptr, [] { all = new Places; });
  return *all;
}

// Null where it may not be opened for reading.
Result<std::shared_ptr<Place>> open_place(const std::string& path, FileId* id) {
  Places& all = places();
  const std::shared_ptr<Place> none;
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return none;
  *id = {info.st_dev, info.st_ino};
  if (const auto found = all.open.find(*id); found != all.open.end())
    if (auto place = found->second.lock()) return place;
  auto place = std::make_shared<Place>();
  place->descriptor = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (place->descriptor < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
    return io_error(errno, "cannot claim", path);
  if (place->descriptor < 0 || ::fstat(place->descriptor, &info) != 0) return none;
  if (*id != FileId(info.st_dev, info.st_ino)) return none;  // replaced just now
  std::erase_if(all.open, [](const auto& entry) { return entry.second.expired(); });
  all.open[*id] = place;
  return place;
}

// Names that differ in their last number alone lie side by side, so that a sequence's locks are
// one to the kernel, whose time grows with their count. Below 2^62.
int64_t offset_of(std::string_view name) {
  constexpr size_t kMostDigits = 9;
  constexpr int kNumberBits = 30;
  const auto is_digit = [&](size_t at) { return name[at] >= '0' && name[at] <= '9'; };
  size_t end = std::min(name.rfind('.'), name.size());
  while (end > 0 && !is_digit(end - 1)) --end;
  size_t begin = end;
  int64_t number = 0;
  while (begin > 0 && end - begin < kMostDigits && is_digit(begin - 1)) --begin;
  for (size_t i = begin; i < end; ++i) number = number * 10 + (name[i] - '0');
  const std::string others = str(name.substr(0, begin), "/", end - begin, "/", name.substr(end));
  const uint64_t hash =
      hash_bytes({reinterpret_cast<const uint8_t*>(others.data()), others.size()});
  return static_cast<int64_t>(hash >> 32) << kNumberBits | number;
}

// A claim is made in two steps, as folders can be locked for reading alone, which excludes nobody:
// who tries has the lock at `offset`, who holds has it so much further.
constexpr int64_t kHeld = int64_t{1} << 62;

struct flock lock_of(int type, int64_t offset, int64_t count) {
  struct flock lock {};
  lock.l_type = static_cast<short>(type);
  lock.l_whence = SEEK_SET;
  lock.l_start = offset;
  lock.l_len = count;
  return lock;
}

// False: there are no such locks here, or none is left. Locks for reading conflict with none.
bool set_lock(int file, int type, int64_t offset, int64_t count) {
  struct flock lock = lock_of(type, offset, count);
  int result = 0;
  do result = ::fcntl(file, F_OFD_SETLK, &lock);
  while (result != 0 && errno == EINTR);
  return result == 0;
}

// An offset that another handle has locked.
std::optional<int64_t> locked_by_others(int file, int64_t offset, int64_t count) {
  struct flock lock = lock_of(F_WRLCK, offset, count);
  if (::fcntl(file, F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return std::nullopt;
  return std::max<int64_t>(lock.l_start, offset);
}

// The offset that another process holds; none: they are ours, or there are no such locks here.
std::optional<int64_t> lock_run(int file, int64_t offset, int64_t count) {
  constexpr std::chrono::seconds kPatience{5};  // a process may be stopped while it tries
  static std::minstd_rand random(std::random_device{}());
  const auto begun = std::chrono::steady_clock::now();
  while (true) {
    if (!set_lock(file, F_RDLCK, offset, count)) return std::nullopt;
    // In this order: who stops trying holds before.
    const auto tried = locked_by_others(file, offset, count);
    const auto held = locked_by_others(file, kHeld + offset, count);
    if (!tried && !held) set_lock(file, F_RDLCK, kHeld + offset, count);  // as the first went
    set_lock(file, F_UNLCK, offset, count);
    if (held) return *held - kHeld;
    if (!tried) return std::nullopt;
    if (std::chrono::steady_clock::now() - begun > kPatience) return tried;
    std::this_thread::sleep_for(std::chrono::microseconds(100 + random() % 4000));
  }
}

struct Wanted {
  Spot spot;
  FileId id;
  const OutputTarget* target = nullptr;
};

Status add_spots(const OutputTarget& target, std::vector<Wanted>* wanted) {
  if (target.device || target.descriptor >= 0) return Status();
  FileId id;
  ZT_ASSIGN_OR_RETURN(auto folder, open_place(folder_of(target.path), &id));
  if (folder != nullptr) {
    const std::string name = comparable_name(folder->descriptor, name_of(target.path));
    wanted->push_back({{std::move(folder), offset_of(name)}, id, &target});
  }
  if (target.names <= 1) return Status();
  ZT_ASSIGN_OR_RETURN(auto file, open_place(target.path, &id));
  if (file != nullptr) wanted->push_back({{std::move(file), 0}, id, &target});
  return Status();
}

}  // namespace

// In one order for all processes, so that of two that want the same names one gets them all.
Result<OutputClaim> OutputClaim::take(std::span<const OutputTarget> targets) {
  OutputClaim claim;  // dropped after the lock
  const std::lock_guard lock(places().mutex);
  std::vector<Wanted> wanted;
  for (const OutputTarget& target : targets) ZT_RETURN_IF_ERROR(add_spots(target, &wanted));
  std::stable_sort(wanted.begin(), wanted.end(), [](const Wanted& a, const Wanted& b) {
    return std::pair(a.id, a.spot.offset) < std::pair(b.id, b.spot.offset);
  });
  claim.held_.reserve(wanted.size());
  for (size_t begin = 0, end = 0; begin < wanted.size(); begin = end) {
    Place& place = *wanted[begin].spot.place;
    const int64_t first = wanted[begin].spot.offset;
    const bool ours = place.claims[first] > 0;
    int64_t next = first;  // past the run of offsets that are claimed with one call
    for (; end < wanted.size() && wanted[end].spot.place.get() == &place; ++end) {
      const int64_t offset = wanted[end].spot.offset;
      if (offset != next && offset + 1 != next) break;
      if ((place.claims[offset] > 0) != ours) break;
      next = offset + 1;
    }
    if (const auto held = ours ? std::nullopt : lock_run(place.descriptor, first, next - first)) {
      const auto taken =
          std::find_if(wanted.begin() + static_cast<std::ptrdiff_t>(begin), wanted.end(),
                       [&](const Wanted& w) { return w.spot.offset >= *held; });
      return error(Code::kUnavailable, "cannot write ", taken->target->given,
                   ": another zoetrope is writing it; wait for that one, or give another name");
    }
    for (size_t i = begin; i < end; ++i) {
      ++place.claims[wanted[i].spot.offset];
      claim.held_.push_back(std::move(wanted[i].spot));
    }
  }
  return claim;
}

Result<OutputClaim> OutputClaim::take(const std::string& path) {
  ZT_ASSIGN_OR_RETURN(const OutputTarget target, resolve_output(path));
  return take({&target, 1});
}

OutputClaim& OutputClaim::operator=(OutputClaim&& other) noexcept {
  std::swap(held_, other.held_);
  return *this;
}

// Unlocks by itself what closing would: a forked process may have the handle, too. That one must
// not, as the lock is the parent's.
void OutputClaim::release() noexcept {
  if (held_.empty()) return;
  const std::lock_guard lock(places().mutex);
  for (const Spot& spot : held_) {
    if (spot.place->process != ::getpid()) continue;
    const auto claims = spot.place->claims.find(spot.offset);
    if (--claims->second > 0) continue;
    set_lock(spot.place->descriptor, F_UNLCK, kHeld + spot.offset, 1);
    spot.place->claims.erase(claims);
  }
  held_.clear();
}

}  // namespace zoetrope
