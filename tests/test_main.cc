#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "tests/skip.h"

#ifdef __SANITIZE_THREAD__
// Mesa's software driver locks in ways that the sanitizer does not see.
extern "C" const char* __tsan_default_suppressions() { return "race:libvulkan_lvp.so\n"; }
#endif

namespace {

// Of the run so far. Test cases run one after the other.
struct Seen {
  int cases = 0;
  int skipped = 0;  // cases that checked nothing else
  std::vector<std::string> reasons, idle;
  std::string current;
  bool current_skipped = false;
} seen;

class Watcher : public doctest::IReporter {
 public:
  explicit Watcher(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_start(const doctest::TestCaseData& data) override {
    seen.current = data.m_name;
    seen.current_skipped = false;
    ++seen.cases;
  }
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats& stats) override {
    if (stats.numAssertsCurrentTest > 0) return;
    if (seen.current_skipped)
      ++seen.skipped;
    else
      seen.idle.push_back(seen.current);
  }
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};
REGISTER_LISTENER("watcher", 1, Watcher);

}  // namespace

namespace zoetrope {

void skip(const std::string& why) {
  seen.current_skipped = true;
  seen.reasons.push_back(seen.current + ": " + why);
}

}  // namespace zoetrope

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  const int failed = context.run();
  if (context.shouldExit()) return failed;
  for (const std::string& reason : seen.reasons) std::printf("SKIPPED %s\n", reason.c_str());
  for (const std::string& name : seen.idle)
    std::printf("FAILED %s: it neither checked anything nor skipped\n", name.c_str());
  if (seen.cases == 0) std::printf("FAILED: no test case has such a name\n");
  if (failed != 0 || !seen.idle.empty() || seen.cases == 0) return failed != 0 ? failed : 1;
  return seen.skipped == seen.cases ? zoetrope::kSkipped : 0;
}
