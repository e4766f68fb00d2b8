// What the .zoe file says about using its components: which stages make a clip or a picture, in
// which order, with which names, sizes and constants. The runtime knows kinds of stages and no
// model; whatever differs from model to model stands here. FORMAT.md shows the JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "graph/format/clip_spec.h"
#include "graph/format/diffusion_spec.h"
#include "graph/format/flow_spec.h"
#include "graph/format/given_stages.h"
#include "graph/status.h"

namespace zoetrope {

// Stages hand each other named values. `component` is a graph of the file; `input`, `output`, ...
// are names of its inputs and outputs.

// Prompts to features. Gives `gives` [rows, length, width] and, where named, `gives_lengths`
// i32[rows]: how many ids of each row are text.
struct EncodeText {
  std::string component, ids, lengths, output;  // lengths: empty where the graph takes none
  std::string gives, gives_lengths;
  enum class Tokenizer : uint8_t { kBytes, kSentencePiece, kClipBpe, kByteBpe, kPieceBpe };
  Tokenizer tokenizer = Tokenizer::kBytes;
  std::string tokenizer_name = "";  // of the file's; empty: the one without a name
  // An output [rows, width] of the graph that stands for the whole text, and what it is given as;
  // both or neither.
  std::string pooled = "", gives_pooled = "";
  int bos = -1, eos = -1;     // ids put before and behind; -1: none
  int pad = 0;                // fills the rows
  int max_ids = 0;            // longest row, with bos and eos
  bool pad_to_max = false;    // every row has max_ids; else the request's longest decides
  bool zero_padding = false;  // features of padding become 0
  bool clean = false;         // prompts are cleaned first (runtime/text/clean.h)
  bool strip = false;         // prompts lose the white space at their ends
  std::string prefix = "";    // before the prompt, not the negative one; "{fps}": the clip's rate
  bool quoted = false;        // only what stands in quotation marks is read
  int byte_offset = 0;        // of kBytes: the id of byte 0
  int places = 0;             // length of what is given; 0: as many as ids
  // Where EndPictures has pictures they are read with the words: before the prompt stands for each
  // a label, `begin`, an id for each place of the picture, and `end`.
  struct Seen {
    // [1, height, width, 3] in [-1, 1] to [1, places, width]: a place for each square of `pixels`
    std::string component = "", input = "", output = "";
    // In place of the encoder of words, with the same outputs. It takes as well `features`
    // [1, places, width], `reads` i32[rows, length]: 0 of a word, else one more than the place that
    // is read there; and `positions` f32[rows, length, 3], of time, rows and columns.
    std::string text = "", features = "", reads = "", positions = "";
    std::string label = "";  // with "{n}" for its number, from 1
    int begin = 0, place = 0, end = 0;
    int pixels = 1;
    int64_t least_pixels = 0, most_pixels = 0;  // of a picture; 0: any
    std::string gives = "";  // f32[rows, length]: 1 from `begin` to `end`, else 0
  };
  std::optional<Seen> seen = std::nullopt;
};

// Labels of classes. Gives i32[rows]; the rows that guidance compares with hold null_class.
struct ClassLabel {
  std::string gives;
  int classes = 0;
  int null_class = 0;
  std::vector<std::string> names;  // by class, synonyms between commas; may be empty
  int preset = -1;                 // where none is named; -1: one must be
  bool every_row = false;          // rows that guidance compares with hold the label, too
};

// Several stages may denoise the same latents: each later one goes on from what the one before has
// made, as noisy as its first time. Steps, guidance and sampler that a request asks for are of the
// first.
//
// The sampler is flow matching, or discrete-time diffusion: there the time input is the training
// step and the network's output has the latents' channels, or twice as many: then the second half
// is raw variance, which a learned variance reads and everything else drops.
struct Denoise {
  std::string component;
  std::string time;       // input [rows]
  double time_scale = 1;  // the input is the sampler's time times this
  // The latents that it makes: network input and output, [rows, ...].
  struct Stream {
    std::string latents, input, output;
    std::optional<double> guidance = std::nullopt;  // absent: the network's
    // Of flow matching: the guided prediction of the result gets the spread of what was wanted, to
    // this part (arXiv 2305.08891).
    double rescale = 0;
    // Of steps of Euler: the stream has times of its own, the stage's with this shift, of which
    // another input [rows] tells.
    struct Schedule {
      std::string time = "";
      double shift = 1;
    };
    std::optional<Schedule> schedule = std::nullopt;  // absent: the stage's
  };
  std::vector<Stream> streams;
  // Values of earlier stages, and the inputs that take them.
  struct Condition {
    std::string value, input;
  };
  std::vector<Condition> conditions;
  std::variant<FlowSampler, DiffusionSpec> sampler;
  int steps = 30;
  double guidance = 1;        // 1: no guidance
  int guidance_channels = 0;  // the first N channels are guided, the rest is the prompt's; 0: all
  // More rows to move away from: what is wanted, with this input [rows], else 0, at 1. Their
  // difference counts `scales` times, one a stream. Or what is not wanted, with this input, and
  // their difference from it.
  struct Weaker {
    std::string input;
    std::vector<double> scales;
    bool unwanted = false;
  };
  std::vector<Weaker> weaker;
  // Of flow matching: another component with the same inputs and outputs, where the network is told
  // a time less than `below` (and not less than that of the next). Falling.
  struct Expert {
    std::string component;
    double below = 0;
    std::optional<double> guidance = std::nullopt;  // absent: as above
  };
  std::vector<Expert> experts;
  Reduced reduced = {};
  // In place of `component` where key frames are given (KnownLatents): the same inputs and outputs,
  // whose latents have those of the key frames behind the clip's own, and `input`, which takes
  // their times.
  struct Keyed {
    std::string component, input, value;
  };
  std::optional<Keyed> keyed = std::nullopt;
  // In place of `component` where EndPictures has pictures: the same inputs and outputs, and these.
  struct Ended {
    std::string component;
    std::vector<Condition> conditions;
  };
  std::optional<Ended> ended = std::nullopt;
  // Longer clips are seen in windows of so many latents along time, of those of the picture or,
  // where there is none, of the sound; length 0: whole. What a call makes of a latent counts less
  // towards the ends that it shares with others: over the overlap, or from the window's middle on.
  struct Windows {
    int64_t length = 0, overlap = 0;
    enum class Weights : uint8_t { kSlopes, kTriangle } weights = Weights::kSlopes;
  };
  Windows windows = {};

