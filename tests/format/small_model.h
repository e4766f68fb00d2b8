// A small valid model for the tests of the file format: two components that share a weight, stored
// and synthetic tensors, attributes of every type.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "graph/format/model_writer.h"
#include "graph/format/recipe.h"
#include "tests/support/temporary_folder.h"

namespace zoetrope {

ModelInfo small_model_info();
std::vector<TensorSource> small_model_tensors();

// Recipes with every kind of stage: of video with sound by flow matching, of pictures by diffusion.
Recipe small_video_recipe();
Recipe small_picture_recipe();

std::vector<uint8_t> read_bytes(const std::string& path);
void write_bytes(const std::string& path, const std::vector<uint8_t>& bytes);

// Sets the root's hash and the file's size in the header to what they now are, so that damage
// behind those two checks is reached too.
void repair_header(std::vector<uint8_t>* bytes);

}  // namespace zoetrope
