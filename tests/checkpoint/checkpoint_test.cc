// A checkpoint's folder: what is written comes back; a bounded number of files is there at any
// time; and whatever was done to a file is an error that names it.
#include "runtime/checkpoint/checkpoint.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "runtime/checkpoint/tensor_file.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;
namespace fs = std::filesystem;

namespace {

// A temporary name as OutputFile gives it, of a process that is gone, and of this one.
std::string left_by_the_dead() {
  const pid_t child = ::fork();
  if (child == 0) _exit(0);
  REQUIRE(child > 0);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return str(".zoetrope-", child, "-00000000-0.tmp");
}

constexpr int kSteps = 20;
constexpr size_t kVideo = 2 * 3 * 4 * 4, kSound = 5 * 2;

struct Folder {
  TemporaryFolder parent;
  std::string path = parent / "ck";

  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : fs::directory_iterator(path))
      all.push_back(entry.path().filename().string());
    std::sort(all.begin(), all.end());
    return all;
  }
  std::string file(const std::string& name) const { return path + "/" + name; }
};

CheckpointJob job(size_t clips = 1) {
  CheckpointJob j;
  j.software = "test";
  j.request.model = {"/m.zoe", "xxh3:0123456789abcdef"};
  for (size_t i = 0; i < clips; ++i) j.clips.push_back({str("clip\n", i), i});
  j.outputs = {"/out.mp4", "/odd\xff.wav"};
  j.receipt = "/receipt.json";
  return j;
}

Recipe recipe() {
  Recipe r;
  r.latents = {{"video", Modality::kVideo, 4, {}, {}, 8, 1, 1, 1},
               {"sound", Modality::kSound, 2, {}, {}, 1, 1, 1, 8}};
  return r;
}

RequestPlan plan() {
  RequestPlan p;
  p.shape.latent_frames = 2;
  p.shape.latent_height = 3;
  p.shape.latent_width = 4;
  p.shape.sound_latents = 5;
  p.denoise.streams = {{"video", "", ""}, {"sound", "", ""}};
  return p;
}

DenoiseState state(int done, size_t predictions = 2) {
  DenoiseState s;
  s.first = 3;
  s.step = s.first + done;
  s.steps = s.first + kSteps;
  const size_t size = kVideo + kSound;
  for (size_t i = 0; i < size; ++i) s.latents.push_back(static_cast<float>(i) + 0.1f * done);
  for (size_t k = 0; k < predictions; ++k)
    s.solver.starts.emplace_back(size, static_cast<float>(k) + 0.5f);
  if (predictions > 0) s.solver.before.assign(size, -1);
  return s;
}

StageValues values() {
  StageValues v;
  StageValue lengths = StageValue::make({DType::kI32, {3}});
  lengths.as<int32_t>()[1] = 7;
  v["lengths"] = lengths;
  StageValue text = StageValue::make({DType::kF32, {1, 2}});
  text.as<float>()[1] = 0.25f;
  v["text"] = text;
  return v;
}

template <typename T>
T require(Result<T> result) {
  REQUIRE_MESSAGE(result.ok(), result.status().message());
  return std::move(*result);
}
void require(const Status& status) { REQUIRE_MESSAGE(status.ok(), status.message()); }

void check_fails(const Status& status, Code code, const std::string& word) {
  CHECK_MESSAGE(status.code() == code, status.message());
  CHECK_MESSAGE(status.message().find(word) != std::string::npos, status.message());
}

void save(CheckpointFolder& folder, int64_t clip, int done) {
  require(folder.save(clip, state(done), values(), plan(), recipe(), "{\"digest\": \"x\"}"));
}

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

constexpr const char* kState = "clip-00001.step-00004.safetensors";
constexpr const char* kValues = "clip-00001.values.safetensors";

}  // namespace

