// Names of MiniMax-H3's weights that are others in its checkpoints than in the graphs.
#pragma once

#include <string>

namespace zoetrope {

// The checkpoint's name of a weight of the autoencoder of sound.
std::string minimax_h3_sound_key(const std::string& name);

}  // namespace zoetrope
