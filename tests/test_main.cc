#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#ifdef __SANITIZE_THREAD__
// Mesa's software driver locks in ways that the sanitizer does not see.
extern "C" const char* __tsan_default_suppressions() { return "race:libvulkan_lvp.so\n"; }
#endif