TEST_CASE("states, values and the job come back as they were") {
  const Folder at;
  {
    auto folder = require(CheckpointFolder::create(at.path, job(2)));
    for (const size_t predictions : {size_t{2}, size_t{0}}) {
      const DenoiseState s = state(predictions == 0 ? 5 : 4, predictions);
      require(folder.save(0, s, values(), plan(), recipe(), "{\"digest\": \"x\"}"));
    }
  }
  const auto folder = require(CheckpointFolder::open(at.path, false));
  CHECK(folder.job().software == "test");
  CHECK(folder.job().request.model == job().request.model);
  REQUIRE(folder.job().clips.size() == 2);
  CHECK(folder.job().clips[1].prompt == "clip\n1");
  CHECK(folder.job().clips[1].seed == 1);
  CHECK(folder.job().outputs == job().outputs);
  CHECK(folder.job().receipt == "/receipt.json");
  CHECK(folder.clip_in_work() == 0);
  CHECK(require(folder.steps(0)) == std::vector<int>{4, 5});
  for (const int done : {4, 5}) {
    const SavedState saved = require(folder.load(0, done));
    const DenoiseState expected = state(done, done == 5 ? 0 : 2), &found = saved.point->state;
    CHECK(found.step == expected.step);
    CHECK(found.steps == expected.steps);
    CHECK(found.first == expected.first);
    CHECK(found.latents == expected.latents);
    CHECK(found.solver.starts == expected.solver.starts);
    CHECK(found.solver.before == expected.solver.before);
    CHECK(saved.receipt == "{\"digest\":\"x\"}");
    for (const auto& [name, value] : values()) {
      CHECK(saved.point->values.at(name).type == value.type);
      CHECK(saved.point->values.at(name).bytes == value.bytes);
    }
  }
  check_fails(folder.load(0, 6).status(), Code::kNotFound, "step-00006");
}

TEST_CASE("what stays is the last two states and others that lie evenly") {
  const auto kept = [](int saved, int steps, int keep) {
    std::vector<int> all;
    for (int i = 0; i <= saved; ++i) all.push_back(i);
    return steps_to_keep(all, steps, keep);
  };
  CHECK(kept(20, 20, 8) == std::vector<int>{0, 4, 8, 12, 16, 19, 20});
  CHECK(kept(20, 20, 2) == std::vector<int>{19, 20});
  CHECK(kept(20, 20, 3) == std::vector<int>{0, 19, 20});
  CHECK(kept(2, 20, 8) == std::vector<int>{0, 1, 2});
  CHECK(kept(20, 20, 10001).size() == 21);
  for (int steps : {1, 2, 7, 30, 50, 999})
    for (int keep : {2, 3, 4, 8, 33})
      for (int saved = 0; saved <= steps; saved += 1 + steps / 9)
        CHECK(kept(saved, steps, keep).size() <= static_cast<size_t>(keep));
}

TEST_CASE("the number of files is bounded, whatever the count of clips and steps") {
  const Folder at;
  CheckpointJob j = job(3);
  j.keep = 5;
  auto folder = require(CheckpointFolder::create(at.path, j));
  for (int64_t clip = 0; clip < 3; ++clip) {
    for (int done = 0; done <= kSteps; ++done) {
      save(folder, clip, done);
      CHECK(at.names().size() <= 2 + 5);
    }
    require(folder.finish(clip));
    CHECK(require(folder.steps(clip)).back() == kSteps);
  }
  CHECK(require(folder.steps(0)).empty());
  CHECK(folder.is_finished());
  CHECK(folder.clip_in_work() == 2);
}

TEST_CASE("states are as far apart as asked, and the last step has one") {
  const Folder at;
  CheckpointJob j = job();
  j.every = 6;
  j.keep = 100;
  auto folder = require(CheckpointFolder::create(at.path, j));
  for (int done = 0; done <= kSteps; ++done) save(folder, 0, done);
  CHECK(require(folder.steps(0)) == std::vector<int>{0, 6, 12, 18, 20});
}

TEST_CASE("one process writes, others read") {
  const Folder at;
  auto folder = require(CheckpointFolder::create(at.path, job()));
  save(folder, 0, 4);
  check_fails(CheckpointFolder::open(at.path, true).status(), Code::kUnavailable, at.path);
  check_fails(CheckpointFolder::create(at.path, job()).status(), Code::kUnavailable, at.path);
  CHECK(require(CheckpointFolder::open(at.path, false)).load(0, 4).ok());
}

