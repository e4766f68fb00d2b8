#include "runtime/media/ffmpeg/stream_facts.h"

#include <string_view>

#include "runtime/media/orientation.h"

extern "C" {
#include <libavutil/dovi_meta.h>
}

namespace zoetrope {
namespace {

// Null where there is none.
const uint8_t* side_data(const AVStream& stream, AVPacketSideDataType type) {
#if LIBAVFORMAT_VERSION_MAJOR < 61
  return av_stream_get_side_data(&stream, type, nullptr);
#else
  const AVCodecParameters& p = *stream.codecpar;
  const AVPacketSideData* data =
      av_packet_side_data_get(p.coded_side_data, p.nb_coded_side_data, type);
  return data != nullptr ? data->data : nullptr;
#endif
}

}  // namespace

ContainerTurn container_turn(const AVFrame& frame, const AVStream& stream) {
  const AVFrameSideData* of_frame = av_frame_get_side_data(&frame, AV_FRAME_DATA_DISPLAYMATRIX);
  const auto* matrix = reinterpret_cast<const int32_t*>(
      of_frame != nullptr ? of_frame->data : side_data(stream, AV_PKT_DATA_DISPLAYMATRIX));
  if (matrix == nullptr) return {kUpright, true};
  return {matrix_orientation(matrix[0], matrix[1], matrix[3], matrix[4]),
          turns_by_quarters(matrix[0], matrix[1], matrix[3], matrix[4])};
}

bool has_alpha_layer(const AVStream& stream) {
  const AVDictionaryEntry* mode = av_dict_get(stream.metadata, "alpha_mode", nullptr, 0);
  return mode != nullptr && std::strcmp(mode->value, "1") == 0 &&
         (stream.codecpar->codec_id == AV_CODEC_ID_VP8 ||
          stream.codecpar->codec_id == AV_CODEC_ID_VP9);
}

bool needs_dolby_vision(const AVStream& stream) {
  const auto* said = reinterpret_cast<const AVDOVIDecoderConfigurationRecord*>(
      side_data(stream, AV_PKT_DATA_DOVI_CONF));
  return said != nullptr && said->dv_profile == 5;
}

bool is_header(const AVStream& stream, const AVPacket& packet) {
  if (stream.codecpar->codec_id != AV_CODEC_ID_OPUS || packet.size < 8) return false;
  const std::string_view begin(reinterpret_cast<const char*>(packet.data), 8);
  return begin == "OpusHead" || begin == "OpusTags";
}

}  // namespace zoetrope
