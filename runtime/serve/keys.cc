#include "runtime/serve/keys.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>

#include "graph/format/output_file.h"
#include "graph/text.h"
#include "runtime/serve/uploads.h"

namespace zoetrope {
namespace {

constexpr std::string_view kPrefix = "sha256:";

bool is_key_digest(std::string_view text) {
  return text.size() == kPrefix.size() + 64 && text.starts_with(kPrefix) &&
         text.find_first_not_of("0123456789abcdef", kPrefix.size()) == std::string_view::npos;
}

std::string without_comment(const std::string& line) {
  for (size_t i = 0; i < line.size(); ++i)
    if (line[i] == '#' && (i == 0 || line[i - 1] == ' ' || line[i - 1] == '\t'))
      return line.substr(0, i);
  return line;
}

bool is_owner(const std::string& name) {
  return !name.empty() && name.size() <= 64 && name[0] != '#' && is_printable(name) &&
         name.find_first_of(" \t") == std::string::npos;
}

}  // namespace

// Keys are drawn, 256 bits of them: one round is enough.
std::string digest_of_key(std::string_view key) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(key.data(), key.size(), digest, &size, EVP_sha256(), nullptr) != 1) return "";
  return std::string(kPrefix) + to_hex(std::string(reinterpret_cast<const char*>(digest), size));
}

Result<std::vector<ApiKey>> read_api_keys(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0)
    return error(Code::kNotFound, path, ": there is no such file of keys; --new-key NAME makes it");
  if ((info.st_mode & 077) != 0)
    return error(Code::kInvalidArgument, path, ": others may read these keys; chmod 600 it");
  std::ifstream file(path);
  std::vector<ApiKey> keys;
  size_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    std::istringstream words(without_comment(line));
    ApiKey key;
    std::string more;
    if (!(words >> key.owner)) continue;
    if (!(words >> key.digest) || words >> more || !is_key_digest(key.digest))
      return error(Code::kInvalidArgument, path, ", line ", number,
                   ": expected NAME sha256:DIGEST; keys do not lie in the file as they are. "
                   "--new-key NAME makes one");
    keys.push_back(std::move(key));
  }
  if (keys.empty()) return error(Code::kInvalidArgument, path, " holds no keys");
  return keys;
}

Result<std::string> add_api_key(const std::string& path, const std::string& owner) {
  if (!is_owner(owner))
    return error(Code::kInvalidArgument, "--new-key: '", owner, "' is no name without spaces");
  const std::string key = new_id("zt-") + new_id("");
  const std::string line = owner + " " + digest_of_key(key) + "\n";
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) return io_error(errno, "cannot write", path);
  const ssize_t wrote = ::write(file, line.data(), line.size());
  const int wrong = wrote < 0 ? errno : 0;
  ::close(file);
  if (wrote != static_cast<ssize_t>(line.size())) return io_error(wrong, "cannot write", path);
  return key;
}

}  // namespace zoetrope