TEST_CASE("a job that is not done is not replaced; one that is, is") {
  const Folder at;
  {
    auto folder = require(CheckpointFolder::create(at.path, job(2)));
    save(folder, 0, 4);
  }
  check_fails(CheckpointFolder::create(at.path, job()).status(), Code::kInvalidArgument, "resume");
  {
    auto folder = require(CheckpointFolder::open(at.path, true));
    require(folder.finish(1));
  }
  const auto folder = require(CheckpointFolder::create(at.path, job()));
  CHECK(at.names() == std::vector<std::string>{"job.json"});
}

TEST_CASE("a folder with other files is left alone") {
  const Folder at;
  fs::create_directory(at.path);
  write(at.file("thesis.txt"), "years of work");
  check_fails(CheckpointFolder::create(at.path, job()).status(), Code::kInvalidArgument,
              "thesis.txt");
  CHECK(at.names() == std::vector<std::string>{"thesis.txt"});
  fs::remove(at.file("thesis.txt"));
  write(at.file(left_by_the_dead()), "of a run that was killed before its job was there");
  CHECK(CheckpointFolder::create(at.path, job()).ok());
  CHECK(at.names() == std::vector<std::string>{"job.json"});
}

TEST_CASE("what a process that died had not renamed is cleared away, and nothing else is") {
  const Folder at;
  { auto folder = require(CheckpointFolder::create(at.path, job())); }
  write(at.file(left_by_the_dead()), "half");
  const std::string own = str(".zoetrope-", ::getpid(), "-00000000-0.tmp");
  write(at.file(own), "in work");
  write(at.file("notes.txt"), "mine");
  write(at.file("clip-1.step-4.safetensors"), "not ours: we write 00001");
  { const auto reader = require(CheckpointFolder::open(at.path, false)); }
  CHECK(at.names().size() == 5);
  const auto folder = require(CheckpointFolder::open(at.path, true));
  CHECK(at.names() ==
        std::vector<std::string>{own, "clip-1.step-4.safetensors", "job.json", "notes.txt"});
}

TEST_CASE("any byte that is not what was written is found, and the file is named") {
  const Folder at;
  auto folder = require(CheckpointFolder::create(at.path, job()));
  save(folder, 0, 4);
  for (const char* name : {kState, kValues, "job.json"}) {
    CAPTURE(name);
    const std::string whole = read(at.file(name));
    REQUIRE_FALSE(whole.empty());
    const auto status = [&] {
      const auto opened = CheckpointFolder::open(at.path, false);
      return opened.ok() ? opened->load(0, 4).status() : opened.status();
    };
    for (size_t i = 0; i < whole.size(); i += 1 + whole.size() / 400) {
      CAPTURE(i);
      std::string bad = whole;
      bad[i] = static_cast<char>(bad[i] ^ 0x41);
      write(at.file(name), bad);
      const Status found = status();
      CHECK_FALSE(found.ok());
      CHECK(found.message().find(name) != std::string::npos);
    }
    for (size_t size : {size_t{0}, size_t{7}, size_t{8}, whole.size() / 2, whole.size() - 1}) {
      write(at.file(name), whole.substr(0, size));
      check_fails(status(), Code::kDataLoss, name);
    }
    if (name != std::string("job.json")) {
      write(at.file(name), whole + "x");
      check_fails(status(), Code::kDataLoss, name);
    }
    write(at.file(name), whole);
    CHECK(status().ok());
  }
}

TEST_CASE("files of another run, step or kind are refused by name") {
  const Folder at, other;
  auto folder = require(CheckpointFolder::create(at.path, job()));
  save(folder, 0, 4);
  CheckpointJob j = job();
  j.clips[0].seed = 99;
  auto another = require(CheckpointFolder::create(other.path, j));
  save(another, 0, 4);
  const std::string whole = read(at.file(kState));
  write(at.file(kState), read(other.file(kState)));
  check_fails(folder.load(0, 4).status(), Code::kDataLoss, "another run");
  write(at.file(kState), read(at.file(kValues)));
  check_fails(folder.load(0, 4).status(), Code::kDataLoss, kState);
  write(at.file("clip-00001.step-00007.safetensors"), whole);
  check_fails(folder.load(0, 7).status(), Code::kDataLoss, "after 4 steps");
  write(at.file(kState), whole);
  write(at.file(kValues), read(other.file(kValues)));
  check_fails(folder.load(0, 4).status(), Code::kDataLoss, kValues);
  fs::remove(at.file(kValues));  // then stages run again
  CHECK(require(folder.load(0, 4)).point->values.empty());
}

