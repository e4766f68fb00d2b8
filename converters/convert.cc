#include "converters/convert.h"

namespace zoetrope {

Status convert(const ConvertOptions& options, const WriteProgress& progress) {
  constexpr std::string_view kSynthetic = "synthetic:";
  if (options.input.starts_with(kSynthetic))
    return convert_synthetic(options.input.substr(kSynthetic.size()), options, progress);
  if (options.family != "auto" && options.family != "toybox")
    return error(Code::kInvalidArgument, "unknown family '", options.family, "'; known: toybox");
  return convert_toybox(options.input, options, progress);
}

}  // namespace zoetrope
