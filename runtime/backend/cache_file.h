// Files that backends keep between runs: compiled pipelines, measured choices. All are safe to
// lose, and processes share them.
#pragma once

#include <string>
#include <string_view>

namespace zoetrope {

// $XDG_CACHE_HOME/zoetrope/`name`, or under ~/.cache; empty: nowhere.
std::string cache_path(std::string_view name);

// Writes to a draft beside `path` and renames it: readers find the old bytes or the new ones,
// whole. Makes the folder. False, and nothing left behind, where that cannot be.
bool write_cache(const std::string& path, std::string_view bytes);

// With a checksum in front, for readers that trust what they are given. Empty when there is no such
// file, when it is damaged, or larger than `most` bytes.
bool write_sealed_cache(const std::string& path, std::string_view bytes);
std::string read_sealed_cache(const std::string& path, size_t most);

}  // namespace zoetrope
