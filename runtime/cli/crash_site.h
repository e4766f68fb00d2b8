// Whose code a thread crashed in. Drivers and codecs run threads of their own, and call back.
#pragma once

namespace zoetrope {

// `context`: of the signal's handler (ucontext_t). The file of the library that crashed, or that
// called libc into a crash; null: ours, or nobody knows. Fit for handlers of signals.
const char* foreign_library_at(const void* context);

}  // namespace zoetrope
