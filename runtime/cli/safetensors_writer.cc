#include "runtime/cli/safetensors_writer.h"

#include "graph/format/output_file.h"
#include "graph/format/safetensors.h"

namespace zoetrope {

Status write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors) {
  std::vector<std::pair<std::string, TensorType>> names;
  for (const TensorToWrite& t : tensors) names.emplace_back(t.name, t.type);
  ZT_ASSIGN_OR_RETURN(const std::string beginning, safetensors_beginning(names, {}));
  ZT_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  ZT_RETURN_IF_ERROR(file.write(beginning.data(), beginning.size()));
  for (const TensorToWrite& t : tensors)
    ZT_RETURN_IF_ERROR(file.write(t.data, static_cast<size_t>(t.type.bytes())));
  return file.commit();
}

}  // namespace zoetrope
