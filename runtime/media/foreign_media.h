// What people give that is no picture, clip or sound, or not whole, called what it is.
#pragma once

#include <string>

namespace zoetrope {

// For an error's message, such as "a web page (HTML): the download failed or wants a login"; empty:
// not known. Reads the file's first bytes, and of MP4 where its boxes lie.
std::string name_foreign_media(const std::string& path);

}  // namespace zoetrope
