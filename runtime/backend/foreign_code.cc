#include "runtime/backend/foreign_code.h"

namespace zoetrope {
namespace {

thread_local const char* running = nullptr;
thread_local const char* called = nullptr;

}  // namespace

ForeignCode::ForeignCode(const char* what) : before_(running) { running = what; }
ForeignCode::~ForeignCode() { running = before_; }
const char* ForeignCode::current() { return running; }

ForeignCall::ForeignCall(const char* what) : before_(called) { called = what; }
ForeignCall::~ForeignCall() { called = before_; }
const char* ForeignCall::current() { return called; }

}  // namespace zoetrope
