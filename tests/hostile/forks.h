// Copies of a process of one thread, each of which fails at the allocation that the process has
// come to: every allocation of a command is made to fail in little more time than its runs take.
#pragma once

#include <cstdint>

// What the process tells the test of a copy that has ended.
struct ForkReport {
  int64_t at;      // the allocation
  int32_t on;      // 1: every later one failed, too
  int32_t files;   // in the folder of outputs, before the copy
  int32_t status;  // as waitpid gives it, or kNotForked
  // Other threads run, which a copy would lack, or libraries are being set up: OpenSSL then holds
  // locks that are this thread's by number, and a copy's thread has another.
  static constexpr int32_t kNotForked = -1;
};

// Reads ZT_FAIL_FORK="SOCKET EVERY SECONDS FOLDER OUTPUTS": reports go to that socket, and wait
// there for a byte each; copies are made at every EVERY-th allocation and may take SECONDS. What
// they write to standard output and error lies in FOLDER, under "out" and "error". OUTPUTS is where
// the command writes its files. ZOETROPE_FAIL_RANGE="FIRST-LAST" bounds the allocations.
void begin_forks();
void allow_forks();

// Whether this process is a copy. What it sees is not the process'.
bool is_copy();

// Whether `at` fails in this process, a copy or not; `*on`: and every later one.
bool fork_at(int64_t at, bool* on);
