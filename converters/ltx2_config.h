// LTX-2's configurations: diffusers' config.json of each part, and the one that Lightricks' single
// files have in their metadata. Sizes that disagree with the weights show when these are mapped.
#pragma once

#include <string>

#include "converters/checkpoint.h"
#include "converters/config.h"
#include "models/ltx2/recipe.h"

namespace zoetrope {

Status read_ltx2_transformer(Config* config, Ltx2Config* dit);
Status read_ltx2_connectors(Config* config, const GemmaConfig& gemma, Ltx2TextConfig* text);
// `scale`: a denoiser's latents are (z - mean) / deviation * scale.
Status read_ltx2_vae(Config* config, Ltx2VaeConfig* vae, double* scale);
// The clocks of the sound that the transformer's positions are for, as the autoencoder has them.
struct Ltx2Clocks {
  int64_t sample_rate = 16000, hop = 160;
};
Status read_ltx2_audio_vae(Config* config, Ltx2SoundConfig* sound, Ltx2Clocks* clocks);
Status read_ltx2_vocoder(Config* config, Ltx2SoundConfig* sound, int* sample_rate);

// The parts of which a single file has the weights: its configuration must say what they are.
struct Ltx2Held {
  bool vae = false, sound = false;
};
// All of the above from the objects of one configuration, under the names of the original project.
// The text's Gemma is `pipeline`'s. `config` is finished.
Status read_ltx2_original(Config* config, const Ltx2Held& held, Ltx2Pipeline* pipeline,
                          double* scale);
// What the metadata of such a file says.
Result<Config> ltx2_metadata_config(const Checkpoint& checkpoint);
// The same where only the autoencoder of video is wanted.
Status read_ltx2_original_vae(Config* config, Ltx2VaeConfig* vae, double* scale);

// What both kinds have in common.
inline constexpr int64_t kLtx2Most = 1 << 20;  // of any size
inline constexpr const char* kLtx2DoubleRope =
    "frequencies of rotary positions in single precision; they are made in double here";
inline bool ltx2_reflects(Config* c, const char* key, const char* otherwise) {
  return c->text(key, otherwise, {"zeros", "reflect"}) == "reflect";
}
// A vocoder's upsamplings and residual blocks, by the keys that list them.
// What is not there stays as `generator` has it.
void read_ltx2_generator(Config* config, const std::string& factors_key,
                         const std::string& up_kernels_key, const std::string& kernels_key,
                         const std::string& dilations_key, Ltx2Generator* generator);
// The rates between which a vocoder's second network widens the band.
void read_ltx2_rates(Config* config, Ltx2Bandwidth* wide, int* sample_rate);
// The encoder's of sound: as many channels as come out, mean and variance.
void check_ltx2_encoded_sound(Config* config, const char* out_key, int64_t channels);
// diffusers reads any number of levels and takes a latent to stand for four frames.
void check_ltx2_quarters(Config* config, const char* key, size_t levels);

}  // namespace zoetrope
