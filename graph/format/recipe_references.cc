#include "graph/format/recipe_references.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

namespace zoetrope {
namespace {

// Names that stages hand each other, in the order in which the stages run.
class References {
 public:
  explicit References(const Recipe& recipe) : recipe_(recipe) {}

  Status check() {
    std::set<std::string> names;
    for (const LatentSpec& l : recipe_.latents)
      if (!names.insert(l.name).second) return bad("latents '", l.name, "' appear twice");
    int pictures = 0, sounds = 0, denoising = 0;
    for (const LatentSpec& l : recipe_.latents) ++(l.media == Modality::kSound ? sounds : pictures);
    if (pictures > 1 || sounds > 1) return bad("more than one stream of pictures, or of sound");
    if (sounds > 0 && recipe_.clip.sample_rate == 0)
      return bad("latents of sound without 'clip.sample_rate'");
    for (const Stage& stage : recipe_.stages) {
      ZT_RETURN_IF_ERROR(std::visit([&](const auto& s) { return visit(s); }, stage));
      behind_denoise_ = std::holds_alternative<Denoise>(stage);
      denoising += behind_denoise_;
    }
    if (recipe_.stages.empty()) return Status();
    if (denoising == 0) return bad("no stage denoises");
    if (ends_ && !ended_) return bad("'end_pictures', and no stage denoises with 'ended'");
    for (const LatentSpec& l : recipe_.latents)
      if (!decoded_.contains(l.name)) return bad("no stage decodes latents '", l.name, "'");
    return Status();
  }

 private:
  template <typename... Args>
  static Status bad(const Args&... what) {
    return error(Code::kDataLoss, "recipe: ", what...);
  }

  Status give(const std::string& name) {
    if (!name.empty() && !values_.insert(name).second)
      return bad("value '", name, "' is given twice");
    return Status();
  }

  // A value that there is only where EndPictures has pictures.
  Status give_of_ends(const std::string& name) {
    of_ends_.insert(name);
    return give(name);
  }

  Result<const LatentSpec*> latents(const std::string& name) const {
    const LatentSpec* l = recipe_.find_latents(name);
    if (l == nullptr) return bad("there are no latents '", name, "'");
    return l;
  }

  static Status first_of_video(const std::string& first, const LatentSpec& l) {
    if (first.empty() || l.media == Modality::kVideo) return Status();
    return bad("'first' is of video; latents '", l.name, "' are ", media_name(l.media));
  }

  Status before_denoising(std::string_view kind) const {
    return denoised_.empty() ? Status() : bad("'", kind, "' stands behind 'denoise'");
  }

