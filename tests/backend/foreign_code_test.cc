// What is known of calls of other libraries.
#include "runtime/backend/foreign_code.h"

#include <doctest/doctest.h>

#include <cerrno>

using namespace zoetrope;

TEST_CASE("the innermost call is told, and errno is left as it was") {
  CHECK(ForeignCode::current() == nullptr);
  const ForeignCode loading(ForeignCode::Kind::kSetUp, "loading");
  {
    errno = ERANGE;
    const ForeignCode reading(ForeignCode::Kind::kReading, "reading");
    CHECK(errno == ERANGE);
    CHECK(ForeignCode::current() == &reading);
    CHECK(ForeignCode::current()->kind() == ForeignCode::Kind::kReading);
    errno = EDOM;
  }
  CHECK(errno == EDOM);
  CHECK(ForeignCode::current() == &loading);
}

TEST_CASE("where nobody counts, errno tells of refused memory") {
  RefusalWatch watch;
  CHECK(!watch.refused());
  errno = ENOMEM;
  CHECK(watch.refused());
  CHECK(!RefusalWatch().refused());
}
