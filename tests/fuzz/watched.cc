#include "tests/fuzz/watched.h"

#include <chrono>
#include <new>

#include "tests/fuzz/heap_watch.h"

namespace zoetrope {

CaseResult watched(int64_t heap, const std::function<void()>& body,
                   const std::function<CaseResult()>& take) {
  const auto begin = std::chrono::steady_clock::now();
  limit_heap(heap, "a case");
  std::string wrong;
  try {
    body();
  } catch (const std::bad_alloc&) {
    wrong = "memory was asked for without an end";
  } catch (const std::exception& e) {
    wrong = std::string("an exception: ") + e.what();
  }
  CaseResult result = take();
  if (!wrong.empty()) result.wrong = wrong;
  result.heap = heap_peak();
  limit_heap(0, "");
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

bool tell_failure(const Status& status, CaseResult* result) {
  if (status.ok()) return false;
  result->said = std::string(code_name(status.code())) + ": " + status.message();
  if (status.code() == Code::kInternal) result->wrong = "an invariant of ours: " + result->said;
  return true;
}

}  // namespace zoetrope
