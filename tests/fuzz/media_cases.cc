// Pictures, clips and sound: small ones of every kind that people have (make_media_seeds.py),
// damaged, cut, joined with others and read; some are copied into a clip.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "runtime/media/clip_writer.h"
#include "runtime/media/media_reader.h"
#include "tests/format/small_model.h"
#include "tests/fuzz/chunks.h"
#include "tests/fuzz/watched.h"

namespace zoetrope {
namespace {

enum Reached : size_t { kRefused, kRead };
constexpr const char* kReachedNames[] = {"refused", "read"};

// Of what FFmpeg takes to decode pictures of the largest size that the reader lets pass.
constexpr int64_t kHeap = int64_t{1} << 30;
constexpr size_t kMostBytes = 1 << 20;  // of a file

struct Seed {
  std::string name;
  Bytes bytes;
};
std::vector<Seed> seeds;

std::string prepare() {
  const char* given = std::getenv("ZOETROPE_MEDIA_SEEDS");
  const std::string folder = given != nullptr ? given : ZOETROPE_MEDIA_SEEDS;
  std::error_code failed;
  for (std::filesystem::directory_iterator it(folder, failed), end; !failed && it != end;
       it.increment(failed))
    seeds.push_back({it->path().filename().string(), read_bytes(it->path())});
  std::sort(seeds.begin(), seeds.end(),
            [](const Seed& a, const Seed& b) { return a.name < b.name; });
  if (seeds.empty()) return str("no media in ", folder, "; ZOETROPE_MEDIA_SEEDS names a folder");
  // Loads FFmpeg's libraries once.
  const auto read = read_media(folder + "/" + seeds.front().name, {.width = 8, .height = 8});
  return read.status().code() == Code::kUnavailable ? read.status().message() : "";
}

std::string extension(const std::string& name) { return std::filesystem::path(name).extension(); }

class Case {
 public:
  Case(uint64_t number, const std::string& folder) : draw_(number), folder_(folder) {}

  void make() {
    // What a case that ended its process left.
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      std::filesystem::remove_all(entry.path());
    const Seed& seed = draw_.pick(seeds);
    bytes_ = seed.bytes;
    path_ = folder_ + "/media" + extension(seed.name);
    result_.changes.push_back(seed.name);
    for (uint32_t i = draw_.below(3) + 1; i > 0 && !bytes_.empty(); --i) change();
    if (draw_.one_in(10)) path_ = folder_ + "/media" + extension(draw_.pick(seeds).name);
    if (bytes_.size() > kMostBytes) bytes_.resize(kMostBytes);
    write_bytes(path_, bytes_);
  }

  void try_it() {
    const ReadRequest request = draw_request();
    const auto media = read_media(path_, request);
    (void)read_tags(path_).ok();
    if (media.ok()) check(request, *media);
    if (failed(media.status())) return;
    result_.reached = kRead;
    if (draw_.one_in(3)) copy();
  }

  CaseResult take() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
    return std::move(result_);
  }
  const std::vector<std::string>& changes() const { return result_.changes; }

 private:
  void change() {
    const Seed& other = draw_.pick(seeds);
    switch (draw_.below(10)) {
      case 0: {  // another behind it, or in its midst
        const size_t at = draw_.coin() ? bytes_.size() : draw_.below(bytes_.size());
        bytes_.insert(bytes_.begin() + static_cast<ptrdiff_t>(at), other.bytes.begin(),
                      other.bytes.end());
        result_.changes.push_back(other.name + " joined");
        return;
      }
      case 1: {  // of its kind, whose rate, size or channels differ
        std::vector<const Seed*> alike;
        for (const Seed& seed : seeds)
          if (extension(seed.name) == extension(path_)) alike.push_back(&seed);
        const Seed& next = alike.empty() ? other : *draw_.pick(alike);
        bytes_.insert(bytes_.end(), next.bytes.begin(), next.bytes.end());
        result_.changes.push_back(next.name + " behind");
        return;
      }
      case 2: {  // its end comes from another
        const size_t at = draw_.below(bytes_.size());
        bytes_.resize(at);
        const size_t from = std::min(at, other.bytes.size());
        bytes_.insert(bytes_.end(), other.bytes.begin() + static_cast<ptrdiff_t>(from),
                      other.bytes.end());
        result_.changes.push_back(other.name + " from there");
        return;
      }
      case 3:
      case 4:
        for (uint32_t i = draw_.below(8) + 1; i > 0 && !bytes_.empty(); --i)
          change_bytes(draw_, &bytes_);
        result_.changes.emplace_back("bytes");
        return;
      case 5: {  // words in the head, whatever it is
        Bytes head(bytes_.begin(),
                   bytes_.begin() + static_cast<ptrdiff_t>(std::min<size_t>(bytes_.size(), 128)));
        const size_t before = head.size();
        change_bytes(draw_, &head);
        bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(before));
        bytes_.insert(bytes_.begin(), head.begin(), head.end());
        result_.changes.emplace_back("head");
        return;
      }
      default: {
        const std::string what = change_chunks(draw_, &bytes_, other.bytes);
        if (what.empty()) change_bytes(draw_, &bytes_);
        result_.changes.push_back(what.empty() ? "a byte" : what);
      }
    }
  }

