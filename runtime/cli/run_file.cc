#include "runtime/cli/run_file.h"

#include <cstring>

#include "converters/checkpoint.h"
#include "graph/format/hash.h"
#include "runtime/cli/safetensors_writer.h"

namespace zoetrope {
namespace {

// "stage.0003.7.denoise|step 7": place, step, stage, name. Samples are f64, with the rms and the
// number of elements before them.
std::string stage_key(const char* kind, size_t index, const StageRecord& s) {
  std::string number = std::to_string(index);
  number.insert(0, number.size() < 6 ? 6 - number.size() : 0, '0');
  return str(kind, ".", number, ".", s.step, ".", s.stage, "|", s.name);
}

Result<StageRecord> read_stage(const Checkpoint& file, const std::string& key) {
  const auto damaged = [&] {
    return error(Code::kDataLoss, file.path(), ": '", key, "' is no stage of a saved run");
  };
  const size_t step = key.find('.', 6), stage = key.find('.', step + 1), bar = key.find('|', stage);
  if (step == std::string::npos || stage == std::string::npos || bar == std::string::npos)
    return damaged();
  StageRecord s;
  s.step = std::atoi(key.substr(step + 1, stage - step - 1).c_str());
  s.stage = key.substr(stage + 1, bar - stage - 1);
  s.name = key.substr(bar + 1);
  ZT_ASSIGN_OR_RETURN(const WeightData data, file.load(key));
  ZT_ASSIGN_OR_RETURN(const WeightData digest, file.load("digest" + key.substr(5)));
  const int64_t count = data.type.shape.elements();
  if (data.type.dtype != DType::kF64 || count < 2 || digest.type.dtype != DType::kU8)
    return damaged();
  std::vector<double> values(static_cast<size_t>(count));
  std::memcpy(values.data(), data.data, values.size() * sizeof(double));
  s.sketch.rms = values[0];
  s.sketch.elements = static_cast<int64_t>(values[1]);
  s.sketch.samples.assign(values.begin() + 2, values.end());
  s.sketch.digest.assign(static_cast<const char*>(digest.data),
                         static_cast<size_t>(digest.type.shape.elements()));
  return is_digest(s.sketch.digest) ? Result<StageRecord>(s) : damaged();
}

}  // namespace

Status save_run(const RunResult& run, const std::string& path) {
  std::vector<TensorToWrite> tensors;
  if (!run.pixels.empty())
    tensors.push_back(
        {"frames", {DType::kU8, {run.frames, run.height, run.width, 3}}, run.pixels.data()});
  if (!run.sound.empty())
    tensors.push_back(
        {"sound", {DType::kF32, {static_cast<int64_t>(run.sound.size())}}, run.sound.data()});
  std::vector<std::vector<double>> samples;
  for (size_t i = 0; i < run.stages.size(); ++i) {
    const Sketch& sketch = run.stages[i].sketch;
    samples.push_back({sketch.rms, static_cast<double>(sketch.elements)});
    samples.back().insert(samples.back().end(), sketch.samples.begin(), sketch.samples.end());
  }
  for (size_t i = 0; i < run.stages.size(); ++i) {
    const StageRecord& s = run.stages[i];
    tensors.push_back({stage_key("stage", i, s),
                       {DType::kF64, {static_cast<int64_t>(samples[i].size())}},
                       samples[i].data()});
    tensors.push_back({stage_key("digest", i, s),
                       {DType::kU8, {static_cast<int64_t>(s.sketch.digest.size())}},
                       s.sketch.digest.data()});
  }
  return write_safetensors(path, tensors);
}

Result<RunResult> load_run(const std::string& path) {
  ZT_ASSIGN_OR_RETURN(const auto file, open_safetensors(path));
  RunResult run;
  run.device = path;
  for (const std::string& name : file->names()) {
    if (name.starts_with("digest.")) continue;
    if (name.starts_with("stage.")) {
      ZT_ASSIGN_OR_RETURN(run.stages.emplace_back(), read_stage(*file, name));
      continue;
    }
    ZT_ASSIGN_OR_RETURN(const WeightData data, file->load(name));
    const Shape& shape = data.type.shape;
    if (name == "frames" && data.type.dtype == DType::kU8 && shape.rank() == 4 && shape[3] == 3) {
      const auto* from = static_cast<const uint8_t*>(data.data);
      run.frames = shape[0];
      run.height = shape[1];
      run.width = shape[2];
      run.pixels.assign(from, from + shape.elements());
    } else if (name == "sound" && data.type.dtype == DType::kF32) {
      run.sound.resize(static_cast<size_t>(shape.elements()));
      if (!run.sound.empty())
        std::memcpy(run.sound.data(), data.data, run.sound.size() * sizeof(float));
    } else {
      return error(Code::kDataLoss, path, ": '", name,
                   "' is no part of a saved run; expected a file of `zoetrope verify --save`");
    }
  }
  if (run.stages.empty())
    return error(Code::kDataLoss, path,
                 " holds no stages; expected a file of `zoetrope verify --save`");
  return run;
}

}  // namespace zoetrope