TEST_CASE("links, pipes, folders and holes in the place of files are refused, and not waited for") {
  const Folder at;
  auto folder = require(CheckpointFolder::create(at.path, job()));
  save(folder, 0, 4);
  const std::string elsewhere = at.parent / "elsewhere";
  fs::rename(at.file(kState), elsewhere);
  fs::create_symlink(elsewhere, at.file(kState));
  check_fails(folder.load(0, 4).status(), Code::kDataLoss, kState);
  check_fails(folder.save(0, state(4), values(), plan(), recipe(), ""), Code::kDataLoss, kState);
  CHECK(fs::is_symlink(at.file(kState)));
  fs::remove(at.file(kState));
  REQUIRE(::mkfifo(at.file(kState).c_str(), 0600) == 0);
  check_fails(folder.load(0, 4).status(), Code::kDataLoss, kState);
  check_fails(folder.save(0, state(4), values(), plan(), recipe(), ""), Code::kDataLoss, kState);
  fs::remove(at.file(kState));
  fs::create_directory(at.file(kState));
  check_fails(folder.load(0, 4).status(), Code::kDataLoss, kState);
  fs::remove(at.file(kState));
  write(at.file(kState), "");
  fs::resize_file(at.file(kState), uintmax_t{1} << 40);  // all zeros, on no disk
  check_fails(folder.load(0, 4).status(), Code::kDataLoss, kState);
  save(folder, 0, 4);  // a regular file is replaced
  CHECK(folder.load(0, 4).ok());

  const std::string job_file = at.file("job.json"), whole = read(job_file);
  const auto open = [&] { return CheckpointFolder::open(at.path, false).status(); };
  fs::remove(job_file);
  check_fails(open(), Code::kNotFound, "job.json");
  REQUIRE(::mkfifo(job_file.c_str(), 0600) == 0);
  check_fails(open(), Code::kDataLoss, "job.json");
  fs::remove(job_file);
  fs::create_symlink("/dev/zero", job_file);
  check_fails(open(), Code::kDataLoss, "job.json");
  fs::remove(job_file);
  write(job_file, "");
  fs::resize_file(job_file, uintmax_t{1} << 40);
  check_fails(open(), Code::kDataLoss, "job.json");
  write(job_file, whole);
  CHECK(open().ok());
  check_fails(CheckpointFolder::open(job_file, false).status(), Code::kInvalidArgument,
              "no folder");
  check_fails(CheckpointFolder::open(at.path + "x", false).status(), Code::kNotFound, at.path);
  check_fails(CheckpointFolder::create(at.path + "/no/such", job()).status(), Code::kIoError,
              "no/such");
}

TEST_CASE("a state whose tensors are not a state's is refused") {
  const Folder at;
  auto folder = require(CheckpointFolder::create(at.path, job()));
  save(folder, 0, 4);
  const TensorFile whole = require(read_tensor_file(at.file(kState), "denoising"));
  const auto refuse = [&](std::vector<TensorView> tensors, nlohmann::json about) {
    require(write_tensor_file(at.file(kState), "denoising", about, tensors));
    const Status status = folder.load(0, 4).status();
    CHECK(status.code() == Code::kDataLoss);
    CHECK(status.message().find(kState) != std::string::npos);
  };
  std::vector<TensorView> tensors = whole.tensors;
  std::swap(tensors[0], tensors[2]);
  refuse(tensors, whole.about);
  tensors = whole.tensors;
  tensors.pop_back();
  refuse(tensors, whole.about);
  tensors = whole.tensors;
  tensors[1].type.dtype = DType::kI32;
  refuse(tensors, whole.about);
  for (const auto& [key, value] :
       std::initializer_list<std::pair<const char*, nlohmann::json>>{{"predictions", 3},
                                                                     {"predictions", 0},
                                                                     {"predictions", -1},
                                                                     {"step", 1 << 30},
                                                                     {"steps", 0},
                                                                     {"clip", 2},
                                                                     {"frobnicate", 1},
                                                                     {"receipt", 1}}) {
    CAPTURE(key);
    nlohmann::json about = whole.about;
    about[key] = value;
    refuse(whole.tensors, about);
  }
}
