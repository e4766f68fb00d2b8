#include "runtime/media/ffmpeg/joined_clock.h"

#include <algorithm>

namespace zoetrope {
namespace {

// Those of the ffmpeg command: its -dts_delta_threshold, and how far decoding times may go back.
constexpr int64_t kLeap = 10 * int64_t{AV_TIME_BASE}, kBack = AV_TIME_BASE / 10;

int64_t length_of(const AVStream& stream, const AVPacket& packet) {
  if (packet.duration > 0) return av_rescale_q(packet.duration, stream.time_base, AV_TIME_BASE_Q);
  const AVRational rate = stream.avg_frame_rate;
  return rate.num > 0 && rate.den > 0 ? av_rescale(AV_TIME_BASE, rate.den, rate.num) : 0;
}

}  // namespace

JoinedClock::JoinedClock(const AVFormatContext& input)
    : watches_((input.iformat->flags & AVFMT_TS_DISCONT) != 0) {}

void JoinedClock::set(const AVStream& stream, AVPacket* packet) {
  const AVMediaType type = stream.codecpar->codec_type;
  if (!watches_ || (type != AVMEDIA_TYPE_VIDEO && type != AVMEDIA_TYPE_AUDIO)) return;
  streams_.resize(std::max(streams_.size(), static_cast<size_t>(stream.index) + 1));
  Times& times = streams_[static_cast<size_t>(stream.index)];
  const int64_t stamp = packet->dts != AV_NOPTS_VALUE ? packet->dts : packet->pts;
  if (stamp == AV_NOPTS_VALUE) return;
  int64_t at = av_rescale_q(stamp, stream.time_base, AV_TIME_BASE_Q) + shift_;
  if (times.next != AV_NOPTS_VALUE && (at > times.next + kLeap || at < times.last - kBack)) {
    shift_ += times.next - at;
    at = times.next;
  }
  times.last = at;
  times.next = at + length_of(stream, *packet);
  const int64_t shift = av_rescale_q(shift_, AV_TIME_BASE_Q, stream.time_base);
  if (packet->dts != AV_NOPTS_VALUE) packet->dts += shift;
  if (packet->pts != AV_NOPTS_VALUE) packet->pts += shift;
}

}  // namespace zoetrope
