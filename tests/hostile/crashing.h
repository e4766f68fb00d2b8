// A library of somebody else's that crashes.
#pragma once

extern "C" {
void crash_here();
void crash_in_libc();
void crash_at_null();
void crash_in_a_thread();
void call_back(void (*function)());
}
