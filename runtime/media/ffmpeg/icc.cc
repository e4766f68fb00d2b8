#include "runtime/media/ffmpeg/icc.h"

#include <lcms2.h>

#include <algorithm>
#include <cmath>

namespace zoetrope {
namespace {

constexpr size_t kPixelsAtOnce = size_t{1} << 24;
// Three 16-bit values, of which the first counts.
constexpr cmsUInt32Number kGrayOfThree =
    COLORSPACE_SH(PT_GRAY) | EXTRA_SH(2) | CHANNELS_SH(1) | BYTES_SH(2);

std::string space_name(cmsColorSpaceSignature space) {
  switch (space) {
    case cmsSigCmykData: return "CMYK";
    case cmsSigLabData: return "Lab";
    case cmsSigXYZData: return "XYZ";
    default: break;
  }
  std::string name;
  for (int shift = 24; shift >= 0; shift -= 8) {
    const auto c = static_cast<char>(static_cast<uint32_t>(space) >> shift);
    name += c > 0x20 && c < 0x7f ? c : '?';
  }
  return name;
}

}  // namespace

std::vector<uint8_t> icc_profile_of(const PngColours& colours) {
  const auto& c = colours.chromaticities;
  const cmsCIExyY white{c[0], c[1], 1};
  const cmsCIExyYTRIPLE primaries{{c[2], c[3], 1}, {c[4], c[5], 1}, {c[6], c[7], 1}};
  const double power = 1 / colours.gamma;
  const cmsFloat64Number srgb[] = {2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045};
  constexpr double kNear = 0.05;
  cmsToneCurve* curve = std::abs(power / 2.2 - 1) < kNear
                            ? cmsBuildParametricToneCurve(nullptr, 4, srgb)
                            : cmsBuildGamma(nullptr, power);
  cmsToneCurve* const curves[] = {curve, curve, curve};
  std::vector<uint8_t> bytes;
  cmsHPROFILE profile =
      curve == nullptr ? nullptr : cmsCreateRGBProfile(&white, &primaries, curves);
  if (cmsUInt32Number size = 0;
      profile != nullptr && cmsSaveProfileToMem(profile, nullptr, &size)) {
    bytes.resize(size);
    if (!cmsSaveProfileToMem(profile, bytes.data(), &size)) bytes.clear();
  }
  if (profile != nullptr) cmsCloseProfile(profile);
  if (curve != nullptr) cmsFreeToneCurve(curve);
  return bytes;
}

struct IccTransform::Handles {
  cmsContext context = nullptr;
  cmsHPROFILE profile = nullptr, srgb = nullptr;
  cmsHTRANSFORM transform = nullptr;
  bool inks = false;

  ~Handles() {
    if (transform != nullptr) cmsDeleteTransform(transform);
    if (srgb != nullptr) cmsCloseProfile(srgb);
    if (profile != nullptr) cmsCloseProfile(profile);
    if (context != nullptr) cmsDeleteContext(context);
  }
};

IccTransform::IccTransform(std::unique_ptr<Handles> handles) : handles_(std::move(handles)) {}
IccTransform::~IccTransform() = default;

Result<std::shared_ptr<const IccTransform>> IccTransform::create(std::span<const uint8_t> profile,
                                                                 IccColours colours) {
  auto h = std::make_unique<Handles>();
  h->context = cmsCreateContext(nullptr, nullptr);
  if (h->context == nullptr) return error(Code::kResourceExhausted, "no memory");
  cmsSetLogErrorHandlerTHR(h->context, [](cmsContext, cmsUInt32Number, const char*) {});
  h->profile = cmsOpenProfileFromMemTHR(h->context, profile.data(),
                                        static_cast<cmsUInt32Number>(profile.size()));
  if (h->profile == nullptr) return error(Code::kDataLoss, "damaged");
  const cmsColorSpaceSignature space = cmsGetColorSpace(h->profile);
  const bool inks = space == cmsSigCmykData;
  if (colours == kInks ? !inks : space != cmsSigRgbData && space != cmsSigGrayData)
    return error(Code::kUnsupported, "of ", space_name(space), " colours");
  h->srgb = cmsCreate_sRGBProfileTHR(h->context);
  if (h->srgb == nullptr) return error(Code::kResourceExhausted, "no memory");
  // Absolute colours would show the paper's tint; screens show their own white.
  cmsUInt32Number intent = cmsGetHeaderRenderingIntent(h->profile);
  if (intent > INTENT_SATURATION) intent = INTENT_RELATIVE_COLORIMETRIC;
  h->transform = cmsCreateTransformTHR(h->context, h->profile,
                                       inks                      ? TYPE_CMYK_16
                                       : space == cmsSigGrayData ? kGrayOfThree
                                                                 : TYPE_RGB_16,
                                       h->srgb, TYPE_RGB_8, intent,
                                       cmsFLAGS_NOCACHE | cmsFLAGS_HIGHRESPRECALC);
  if (h->transform == nullptr) return error(Code::kDataLoss, "damaged");
  h->inks = inks;
  return std::shared_ptr<const IccTransform>(new IccTransform(std::move(h)));
}

std::vector<uint8_t> IccTransform::apply(std::span<const uint16_t> colours) const {
  const size_t values = handles_->inks ? 4 : 3, all = colours.size() / values;
  std::vector<uint8_t> out(3 * all);
  for (size_t at = 0; at < all; at += kPixelsAtOnce)
    cmsDoTransform(handles_->transform, colours.data() + values * at, out.data() + 3 * at,
                   static_cast<cmsUInt32Number>(std::min(kPixelsAtOnce, all - at)));
  return out;
}

bool IccTransform::is_srgb() const {
  for (int level = 0; level < 125; ++level) {  // a grid of five levels a channel
    const uint16_t rgb[] = {static_cast<uint16_t>(level % 5 * 16383),
                            static_cast<uint16_t>(level / 5 % 5 * 16383),
                            static_cast<uint16_t>(level / 25 * 16383)};
    const std::vector<uint8_t> out = apply(rgb);
    for (size_t c = 0; c < 3; ++c)
      if (std::abs(out[c] - rgb[c] / 257.0) > 1.6) return false;
  }
  return true;
}

}  // namespace zoetrope
