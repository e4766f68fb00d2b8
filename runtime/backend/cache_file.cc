#include "runtime/backend/cache_file.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "graph/format/hash.h"
#include "graph/status.h"

namespace zoetrope {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSeal = "zoetrope cache 1\n";

// The checksum as 16 hexadecimal digits and a newline.
std::string seal_of(std::string_view bytes) {
  const uint64_t hash = hash_bytes({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  char digits[18];
  std::snprintf(digits, sizeof(digits), "%016llx\n", static_cast<unsigned long long>(hash));
  return str(kSeal, digits);
}

}  // namespace

std::string cache_path(std::string_view name) {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (cache != nullptr && *cache == '/') return (fs::path(cache) / "zoetrope" / name).string();
  if (home != nullptr && *home == '/')
    return (fs::path(home) / ".cache" / "zoetrope" / name).string();
  return "";
}

bool write_cache(const std::string& path, std::string_view bytes) {
  static std::atomic<int> drafts{0};
  std::error_code ignored;
  fs::create_directories(fs::path(path).parent_path(), ignored);
  const std::string draft = str(path, ".", ::getpid(), ".", drafts++);
  std::ofstream file(draft, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  std::error_code failed;
  if (file) fs::rename(draft, path, failed);
  if (file && !failed) return true;
  fs::remove(draft, ignored);
  return false;
}

bool write_sealed_cache(const std::string& path, std::string_view bytes) {
  return write_cache(path, str(seal_of(bytes), bytes));
}

std::string read_sealed_cache(const std::string& path, size_t most) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const size_t head = seal_of("").size();
  const std::streamoff size = file.tellg();
  if (size < static_cast<std::streamoff>(head) || static_cast<size_t>(size) - head > most)
    return "";
  std::string all(static_cast<size_t>(size), '\0');
  if (!file.seekg(0).read(all.data(), size)) return "";
  const std::string bytes = all.substr(head);
  return all.compare(0, head, seal_of(bytes)) == 0 ? bytes : "";
}

}  // namespace zoetrope
