#include "runtime/backend/foreign_code.h"

namespace zoetrope {
namespace {

thread_local const char* running = nullptr;

}  // namespace

ForeignCode::ForeignCode(const char* what) : before_(running) { running = what; }
ForeignCode::~ForeignCode() { running = before_; }
const char* ForeignCode::current() { return running; }

}  // namespace zoetrope
