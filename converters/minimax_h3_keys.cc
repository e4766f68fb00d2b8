#include "converters/minimax_h3_keys.h"

#include "converters/families.h"

namespace zoetrope {

std::string minimax_h3_sound_key(const std::string& name) {
  static constexpr KeyRewrite kNames[] = {{"decoder.conv_in.", "decoder.conv_pre."},
                                          {"decoder.conv_out.", "decoder.conv_post."},
                                          {"decoder.upsamplers.", "decoder.ups."},
                                          {"decoder.resnets.", "decoder.resblocks."},
                                          {"decoder.act_out.", "decoder.activation_post."},
                                          {".downsample.filter", ".downsample.lowpass.filter"}};
  std::string key = rewrite_key(name, kNames);
  if (key.starts_with("decoder.ups.")) key.insert(key.find('.', 12), ".0");
  // Before each of a pair of convolutions one activation.
  for (const int64_t which : {0, 1}) {
    const std::string acts = which == 0 ? ".acts1." : ".acts2.";
    const size_t at = key.find(acts);
    if (at == std::string::npos) continue;
    const size_t digits = at + acts.size(), end = key.find('.', digits);
    const int64_t number = std::stoll(key.substr(digits, end - digits));
    key.replace(at, end - at, str(".activations.", 2 * number + which));
  }
  return key;
}

}  // namespace zoetrope
