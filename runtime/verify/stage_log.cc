#include "runtime/verify/stage_log.h"

#include <algorithm>
#include <cmath>

#include "graph/format/hash.h"

namespace zoetrope {
namespace {

constexpr size_t kSoundPiece = 1 << 16;  // samples of all channels, hashed at a time

void append_hash(std::vector<uint8_t>* to, uint64_t hash) {
  for (int i = 0; i < 8; ++i) to->push_back(static_cast<uint8_t>(hash >> (8 * i)));
}

}  // namespace

Status StageLog::observe(const Observation& made) {
  StageRecord record{std::string(made.stage), made.name, made.step,
                     make_sketch(made.type, made.data, samples_)};
  const auto same = [&](const StageRecord& r) {
    return r.stage == record.stage && r.name == record.name;
  };
  const auto before =
      goes_on_ ? std::find_if(records_.begin(), records_.end(), same) : records_.end();
  if (before != records_.end())
    *before = std::move(record);
  else
    records_.push_back(std::move(record));
  return Status();
}

Status StageLog::frames(const uint8_t* pixels, int64_t count) {
  for (int64_t f = 0; f < count; ++f) {
    const std::span<const uint8_t> frame(pixels + f * frame_bytes_,
                                         static_cast<size_t>(frame_bytes_));
    append_hash(&video_.digests, hash_bytes(frame));
    for (const uint8_t v : frame) video_.squares += static_cast<double>(v) * v;
    video_.elements += frame_bytes_;
    ++frame_count_;
    if (keep_) pixels_.insert(pixels_.end(), frame.begin(), frame.end());
  }
  return out_ != nullptr ? out_->frames(pixels, count) : Status();
}

Status StageLog::audio(const float* samples, int64_t count) {
  const auto values = std::span(samples, static_cast<size_t>(count * channels_));
  for (const float v : values) audio_.squares += static_cast<double>(v) * v;
  audio_.elements += static_cast<int64_t>(values.size());
  pending_.insert(pending_.end(), values.begin(), values.end());
  size_t done = 0;
  for (; pending_.size() - done >= kSoundPiece; done += kSoundPiece)
    append_hash(&audio_.digests,
                hash_bytes({reinterpret_cast<const uint8_t*>(pending_.data() + done),
                            kSoundPiece * sizeof(float)}));
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<int64_t>(done));
  if (keep_) sound_.insert(sound_.end(), values.begin(), values.end());
  return out_ != nullptr ? out_->audio(samples, count) : Status();
}

StageRecord StageLog::finish(const Stream& stream, const char* stage) const {
  StageRecord record{stage, stage, 0, {}};
  record.sketch.digest = digest_text(hash_bytes(stream.digests));
  record.sketch.elements = stream.elements;
  record.sketch.rms = std::sqrt(stream.squares / static_cast<double>(stream.elements));
  return record;
}

std::vector<StageRecord> StageLog::records() const {
  std::vector<StageRecord> all = records_;
  if (video_.elements > 0) all.push_back(finish(video_, "frames"));
  if (audio_.elements == 0) return all;
  Stream sound = audio_;
  append_hash(&sound.digests, hash_bytes({reinterpret_cast<const uint8_t*>(pending_.data()),
                                          pending_.size() * sizeof(float)}));
  all.push_back(finish(sound, "sound"));
  return all;
}

}  // namespace zoetrope
