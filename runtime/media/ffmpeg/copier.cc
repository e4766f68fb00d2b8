#include "runtime/media/ffmpeg/copier.h"

#include <algorithm>
#include <cstring>

#include "runtime/media/ffmpeg/encoders.h"
#include "runtime/media/ffmpeg/input.h"

namespace zoetrope {
namespace {

// Containers whose packets carry whole times and headers.
bool is_well_timed(const AVInputFormat& format) {
  return std::strstr(format.name, "mp4") != nullptr ||
         std::strstr(format.name, "matroska") != nullptr;
}

Status copy_side_data(const AVStream& from, AVStream* to) {
#if LIBAVFORMAT_VERSION_MAJOR < 61
  for (int i = 0; i < from.nb_side_data; ++i) {
    const AVPacketSideData& data = from.side_data[i];
    uint8_t* copy = av_stream_new_side_data(to, data.type, data.size);
    if (copy == nullptr) return error(Code::kResourceExhausted, "no memory");
    std::memcpy(copy, data.data, data.size);
  }
#else
  (void)from, (void)to;  // lies in codecpar
#endif
  return Status();
}

}  // namespace

Result<std::unique_ptr<StreamCopier>> StreamCopier::open(const std::string& path, AVMediaType type,
                                                         AVFormatContext* output) {
  std::unique_ptr<StreamCopier> none;
  auto input = open_input(path);
  if (!input.ok() && input.status().code() == Code::kResourceExhausted) return input.status();
  if (!input.ok() || !is_well_timed(*(*input)->iformat)) return none;
  const int index = av_find_best_stream(input->get(), type, -1, -1, nullptr, 0);
  if (index < 0) return none;
  const AVStream& from = *(*input)->streams[index];
  if (avformat_query_codec(output->oformat, from.codecpar->codec_id, FF_COMPLIANCE_NORMAL) != 1)
    return none;
  AVStream* to = new_stream(output);
  if (to == nullptr) return error(Code::kResourceExhausted, "no memory");
  int code = avcodec_parameters_copy(to->codecpar, from.codecpar);
  if (code < 0) return ffmpeg_error(code, "cannot copy " + path);
  to->codecpar->codec_tag = 0;
  to->time_base = from.time_base;
  to->avg_frame_rate = from.avg_frame_rate;
  to->sample_aspect_ratio = from.sample_aspect_ratio;
  ZT_RETURN_IF_ERROR(copy_side_data(from, to));
  return std::unique_ptr<StreamCopier>(
      new StreamCopier(path, std::move(*input), index, output, to->index));
}

Status StreamCopier::copy(double seconds) {
  const AVStream& from = *input_->streams[index_];
  const AVStream& to = *output_->streams[to_];
  const int64_t origin = input_->start_time == AV_NOPTS_VALUE
                             ? 0
                             : av_rescale_q(input_->start_time, AV_TIME_BASE_Q, from.time_base);
  const bool sound = from.codecpar->codec_type == AVMEDIA_TYPE_AUDIO;
  const auto end = static_cast<int64_t>(seconds / av_q2d(from.time_base));
  PacketPtr packet(av_packet_alloc());
  if (!packet) return error(Code::kResourceExhausted, "no memory");
  while (true) {
    const MemoryWatch memory;
    int code = read_packet(input_.get(), packet.get());
    if (memory.refused(code)) return no_memory_to_read(path_);
    if (code == AVERROR_EOF) return Status();
    if (code < 0) return ffmpeg_error(code, "cannot read " + path_);
    if (packet->stream_index != index_) {
      av_packet_unref(packet.get());
      continue;
    }
    if (packet->pts != AV_NOPTS_VALUE) packet->pts -= origin;
    if (packet->dts != AV_NOPTS_VALUE) packet->dts -= origin;
    if (sound && packet->pts != AV_NOPTS_VALUE) {
      if (packet->pts >= end) {
        av_packet_unref(packet.get());
        continue;
      }
      packet->duration = std::min(packet->duration, end - packet->pts);
    }
    av_packet_rescale_ts(packet.get(), from.time_base, to.time_base);
    packet->stream_index = to_;
    packet->pos = -1;
    code = write_packet(output_, packet.get());
    if (memory.refused(code)) return error(Code::kResourceExhausted, "no memory to copy ", path_);
    if (code < 0) return ffmpeg_error(code, "cannot copy " + path_);
  }
}

std::string StreamCopier::description() const {
  return describe_codec(input_->streams[index_]->codecpar->codec_id) + " (copied)";
}

}  // namespace zoetrope
