// Pictures a second of a living engine, from labels to PNG files: the second request and those
// after.
//
//   zoetrope_bench_pictures --model=dit.zoe --device=cuda --compute=bf16 --batch=8 --steps=50
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/engine/engine.h"
#include "runtime/media/clip_writer.h"

namespace zoetrope {
namespace {

struct Options {
  std::string model, device = "auto", compute = "bf16", folder = "/tmp";
  int64_t batch = 8, width = 0, height = 0;
  int steps = 50, runs = 5;
};

class Files : public ClipSink {
 public:
  Status open(const std::string& folder, const ClipShape& shape, int64_t count) {
    // Several frames of a PNG are a file each.
    ClipFormat format;
    format.width = shape.width, format.height = shape.height, format.frames = count;
    ZT_ASSIGN_OR_RETURN(
        writer_,
        create_clip_writer((std::filesystem::path(folder) / "picture-%d.png").string(), format));
    return Status();
  }
  Status frames(const uint8_t* pixels, int64_t count) override {
    return writer_->frames(pixels, count);
  }
  Status audio(const float*, int64_t) override { return Status(); }
  Status finish() { return writer_->finish(); }

 private:
  std::unique_ptr<ClipWriter> writer_;
};

Status run(const Options& o) {
  EngineOptions options;
  options.placement.device = o.device;
  ZT_ASSIGN_OR_RETURN(const auto engine, Engine::open(o.model, std::move(options)));
  Request request;
  int64_t classes = 1;
  for (const Stage& stage : engine->model().recipe.stages)
    if (const auto* label = std::get_if<ClassLabel>(&stage)) classes = label->classes;
  for (int64_t i = 0; i < o.batch; ++i)
    request.classes.push_back(std::to_string(i * 119 % classes));
  request.steps = o.steps;
  request.clip.width = o.width;
  request.clip.height = o.height;
  ZT_ASSIGN_OR_RETURN(request.compute, parse_dtype(o.compute));
  ZT_ASSIGN_OR_RETURN(const RequestPlan plan, engine->plan(request));
  std::vector<double> seconds;
  RunStats last;
  for (int i = 0; i <= o.runs; ++i) {
    request.seed = static_cast<uint64_t>(i);
    Files files;
    const auto begin = std::chrono::steady_clock::now();
    ZT_RETURN_IF_ERROR(files.open(o.folder, plan.shape, o.batch));
    ZT_ASSIGN_OR_RETURN(last, engine->run(request, files));
    ZT_RETURN_IF_ERROR(files.finish());
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  const double first = seconds.front();
  std::sort(seconds.begin() + 1, seconds.end());
  const double median = seconds[1 + static_cast<size_t>(o.runs) / 2];
  const nlohmann::json json = {{"batch", o.batch},
                               {"steps", o.steps},
                               {"compute", o.compute},
                               {"first_seconds", first},
                               {"seconds", median},
                               {"denoise_seconds", last.denoise_seconds},
                               {"decode_seconds", last.decode_seconds},
                               {"images_per_second", static_cast<double>(o.batch) / median}};
  std::printf("%s\n", json.dump(1).c_str());
  return Status();
}

}  // namespace
}  // namespace zoetrope

int main(int argc, char** argv) {
  zoetrope::Options o;
  CLI::App app("Pictures a second, from labels to PNG files");
  app.add_option("--model", o.model, "A model of classes")->required();
  app.add_option("--device", o.device);
  app.add_option("--compute", o.compute, "f32, bf16 or f16");
  app.add_option("--folder", o.folder, "Where the pictures go");
  app.add_option("--batch", o.batch, "Pictures a request")->check(CLI::Range(1, 1000));
  app.add_option("--width", o.width);
  app.add_option("--height", o.height);
  app.add_option("--steps", o.steps)->check(CLI::Range(1, 1000));
  app.add_option("--runs", o.runs, "Requests after the first")->check(CLI::Range(1, 1000));
  CLI11_PARSE(app, argc, argv);
  if (const zoetrope::Status status = zoetrope::run(o); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.message().c_str());
    return 1;
  }
  return 0;
}
