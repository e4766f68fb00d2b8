#include "runtime/c/hooks.h"

#include "runtime/c/arguments.h"
#include "runtime/c/objects.h"

namespace zoetrope {
namespace {

Status said(bool go_on) {
  return go_on ? Status() : error(Code::kCancelled, "cancelled by a callback");
}

}  // namespace

Result<Callbacks> Callbacks::create(const zoetrope_callbacks* given) {
  Callbacks c;
  ZT_RETURN_IF_ERROR(read_struct(given, "zoetrope_callbacks", &c.calls_));
  if (c.calls_.token != nullptr) {
    ZT_ASSIGN_OR_RETURN(c.source_, tokens().find(c.calls_.token));
  }
  return c;
}

void Callbacks::expect(std::vector<ExpectedTask> tasks) {
  expects_ = !tasks.empty();
  remaining_ = RemainingTime(std::move(tasks));
  begun_ = std::chrono::steady_clock::now();
}

bool Callbacks::progress(std::string_view task, double done, double total) {
  if (stopped_ || stop().stop_requested()) return false;
  if (calls_.progress == nullptr) return true;
  const std::string name(task);
  zoetrope_progress p{sizeof(zoetrope_progress), name.c_str(), done, total, -1};
  if (expects_) {
    const double now =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count();
    remaining_.update(task, total > 0 ? done / total : 0, now);
    p.seconds_left = remaining_.left(now);
  }
  return calls_.progress(calls_.user, &p) == 0;
}

void Callbacks::notice(const std::string& text) {
  if (calls_.notice != nullptr && calls_.notice(calls_.user, text.c_str()) != 0) stopped_ = true;
}

Status Callbacks::frames(const uint8_t* pixels, int64_t count, int64_t width,
                         int64_t height) const {
  return said(calls_.frames == nullptr ||
              calls_.frames(calls_.user, pixels, count, width, height) == 0);
}

Status Callbacks::audio(const float* samples, int64_t count, int channels, int rate) const {
  return said(calls_.audio == nullptr ||
              calls_.audio(calls_.user, samples, count, channels, rate) == 0);
}

void Callbacks::preview(const Preview& fitted, const RequestPlan& plan,
                        std::span<const float> latents, int step) {
  const PreviewFrames frames =
      fitted.draw(plan, latents, calls_.preview_frames > 0 ? calls_.preview_frames : 4);
  if (calls_.preview(calls_.user, frames.pixels.data(), frames.count, frames.width, frames.height,
                     step) != 0)
    stopped_ = true;
}

RunHooks Callbacks::hooks() {
  RunHooks hooks;
  hooks.progress = [this](std::string_view task, double done, double total) {
    return progress(task, done, total);
  };
  hooks.notice = [this](const std::string& text) { notice(text); };
  hooks.stop = stop();
  return hooks;
}

}  // namespace zoetrope
