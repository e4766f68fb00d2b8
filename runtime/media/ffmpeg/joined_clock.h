// Times of recordings that lie behind one another in one file, as `cat a.ts b.ts` leaves them.
#pragma once

#include <vector>

#include "runtime/media/ffmpeg/common.h"

namespace zoetrope {

// In the formats that allow it (MPEG's streams, Ogg) a recording may begin the clock
// anew, or at another hour. Where a packet goes back or leaps, it and all behind it, of every
// stream, are moved to where the recording before ended, as the ffmpeg command moves them. Wants
// the packets of every picture and sound, in the file's order.
class JoinedClock {
 public:
  explicit JoinedClock(const AVFormatContext& input);

  // Whether the format allows it; else packets are left alone.
  bool watches() const { return watches_; }
  void set(const AVStream& stream, AVPacket* packet);
  bool joined() const { return shift_ != 0; }

 private:
  struct Times {
    int64_t last = AV_NOPTS_VALUE, next = AV_NOPTS_VALUE;  // microseconds, moved
  };
  bool watches_;
  int64_t shift_ = 0;  // microseconds
  std::vector<Times> streams_;
};

}  // namespace zoetrope