  Status visit(const EncodeText& s) {
    ZT_RETURN_IF_ERROR(before_denoising("encode_text"));
    ZT_RETURN_IF_ERROR(give(s.gives));
    ZT_RETURN_IF_ERROR(give(s.gives_pooled));
    if (s.seen) ZT_RETURN_IF_ERROR(give_of_ends(s.seen->gives));
    if (s.seen && !ends_in_pictures())
      return bad("'seen' of 'encode_text', and no stage 'end_pictures' whose pictures they are");
    return give(s.gives_lengths);
  }
  bool ends_in_pictures() const {
    return std::any_of(recipe_.stages.begin(), recipe_.stages.end(), [](const Stage& stage) {
      return std::holds_alternative<EndPictures>(stage);
    });
  }
  Status visit(const EndPictures& s) {
    ZT_RETURN_IF_ERROR(before_denoising("end_pictures"));
    ZT_ASSIGN_OR_RETURN(const LatentSpec* l, latents(s.latents));
    if (l->media != Modality::kVideo)
      return bad("'end_pictures' of '", l->name, "', which are ", media_name(l->media),
                 "; expected video");
    if (ends_) return bad("two stages 'end_pictures'");
    ends_ = true;
    ZT_RETURN_IF_ERROR(give_of_ends(s.gives_times));
    return give_of_ends(s.gives);
  }
  Status visit(const ClassLabel& s) {
    ZT_RETURN_IF_ERROR(before_denoising("class_label"));
    return give(s.gives);
  }
  Status visit(const ImageFeatures& s) {
    ZT_RETURN_IF_ERROR(before_denoising("image_features"));
    return give(s.gives);
  }
  Status visit(const FrameFeatures& s) {
    ZT_RETURN_IF_ERROR(before_denoising("frame_features"));
    ZT_ASSIGN_OR_RETURN(const LatentSpec* l, latents(s.latents));
    if (l->media != Modality::kSound)
      return bad("'frame_features' of '", l->name, "', which are ", media_name(l->media),
                 "; expected sound");
    return give(s.gives);
  }
  Status visit(const ReferenceFeatures& s) {
    ZT_RETURN_IF_ERROR(before_denoising("reference_features"));
    return give(s.gives);
  }
  Status visit(const SourceClip& s) {
    ZT_RETURN_IF_ERROR(before_denoising("source_clip"));
    ZT_ASSIGN_OR_RETURN(const LatentSpec* l, latents(s.latents));
    if (l->media != Modality::kVideo || l->first_frames != l->later_frames)
      return bad("'source_clip' is of video whose latents all stand for as many frames; '", l->name,
                 "' are other ones");
    for (const Range* r : {&recipe_.clip.width, &recipe_.clip.height})
      if (r->multiple % s.scale != 0 || r->offset % s.scale != 0)
        return bad("sizes in steps of ", r->multiple, " pixels; 'source_clip' divides them by ",
                   s.scale);
    sources_ = {s.gives, s.gives_black};
    ZT_RETURN_IF_ERROR(give(s.gives));
    return give(s.gives_black);
  }
  Status visit(const StartPicture& s) {
    ZT_RETURN_IF_ERROR(before_denoising("start_picture"));
    ZT_ASSIGN_OR_RETURN(const LatentSpec* l, latents(s.latents));
    if (l->media == Modality::kSound) return bad("'start_picture' of sound");
    if (l->period > 0) return bad("'start_picture' of latents with a period");
    ZT_RETURN_IF_ERROR(reduces(s.reduced, *l, s.first));
    return first_of_video(s.first, *l);
  }
  Status visit(const KnownLatents& s) {
    ZT_RETURN_IF_ERROR(before_denoising("known_latents"));
    ZT_ASSIGN_OR_RETURN(const LatentSpec* l, latents(s.latents));
    ZT_RETURN_IF_ERROR(first_of_video(s.first, *l));
    if (l->period > 0) return bad("'known_latents' of latents with a period");
    const bool video = l->media == Modality::kVideo;
    ZT_RETURN_IF_ERROR(reduces(s.reduced, *l, s.first));
    if (!video && (!s.kept() || s.required || !s.gives_key_times.empty()))
      return bad("'fill', 'mask', 'required' and key frames are of video; '", l->name, "' are ",
                 media_name(l->media));
    if (l->media != Modality::kSound && s.tiles.length > 0)
      return bad("'tiles' of known latents are of sound; '", l->name, "' are ",
                 media_name(l->media));
    if (s.mask == KnownLatents::Mask::kFrames && l->first_frames != 1 &&
        l->first_frames != l->later_frames)
      return bad("a mask of frames: the first latent of '", l->name, "' stands for ",
                 l->first_frames, " frames; expected 1 or as many as the later ones, ",
                 l->later_frames);
    ZT_RETURN_IF_ERROR(give(s.gives));
    ZT_RETURN_IF_ERROR(give(s.gives_key_times));
    known_[s.gives] = known_[s.gives_mask] = known_[s.gives_key_times] = &s;
    return give(s.gives_mask);
  }
  // Pixels of the clip's sizes come in whole latents of the reduced ones.
  Status reduces(Reduced by, const LatentSpec& l, const std::string& first = "") const {
    if (!by.any()) return Status();
    const int64_t step = int64_t{by.by} * l.pixels;
    if (l.media == Modality::kSound || !first.empty())
      return bad("'reduced' is of pictures whose coders have no 'first'");
    for (const Range* r : {&recipe_.clip.width, &recipe_.clip.height})
      if (r->multiple % step != 0 || r->offset != 0)
        return bad("sizes in steps of ", r->multiple, " pixels; latents reduced by ", by.text(),
                   " take steps of ", step);
    return Status();
  }

