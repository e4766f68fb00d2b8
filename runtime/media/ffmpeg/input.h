// Files as streams of decoded frames: one kind of loop for pictures, animations, sequences of
// pictures and containers.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "runtime/media/ffmpeg/common.h"

namespace zoetrope {

inline constexpr int64_t kMaxPixels = 1 << 28;  // of one decoded frame

// opening.cc: an error where `path` is no file to be read, or an empty one.
Status check_readable(const std::string& path);
// Its first bytes, `most` of them.
Result<std::vector<uint8_t>> read_bytes(const std::string& path, int64_t most);
// A single file of a kind that holds its own data: no playlist or script that would open others.
Result<InputPtr> open_input(const std::string& path);

// The decoder of `stream`; null: of a file that tells its codec everything. Threads may be refused,
// and their memory: it is tried again with one, which is the caller's and needs none.
Result<CodecContextPtr> open_decoder(const AVCodec& codec, const AVStream* stream, int threads,
                                     const std::string& path);

struct PictureFrame {
  const AVFrame* frame = nullptr;
  double seconds = 0;   // from where the file's clock begins
  double duration = 0;  // 0: not known
  double rate = 0;      // of the whole stream on average, a second; 0: not known
  double tick = 0;      // to which times are rounded
  int orientation = 1;
  double pixel_aspect = 1;  // as stored, before turning
  bool still = false;       // from a picture file
  enum class Alpha { kStraight, kPremultiplied, kNone };
  Alpha alpha = Alpha::kStraight;  // of frames that have any; kNone: it means nothing
};

// False: no more are wanted.
using UsePicture = std::function<Result<bool>(const PictureFrame&)>;
using UseSound = std::function<Result<bool>(const AVFrame&, double seconds)>;

// The notice of it.
inline std::string breaks_off(const std::string& path) {
  return path + ": the file breaks off; what is there is used";
}

// `fps`: how fast a sequence of pictures plays.
Status decode_pictures(const std::string& path, int fps, std::vector<std::string>* notices,
                       const UsePicture& use);
Status decode_sound(const std::string& path, std::vector<std::string>* notices,
                    const UseSound& use);

// picture_file.cc: the kind that `head`, a file's first bytes, and its name tell; AV_CODEC_ID_NONE
// for what is no plain picture.
AVCodecID picture_codec(std::span<const uint8_t> head, const std::string& path);
// Its frame as FFmpeg has it.
Result<FramePtr> decode_picture(std::span<const uint8_t> bytes, AVCodecID id,
                                const std::string& path);
// Its frame as the file means it, also where FFmpeg's decoder alone would take it for another.
Result<FramePtr> decode_still(std::span<const uint8_t> bytes, AVCodecID id,
                              const std::string& path);
// A still picture or an animated WebP. `read` is the whole file.
Status use_picture_file(std::span<const uint8_t> read, AVCodecID id, const std::string& path,
                        std::vector<std::string>* notices, const UsePicture& use);

}  // namespace zoetrope
