// Every kind of stage.
#include "runtime/engine/stage.h"

namespace zoetrope {
namespace {

struct Find {
  const StageDef& operator()(const EncodeText&) const { return kEncodeTextStage; }
  const StageDef& operator()(const ClassLabel&) const { return kClassLabelStage; }
  const StageDef& operator()(const ImageFeatures&) const { return kImageFeaturesStage; }
  const StageDef& operator()(const FrameFeatures&) const { return kFrameFeaturesStage; }
  const StageDef& operator()(const ReferenceFeatures&) const { return kReferenceFeaturesStage; }
  const StageDef& operator()(const EndPictures&) const { return kEndPicturesStage; }
  const StageDef& operator()(const SourceClip&) const { return kSourceClipStage; }
  const StageDef& operator()(const StartPicture&) const { return kStartPictureStage; }
  const StageDef& operator()(const KnownLatents&) const { return kKnownLatentsStage; }
  const StageDef& operator()(const Denoise&) const { return kDenoiseStage; }
  const StageDef& operator()(const ResampleLatents&) const { return kResampleLatentsStage; }
  const StageDef& operator()(const DecodeSound&) const { return kDecodeSoundStage; }
  const StageDef& operator()(const DecodeVideo&) const { return kDecodeVideoStage; }
  const StageDef& operator()(const DecodeImage&) const { return kDecodeImageStage; }
};

}  // namespace

const StageDef& stage_def(const Stage& stage) { return std::visit(Find(), stage); }

}  // namespace zoetrope
