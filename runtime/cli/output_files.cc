#include "runtime/cli/output_files.h"

namespace zoetrope {

void OutputFiles::read(const std::string& path) {
  if (path == "-") return;  // standard input
  if (const auto target = resolve_output(path); target.ok() && !target->device)
    taken_.emplace(target->identity(), "the input " + path);
}

Status OutputFiles::write(const std::string& flag, const std::string& path,
                          const std::string& file) {
  if (file.empty()) return Status();
  auto target = resolve_output(file);
  if (!target.ok()) return target.status().with_context(flag);
  if (!target->device) {
    const auto [taken, fresh] = taken_.emplace(target->identity(), flag + " " + path);
    if (!fresh)
      return error(Code::kInvalidArgument, flag, " ", path, ": ", file, " is also ", taken->second,
                   "; each output needs a name of its own");
  }
  targets_.push_back(std::move(*target));
  return Status();
}

}  // namespace zoetrope
