// Shared libraries loaded at run time.
#pragma once

#include <string>

#include "graph/status.h"

namespace zoetrope {

// The handle of dlopen. A library that is missing or does not fit is kUnavailable, one that finds
// no memory to be loaded into is kResourceExhausted. `what` begins the message: "backend 'cpu'".
Result<void*> open_library(const std::string& path, const std::string& what);

}  // namespace zoetrope