  Status visit(const Denoise& s) {
    if (!denoised_.empty() && std::holds_alternative<DiffusionSpec>(s.sampler))
      return bad("a later stage that denoises takes the sampler flow matching");
    if (!denoised_.empty() && s.windows.length > 0)
      return bad("'windows' of a later stage that denoises: the first one's hold for all");
    std::map<std::string, Reduced> own;
    for (const Denoise::Stream& stream : s.streams) {
      ZT_ASSIGN_OR_RETURN(const LatentSpec* l, latents(stream.latents));
      const bool sound = l->media == Modality::kSound;
      if (!own.emplace(stream.latents, sound ? Reduced{} : s.reduced).second)
        return bad("latents '", stream.latents, "' are denoised twice in one stage");
      if (!sound) ZT_RETURN_IF_ERROR(reduces(s.reduced, *l));
      const auto before = denoised_.find(stream.latents);
      if (before == denoised_.end() && !denoised_.empty())
        return bad("latents '", stream.latents, "' are not those of the first stage that denoises");
      if (before != denoised_.end() && !sound && before->second != s.reduced)
        return bad("latents '", stream.latents, "' are reduced by ", before->second.text(),
                   " before a stage that denoises them reduced by ", s.reduced.text());
    }
    if (!denoised_.empty() && own.size() != denoised_.size())
      return bad("a later stage denoises ", own.size(), " streams, the first ", denoised_.size());
    denoised_ = std::move(own);
    for (const Denoise::Condition& c : s.conditions) {
      if (of_ends_.contains(c.value))
        return bad("condition '", c.value, "' is there only where 'end_pictures' has pictures; ",
                   "expected among the conditions of 'ended'");
      ZT_RETURN_IF_ERROR(takes(s, c));
    }
    for (const LatentSpec& l : recipe_.latents)
      if (s.windows.length > 0 && l.period > 0)
        return bad("'windows' over latents '", l.name, "', which have a period");
    if (s.ended && !ends_) return bad("'ended', and no stage 'end_pictures' before it");
    if (s.ended)
      for (const Denoise::Condition& c : s.ended->conditions) ZT_RETURN_IF_ERROR(takes(s, c));
    ended_ = ended_ || s.ended;
    if (!s.keyed) return Status();
    const auto times = known_.find(s.keyed->value);
    if (times == known_.end() || times->second->gives_key_times != s.keyed->value)
      return bad("'keyed': no stage gives '", s.keyed->value, "' as times of key frames");
    return fits(s, *times->second);
  }
  Status takes(const Denoise& s, const Denoise::Condition& c) const {
    if (!values_.contains(c.value)) return bad("no earlier stage gives '", c.value, "'");
    if (const auto known = known_.find(c.value); known != known_.end())
      ZT_RETURN_IF_ERROR(fits(s, *known->second));
    if (s.reduced.any() && sources_.contains(c.value))
      return bad("'", c.value, "' of 'source_clip' is of the clip's size, what denoises with it ",
                 "is 'reduced' by ", s.reduced.text());
    return Status();
  }
  Status fits(const Denoise& s, const KnownLatents& known) const {
    const bool sound = recipe_.find_latents(known.latents)->media == Modality::kSound;
    if (sound || known.reduced == s.reduced) return Status();
    return bad("'", known.gives, "' is reduced by ", known.reduced.text(),
               ", what denoises with it by ", s.reduced.text());
  }
  Status visit(const ResampleLatents& s) {
    ZT_ASSIGN_OR_RETURN(const LatentSpec* l, latents(s.latents));
    // Directly: it enlarges what a field bounds, and so does no product overflow.
    if (!behind_denoise_)
      return bad("'resample_latents' of '", s.latents,
                 "' does not stand directly behind a stage that denoises");
    const auto of = denoised_.find(s.latents);
    const bool picture = of != denoised_.end() && l->media != Modality::kSound;
    const Reduced left = picture ? of->second.grown(s.factor, s.divisor) : Reduced{};
    if (!picture || left.to > left.by)
      return bad("'resample_latents' by ", Reduced{s.factor, s.divisor}.text(), " of '", s.latents,
                 "': expected latents of pictures that are denoised at a size reduced by as much");
    of->second = left;
    return reduces(left, *l);
  }
  Status decode(const Decode& s, Modality media) {
    ZT_ASSIGN_OR_RETURN(const LatentSpec* l, latents(s.latents));
    if (l->media != media)
      return bad("latents '", l->name, "' are ", media_name(l->media), ", not ", media_name(media),
                 " as their decoder's kind says");
    ZT_RETURN_IF_ERROR(first_of_video(s.first, *l));
    const auto denoised = denoised_.find(s.latents);
    if (denoised == denoised_.end()) return bad("latents '", s.latents, "' are not denoised");
    if (denoised->second.any())
      return bad("latents '", s.latents, "' are decoded at a size reduced by ",
                 denoised->second.text());
    const bool whole = media != Modality::kVideo || !s.first.empty();
    if (s.area.length > 0 && whole) return bad("'area' is of video whose decoder has no 'first'");
    if ((s.tiles.stitched || s.area.stitched) && whole)
      return bad("'stitched' is of video whose decoder has no 'first'");
    if (l->period > 0 && (whole || !s.tiles.stitched))
      return bad("latents '", l->name, "' have a period: their decoder takes stitched tiles");
    if (!decoded_.insert(s.latents).second)
      return bad("latents '", s.latents, "' are decoded twice");
    return Status();
  }
  Status visit(const DecodeSound& s) { return decode(s, Modality::kSound); }
  Status visit(const DecodeVideo& s) { return decode(s, Modality::kVideo); }
  Status visit(const DecodeImage& s) { return decode(s, Modality::kImage); }

  const Recipe& recipe_;
  bool ends_ = false;                                 // a stage gives pictures at the ends
  bool ended_ = false;                                // a stage denoises with them
  bool behind_denoise_ = false;                       // the stage before this one denoises
  std::set<std::string> values_, decoded_, sources_;  // the last: of source clips
  std::set<std::string> of_ends_;                     // values of those pictures
  std::map<std::string, Reduced> denoised_;           // latents, and by how much they are reduced
  std::map<std::string, const KnownLatents*> known_;  // by what they give
};

}  // namespace

Status check_references(const Recipe& recipe) { return References(recipe).check(); }

}  // namespace zoetrope
