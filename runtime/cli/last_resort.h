// What ends the command where code crashes, or never comes back: with an exit code that says why,
// and nothing half written.
#pragma once

namespace zoetrope {

// Before other threads are started. A crash for want of memory ends with kExitNoMemory, one on a
// damaged file with kExitBadFile, others by their signal.
void watch_crashes();

// Calls of other libraries (ForeignCode) that last too long once memory was refused, or while they
// read a file for one who asked for an end.
void watch_long_calls();

}  // namespace zoetrope
