// Shared libraries loaded at run time.
#pragma once

#include <string>

#include "graph/status.h"

namespace zoetrope {

// The handle of dlopen. A library that is missing or does not fit is kUnavailable, one that finds
// no memory to be loaded into is kResourceExhausted. `what` begins the message: "backend 'cpu'".
Result<void*> open_library(const std::string& path, const std::string& what);

// The folder that holds this library, where other parts of the installation are found from; empty
// where the system does not say.
std::string library_folder();

// A model that comes with the program, by its file's name: $ZOETROPE_MODEL in its place, or
// share/zoetrope/NAME of this library's installation or build.
Result<std::string> installed_model(const std::string& name);

}  // namespace zoetrope
