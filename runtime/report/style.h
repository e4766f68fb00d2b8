// The look of pages and plots, in light and dark.
#pragma once

#include <string_view>

namespace zoetrope {

// Custom properties for both; colours of series keep apart for eyes that confuse red and green.
std::string_view color_css();
std::string_view plot_css();
std::string_view page_css();

}  // namespace zoetrope