  // 0: `component`; i: experts[i - 1].
  size_t network_at(double told) const;
  size_t networks() const { return 1 + experts.size(); }
  const std::string& network(size_t i) const {
    return i == 0 ? component : experts[i - 1].component;
  }
  double guidance_of(size_t i) const {
    return i == 0 ? guidance : experts[i - 1].guidance.value_or(guidance);
  }
  double guidance_of(size_t i, const Stream& stream) const {
    return stream.guidance.value_or(guidance_of(i));
  }
};

// Latents of pictures, as a decoder takes them, to `factor` / `divisor` times as many rows and
// columns.
struct ResampleLatents {
  std::string latents, component, input, output;
  int factor = 2, divisor = 1;
};

struct Decode {
  std::string latents, component, input, output;
  TileSpec tiles;
  std::string first = "";  // of video
  // Of video whose decoder has no `first`, beside `tiles`: along rows and along columns.
  TileSpec area = {};
};
struct DecodeVideo : Decode {};  // output [batch, frames, height, width, 3] in [-1, 1]
struct DecodeImage : Decode {};  // output [batch, height, width, 3] in [-1, 1]
struct DecodeSound : Decode {};  // output [batch, samples, channels] in [-1, 1]

using Stage = std::variant<EncodeText, ClassLabel, ImageFeatures, FrameFeatures, ReferenceFeatures,
                           EndPictures, StartPicture, SourceClip, KnownLatents, Denoise,
                           ResampleLatents, DecodeSound, DecodeVideo, DecodeImage>;

// "encode_text", "class_label", ...
std::string_view stage_kind(const Stage& stage);

// How a short prompt becomes one of the kind that the model was trained on.
struct Expansion {
  std::string instructions = "";  // to a language model
  // Without one: `pattern` holds "{name}" for each slot, and gets a word of it: the prompt's own
  // where it has one. The words are plain English in lower case.
  struct Slot {
    std::string name;
    std::vector<std::string> words;
  };
  std::string pattern = "";
  std::vector<Slot> slots = {};
};

struct Recipe {
  ClipSpec clip;
  std::vector<LatentSpec> latents;
  std::vector<Stage> stages;  // in the order in which they run; none: only components
  std::string incomplete;     // what the file lacks for generating, for people; empty: nothing
  std::optional<Expansion> expansion = std::nullopt;  // none: prompts are taken as they are

  const LatentSpec* find_latents(std::string_view name) const;
  const Denoise* denoise() const;  // the first; null where there is none
  // The stream of pictures (image or video), and that of sound; null where there is none.
  const LatentSpec* picture() const;
  const LatentSpec* sound() const;
  // It makes no picture, whatever it looks at.
  bool sound_alone() const { return picture() == nullptr && sound() != nullptr; }
  bool reads_text() const;
};

// Strict: unknown keys, wrong types, values out of bounds and names that refer to nothing are
// errors that say where. Whether the components fit is the engine's to check.
Result<Recipe> parse_recipe(std::string_view json);
std::string recipe_to_json(const Recipe& recipe);

// Names as the JSON has them, for flags and messages.
std::string_view media_name(Modality media);
std::string_view solver_name(FlowSolver solver);
std::string_view schedule_name(FlowSchedule schedule);
std::string_view unipc_b_name(UniPcB b);
std::string_view tokenizer_name(EncodeText::Tokenizer tokenizer);
// kInvalidArgument lists the names.
Result<FlowSolver> parse_flow_solver(std::string_view name);
Result<FlowSchedule> parse_flow_schedule(std::string_view name);

}  // namespace zoetrope
