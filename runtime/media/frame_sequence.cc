#include "runtime/media/frame_sequence.h"

#include <algorithm>
#include <filesystem>

#include "graph/format/folder_listing.h"

namespace zoetrope {

Result<std::vector<std::string>> find_frame_sequence(const std::string& path) {
  std::vector<std::string> files;
  const size_t name = path.find_last_of('/') + 1, percent = path.find('%', name);
  if (percent == std::string::npos) return files;
  size_t end = percent + 1;
  size_t width = 0;
  while (end < path.size() && path[end] >= '0' && path[end] <= '9' && width < 100)
    width = width * 10 + static_cast<size_t>(path[end++] - '0');
  std::error_code ec;
  if (end >= path.size() || path[end] != 'd' || std::filesystem::exists(path, ec)) return files;
  const std::string head = path.substr(name, percent - name), tail = path.substr(end + 1);
  const std::string folder = name == 0 ? "." : path.substr(0, name);
  std::vector<std::pair<int64_t, std::string>> found;
  ZT_ASSIGN_OR_RETURN(const std::vector<std::string> names, list_folder(folder));
  for (const std::string& file : names) {
    if (file.size() <= head.size() + tail.size() || file.rfind(head, 0) != 0 ||
        file.compare(file.size() - tail.size(), tail.size(), tail) != 0)
      continue;
    const std::string number = file.substr(head.size(), file.size() - head.size() - tail.size());
    // As printf writes it: padded to the width, and no more zeros than that.
    if (number.size() < width || number.size() > 15 ||
        number.find_first_not_of("0123456789") != std::string::npos ||
        (number.size() > std::max<size_t>(width, 1) && number[0] == '0'))
      continue;
    found.emplace_back(std::stoll(number), path.substr(0, name) + file);
  }
  if (found.empty())
    return error(Code::kNotFound, "cannot read ", path, ": no file has a name of this pattern");
  std::sort(found.begin(), found.end());
  for (size_t i = 0; i < found.size(); ++i) {
    if (i > 0 && found[i].first != found[i - 1].first + 1)
      return error(Code::kNotFound, path, ": number ", found[i - 1].first + 1,
                   " is missing between ", found[i - 1].second, " and ", found[i].second);
    files.push_back(found[i].second);
  }
  return files;
}

}  // namespace zoetrope
