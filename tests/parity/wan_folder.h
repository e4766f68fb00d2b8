// Folders as diffusers lays Wan's out, of the networks that make_wan.py saved.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "converters/text_encoder.h"
#include "tests/format/published.h"
#include "tests/parity/converted.h"
#include "tests/support/temporary_folder.h"

namespace zoetrope {

inline const std::string kWanData = ZOETROPE_SOURCE_DIR "/tests/parity/data/wan/";

// A diffusers pipeline of the saved networks.
class WanFolder {
 public:
  WanFolder(const nlohmann::json& index,
            const std::vector<std::pair<std::string, std::string>>& components) {
    std::filesystem::create_directory(path());
    nlohmann::json all = {{"_class_name", "WanPipeline"}, {"_diffusers_version", "0.42.1"}};
    for (const auto& [name, from] : components) {
      std::filesystem::copy(kWanData + from, path() + "/" + name,
                            std::filesystem::copy_options::recursive);
      all[name] = {"library", "Class"};
    }
    // Other layouts do not state how far positions are told apart: the published distance.
    if (const std::string config = path() + "/text_encoder/config.json";
        std::filesystem::exists(config)) {
      auto json = nlohmann::json::parse(std::ifstream(config));
      json["relative_attention_max_distance"] = T5Config().max_distance;
      std::ofstream(config) << json;
    }
    std::filesystem::create_directory(path() + "/tokenizer");
    std::filesystem::copy(kWanData + "original/google/umt5-xxl/spiece.model",
                          path() + "/tokenizer/spiece.model");
    all["tokenizer"] = {"transformers", "T5TokenizerFast"};
    if (!index.is_null()) all.update(index);
    std::ofstream(path() + "/model_index.json") << all;
  }
  std::string path() const { return folder_.file("in"); }

 private:
  TemporaryFolder folder_;
};

// What converting says, which must fail and leave nothing.
inline std::string refusal(ConvertOptions options) {
  const TemporaryFolder folder;
  options.output = folder.file("model.zoe");
  const Status status = convert(options);
  CHECK(!status.ok());
  CHECK(!std::filesystem::exists(options.output));
  return status.message();
}

inline const std::vector<std::pair<std::string, std::string>> kWanText{
    {"transformer", "t2v"}, {"vae", "vae_2_1"}, {"text_encoder", "umt5"}};

}  // namespace zoetrope
