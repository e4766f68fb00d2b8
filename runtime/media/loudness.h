// How loud sound is to a listener: EBU R128 (ITU-R BS.1770), measured by FFmpeg's filter.
#pragma once

#include <span>

#include "graph/status.h"

namespace zoetrope {

inline constexpr double kLeastLoudness = -70, kMostLoudness = -5;  // LUFS that may be asked for

struct Loudness {
  double integrated = 0;  // LUFS over the whole, quiet parts left out; at most -70: silence
  double true_peak = 0;   // dB of full scale, between samples too
};

// Interleaved samples. Sound shorter than 0.4 s is measured as if it were repeated up to there.
Result<Loudness> measure_loudness(std::span<const float> samples, int rate, int channels);

// What brings sound of this loudness to `target` LUFS, as a factor: less where peaks would come
// above -1 dB of full scale; 1 for silence.
double loudness_factor(const Loudness& loudness, double target);

}  // namespace zoetrope
