// Call stacks that have allocated: one allocation of each stands for all others of it.
#pragma once

// What is seen is kept in the file that ZT_FAIL_SEEN names, if it names one: processes that lie at
// the same addresses share it. Call it where libraries are set up.
void begin_stacks();

// Whether no allocation came from here before: from the kFrames innermost calls (stacks.cc).
bool is_new_stack();
