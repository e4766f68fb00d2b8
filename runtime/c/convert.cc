// Checkpoints to model files: names the parts that people give.
#include "converters/convert.h"

#include "runtime/c/arguments.h"
#include "runtime/c/errors.h"
#include "runtime/c/hooks.h"
#include "runtime/engine/check.h"

namespace zoetrope {
namespace {

constexpr std::string_view kStorageTypes[] = {"", "f32", "f16", "bf16"};

struct ConvertArgument {
  ConvertOptions options;
  std::string dtype;
};
template <typename V>
void fields(V& v, ConvertArgument& a) {
  ConvertOptions& o = a.options;
  v.path("input", &o.input);
  v.path("output", &o.output);
  v.optional_name("family", &o.family);
  v.optional_name("name", &o.name);
  v.path("vae", &o.vae);
  v.path("text_encoder", &o.text_encoder);
  v.path("image_encoder", &o.image_encoder);
  v.path("second", &o.second);
  v.path("tokenizer", &o.tokenizer);
  v.path("upsampler", &o.upsampler);
  v.optional_flag("distilled", &o.distilled);
  v.word("dtype", &a.dtype, kStorageTypes);
  v.require(!o.input.empty(), "input", "given");
  v.require(!o.output.empty(), "output", "given");
}

}  // namespace
}  // namespace zoetrope

using namespace zoetrope;

int zoetrope_convert(const char* text, const zoetrope_callbacks* callbacks) {
  return guarded_work([&]() -> Status {
    ZT_RETURN_IF_ERROR(need(text, "options"));
    ConvertArgument a;
    ZT_RETURN_IF_ERROR(read_json(text, "options", &a));
    ZT_ASSIGN_OR_RETURN(Callbacks calls, Callbacks::create(callbacks));
    if (!a.dtype.empty()) {
      ZT_ASSIGN_OR_RETURN(a.options.dtype, parse_dtype(a.dtype));
    }
    a.options.check = [](const ModelInfo& info) { return check_model(info); };
    a.options.notice = [&](const std::string& notice) { calls.notice(notice); };
    return convert(a.options, [&](int64_t done, int64_t total) {
      return calls.progress("convert", static_cast<double>(done), static_cast<double>(total));
    });
  });
}