  ReadRequest draw_request() {
    ReadRequest r;
    static constexpr int64_t kSides[] = {1, 3, 8, 16, 32, 33};
    r.width = draw_.pick(kSides), r.height = draw_.pick(kSides);
    r.fit = static_cast<Fit>(draw_.below(3));
    static constexpr int kFps[] = {0, 1, 8, 24, 60};
    r.fps = draw_.pick(kFps);
    r.first_frame = draw_.one_in(4) ? int64_t{draw_.below(20)} - 10 : 0;
    r.max_frames = draw_.one_in(4) ? 0 : 1 + draw_.below(12);
    r.sound = r.max_frames == 0 || draw_.one_in(3);
    static constexpr int kRates[] = {0, 400, 16000, 44100};
    r.sample_rate = draw_.pick(kRates);
    r.channels = static_cast<int>(draw_.below(4));
    r.first_sample = draw_.one_in(4) ? draw_.below(5000) : 0;
    if (draw_.coin())
      r.max_samples = 1 + draw_.below(20000);
    else
      r.max_seconds = 0.5;
    return r;
  }

  void check(const ReadRequest& r, const Media& media) {
    const auto wrong = [&](const auto&... what) { result_.wrong = str(what...); };
    if (media.frames < 0 || media.frames > r.max_frames)
      wrong(media.frames, " frames came of ", r.max_frames);
    if (media.pixels.size() != static_cast<size_t>(media.frames * r.width * r.height * 3))
      wrong(media.pixels.size(), " bytes of pixels for ", media.frames, " frames");
    if (media.channels < 0 || (media.channels == 0 && !media.samples.empty()) ||
        (media.channels > 0 && media.samples.size() % static_cast<size_t>(media.channels) != 0))
      wrong(media.samples.size(), " samples in ", media.channels, " channels");
    if (r.max_samples > 0 && media.channels > 0 &&
        static_cast<int64_t>(media.samples.size()) > r.max_samples * media.channels)
      wrong(media.samples.size(), " samples came of ", r.max_samples, " a channel");
    for (const float sample : media.samples)
      if (!std::isfinite(sample)) return wrong("sound that is not a number");
  }

  // Its packets into a clip, as --video and --audio do.
  void copy() {
    static const std::string kNames[] = {"c.mkv", "c.mp4", "c.mov", "c.webm"};
    ClipFormat format{16, 16, 4, 8, 16000, 2};
    (draw_.coin() ? format.copy_picture : format.copy_sound) = path_;
    const std::string path = folder_ + "/" + draw_.pick(kNames);
    const Status copied = [&]() -> Status {
      ZT_ASSIGN_OR_RETURN(const auto writer, create_clip_writer(path, format));
      const std::vector<uint8_t> pixels(16 * 16 * 3 * 4, 80);
      ZT_RETURN_IF_ERROR(writer->frames(pixels.data(), 4));
      const std::vector<float> samples(16000, 0.1f);
      ZT_RETURN_IF_ERROR(writer->audio(samples.data(), 8000));
      return writer->finish();
    }();
    std::error_code ignored;
    if (!failed(copied) && !std::filesystem::exists(path, ignored))
      result_.wrong = "a copy that was finished is not there";
    std::filesystem::remove(path, ignored);
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      if (entry.path() != path_ && result_.wrong.empty())
        result_.wrong = "left behind: " + entry.path().string();
  }

  bool failed(const Status& status) { return tell_failure(status, &result_); }

  Draw draw_;
  const std::string folder_;
  std::string path_;
  Bytes bytes_;
  CaseResult result_;
};

CaseResult run(uint64_t number, const std::string& folder, bool tell) {
  return run_case<Case>(number, folder, tell, kHeap);
}

}  // namespace

constinit const CaseKind kMediaCases{"media", kReachedNames, 0.2, 200, prepare, run};

}  // namespace zoetrope
