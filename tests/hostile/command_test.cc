// Lying models in the hands of the command: it says what is wrong, soon and in little memory, and
// leaves nothing behind.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/format/small_model.h"
#include "tests/hostile/command.h"
#include "tests/hostile/lies.h"
#include "tests/patience.h"

using namespace zoetrope;

namespace {

constexpr TinyModel (*kModels[])() = {tiny_clip, tiny_causal, tiny_picture};

constexpr int kOk = 0, kUsage = 2, kBadFile = 3, kNoDevice = 4, kNoMemory = 5;

// The address sanitizer keeps what was freed, and shadows all of it.
#ifdef __SANITIZE_ADDRESS__
constexpr int64_t kMostMemory = 1500ll << 20;
#else
constexpr int64_t kMostMemory = 300ll << 20;
#endif

// One frame of 16 x 16 that generate() takes wherever a model needs one.
std::string write_picture(const TemporaryFolder& folder) {
  std::string text = "YUV4MPEG2 W16 H16 F4:1 C444\nFRAME\n";
  text.append(16 * 16 * 3, '\x60');
  write_bytes(folder / "frame.y4m", {text.begin(), text.end()});
  return folder / "frame.y4m";
}

bool knows_frames(const Recipe& recipe) {
  for (const Stage& stage : recipe.stages)
    if (std::holds_alternative<KnownLatents>(stage)) return true;
  return false;
}

// `plan` and `generate` of a model, with flags of both.
struct Commands {
  explicit Commands(const TinyModel& model, std::vector<std::string> flags = {})
      : flags_(std::move(flags)) {
    const Status written = model.write(folder_ / "m.zoe");
    REQUIRE_MESSAGE(written.ok(), written.message());
    picture_ = write_picture(folder_);
    for (const Stage& stage : model.recipe.stages) {
      if (std::holds_alternative<ClassLabel>(stage)) request_ = {"--class", "dog"};
      const auto* known = std::get_if<KnownLatents>(&stage);
      if (known != nullptr && known->required)
        request_.insert(request_.end(), {"--image", picture_});
    }
    if (model.recipe.reads_text()) prompt_ = {"a red ball"};
  }

  Outcome inspect() { return run({"inspect", folder_ / "m.zoe"}); }
  Outcome plan() {
    std::vector<std::string> all{"--model", folder_ / "m.zoe"};
    all.insert(all.end(), request_.begin(), request_.end());
    return run(with_flags("plan", std::move(all)), true);
  }
  // Nothing is left behind where it fails.
  Outcome generate(std::vector<std::string> more = {}) {
    std::vector<std::string> all{"--model", folder_ / "m.zoe", "-q", "-o", folder_ / "o.y4m"};
    all.insert(all.end(), request_.begin(), request_.end());
    all.insert(all.end(), prompt_.begin(), prompt_.end());
    all.insert(all.end(), more.begin(), more.end());
    Outcome outcome = run(with_flags("generate", std::move(all)), true);
    CHECK(folder_.listing() == (outcome.code == kOk ? "frame.y4m m.zoe o.y4m" : "frame.y4m m.zoe"));
    std::filesystem::remove(folder_ / "o.y4m");
    return outcome;
  }
  const std::string& picture() const { return picture_; }

 private:
  std::vector<std::string> with_flags(const char* command, std::vector<std::string> more) const {
    std::vector<std::string> all{command};
    all.insert(all.end(), more.begin(), more.end());
    all.insert(all.end(), flags_.begin(), flags_.end());
    return all;
  }
  Outcome run(std::vector<std::string> all, bool computes = false) {
    if (computes) all.insert(all.end(), {"--device", "cpu", "--threads", "1"});
    Outcome outcome = run_command(all);
    CHECK_MESSAGE(outcome.seconds < 10 * patience(), outcome.text());
    CHECK_MESSAGE(outcome.peak_bytes < kMostMemory, outcome.text());
    return outcome;
  }

  const TemporaryFolder folder_ = TemporaryFolder::in_memory();
  const std::vector<std::string> flags_;
  std::vector<std::string> request_, prompt_;
  std::string picture_;
};

void check(const Outcome& outcome, int code, const std::string& words) {
  CHECK_MESSAGE(outcome.code == code, outcome.text());
  CHECK_MESSAGE((outcome.out + outcome.error).find(words) != std::string::npos, outcome.text());
}

// Both commands refuse the file with these words; looking into it goes on working.
void check_refused(const TinyModel& model, const std::string& words) {
  Commands commands(model);
  check(commands.inspect(), kOk, model.info.name);
  check(commands.plan(), kBadFile, words);
  check(commands.generate(), kBadFile, words);
}

}  // namespace

TEST_CASE("the tiny models are honest: every command takes them") {
  for (const auto make : kModels) {
    const TinyModel model = make();
    CAPTURE(model.info.name);
    CHECK(opened(model).ok());
    Commands commands(model);
    check(commands.inspect(), kOk, model.info.name);
    check(commands.plan(), kOk, "denoise");
    check(commands.generate(), kOk, "");
    if (knows_frames(model.recipe))
      check(commands.generate({"--last-image", commands.picture()}),
            model.info.name == "tiny clip" ? kNoDevice : kOk, "");
  }
}

TEST_CASE("the command says which component is not what the recipe says") {
  const auto cast_to = [](DType dtype) {
    return [dtype](Builder& b, ValueId x) { return b.cast(x, dtype); };
  };
  TinyModel model = tiny_clip();
  change_output(&model, "decoder", 0, cast_to(DType::kF64));
  check_refused(model, "component 'decoder': output 'video' is f64");
  model = tiny_clip();
  change_output(&model, "vocoder", 0, cast_to(DType::kI8));
  check_refused(model, "component 'vocoder': output 'audio' is i8");
  model = tiny_causal();
  change_output(&model, "text_encoder", 0, cast_to(DType::kF64));
  check_refused(model, "component 'text_encoder': output 'text' is f64");
  model = tiny_picture();
  model.component("decoder").value(0).dims[1] = Dim::symbol("height") * 64;
  check_refused(model, "component 'decoder'");
  model = tiny_clip();
  model.info.tokenizers.clear();
  check_refused(model, "tokenizer");
  model = tiny_causal();
  model.stage<Denoise>().experts[0].component = "lost";
  check_refused(model, "'lost'");
}

TEST_CASE("a component that lies about other sizes than those looked at is found when planned") {
  // Right up to 6 latents a side, which is beyond what opening looks at.
  TinyModel model = tiny_clip();
  change_output(&model, "decoder", 0, [](Builder& b, ValueId x) {
    return b.slice(x, 3, 0, min(Dim::symbol("width") * 4, Dim(24)));
  });
  CHECK(opened(model).ok());
  check(Commands(model).generate(), kOk, "");
  Commands large(model, {"--width", "64"});
  for (const Outcome& outcome : {large.plan(), large.generate()})
    check(outcome, kBadFile, "output 'video'");
  // The same of an encoder, of the network and of the text.
  const struct {
    const char* component;
    int axis;
    const char* symbol;
    const char* words;
  } others[] = {{"encoder", 3, "width", "output 'latents'"},
                {"net", 3, "width", "output 'video_velocity'"}};
  for (const auto& other : others) {
    TinyModel bent = tiny_clip();
    change_output(&bent, other.component, 0, [&](Builder& b, ValueId x) {
      return b.slice(x, other.axis, 0, min(Dim::symbol(other.symbol), Dim(6)));
    });
    Commands commands(bent, {"--width", "64"});
    check(commands.generate({"--image", commands.picture()}), kBadFile, other.words);
  }
  // The longest text is looked at already when the file is opened.
  TinyModel bent = tiny_clip();
  bent.stage<EncodeText>().max_ids = 25;
  change_output(&bent, "text_encoder", 0, [](Builder& b, ValueId x) {
    return b.slice(x, 1, 0, min(Dim::symbol("text_length"), Dim(24)));
  });
  check(Commands(bent).plan(), kBadFile, "output 'text'");
}

TEST_CASE("what is not a number anywhere in a pipeline is an error, never a picture") {
  for (const Change& change : {Change(not_a_number), Change(infinite)})
    for (const std::string component : {"decoder", "vocoder", "net", "text_encoder"}) {
      CAPTURE(component);
      TinyModel model = tiny_clip();
      change_output(&model, component, 0, change);
      Commands commands(model);
      check(commands.plan(), kOk, "");
      check(commands.generate(), kBadFile, "NaN or infinity");
    }
  for (const std::string component :
       {"decoder_first", "decoder", "image_encoder", "encoder", "net_low"}) {
    CAPTURE(component);
    TinyModel model = tiny_causal();
    change_output(&model, component, 0, not_a_number);
    check(Commands(model).generate(), kBadFile, "NaN or infinity");
  }
  TinyModel picture = tiny_picture();
  change_output(&picture, "decoder", 0, not_a_number);
  check(Commands(picture).generate(), kBadFile, "NaN or infinity");
  // A known frame whose latents are kept, and limits behind what is not a number.
  TinyModel known = tiny_clip();
  change_output(&known, "encoder", 0, not_a_number);
  Commands commands(known);
  check(commands.generate({"--image", commands.picture()}), kBadFile, "NaN or infinity");
  TinyModel limited = tiny_clip();
  change_output(&limited, "decoder", 0, [](Builder& b, ValueId x) {
    const ValueId low = b.op(OpKind::kMin, {not_a_number(b, x), b.scalar(1)});
    return b.op(OpKind::kMax, {low, b.scalar(-1)});
  });
  check(Commands(limited).generate(), kBadFile, "NaN or infinity");
}

TEST_CASE("weights that are not numbers, or not there in earnest, are errors") {
  TinyModel model = tiny_clip();
  for (TensorSource& tensor : model.tensors)
    if (tensor.name == "decoder.bias") {
      tensor.synthetic.reset();
      tensor.type.dtype = DType::kF32;
      tensor.load = [type = tensor.type]() -> Result<WeightData> {
        const auto numbers =
            std::make_shared<std::vector<float>>(3, std::numeric_limits<float>::quiet_NaN());
        return WeightData{type, numbers->data(), numbers};
      };
    }
  check(Commands(model).generate(), kBadFile, "NaN or infinity");

  // A table of 2^33 generated numbers in a file of kilobytes.
  TinyModel large = tiny_clip();
  Graph& encoder = large.component("text_encoder");
  const ValueId table = encoder.find_value("text_encoder.table");
  encoder.value(table).dims[0] = int64_t{1} << 30;
  std::erase_if(large.tensors,
                [](const TensorSource& t) { return t.name == "text_encoder.table"; });
  large.tensors.push_back({"text_encoder.table",
                           {DType::kF32, {int64_t{1} << 30, 8}},
                           SyntheticTensor{Distribution::kNormal, 0, 1, 1},
                           {}});
  Commands commands(large, {"--memory", "64M"});
  check(commands.inspect(), kOk, "tiny clip");
  check(commands.plan(), kOk, "");
  check(commands.generate(), kNoMemory, "'text_encoder.table' is not stored");
}

TEST_CASE("ids and classes that a table has no row for are errors") {
  const auto with_rows = [](TinyModel model, const char* component, const char* table,
                            int64_t rows) {
    Graph& graph = model.component(component);
    graph.value(graph.find_value(table)).dims[0] = rows;
    std::erase_if(model.tensors, [&](const TensorSource& t) { return t.name == table; });
    model.complete_tensors();
    return model;
  };
  // Begin and end of a text are ids 256 and 257: they come with every text.
  check_refused(with_rows(tiny_clip(), "text_encoder", "text_encoder.table", 257), "id 257");
  // Without them only what the prompt holds can be beyond: 'r' is 114.
  TinyModel bytes = with_rows(tiny_clip(), "text_encoder", "text_encoder.table", 114);
  bytes.stage<EncodeText>().bos = bytes.stage<EncodeText>().eos = -1;
  Commands commands(bytes);
  check(commands.inspect(), kOk, "tiny clip");
  check(commands.generate(), kBadFile, "id 114");
  check_refused(with_rows(tiny_picture(), "net", "net.classes", 3), "class 3");
}

TEST_CASE("lengths beyond what there is reach no other memory") {
  // Keys counted far beyond the text, or below nothing.
  for (const double count : {1e6, -1e6}) {
    TinyModel counted = tiny_clip();
    Graph& graph = counted.component("text_encoder");
    for (size_t n = 0; n < graph.nodes.size(); ++n)
      if (graph.nodes[n].op == OpKind::kAttention) {
        // The lengths become a constant: fill [batch] stands before the node that reads it.
        Builder b(&graph);
        const ValueId lengths = b.fill(count, {Dim::symbol("batch")}, DType::kI32);
        std::rotate(graph.nodes.begin() + static_cast<int64_t>(n), graph.nodes.end() - 1,
                    graph.nodes.end());
        graph.nodes[n + 1].inputs[3] = lengths;
        break;
      }
    for (size_t n = 0; n < graph.nodes.size(); ++n)
      for (ValueId out : graph.nodes[n].outputs) graph.value(out).producer = static_cast<NodeId>(n);
    const Outcome outcome = Commands(counted).generate();
    CHECK_MESSAGE((outcome.code == kOk || outcome.code == kBadFile), outcome.text());
  }
}

TEST_CASE("nested concats beyond what a node may have run as they are") {
  TinyModel model = tiny_clip();
  change_output(&model, "decoder", 0, [](Builder& b, ValueId x) {
    ValueId row = b.slice(x, 4, 0, 1);
    // 70 x 70 = 4900 parts of one column, of which the first is kept.
    for (int level = 0; level < 2; ++level) row = b.concat(std::vector<ValueId>(70, row), 4);
    return b.slice(row, 4, 0, 3);
  });
  check(Commands(model).generate(), kOk, "");
}

TEST_CASE("lengths and sizes by the million are refused in little time") {
  TinyModel model = tiny_clip();
  model.recipe.clip.frames = {1, 1 << 20, 1, 6};
  Commands long_clip(model, {"--frames", "1000000", "--memory", "1M"});
  check(long_clip.plan(), kNoMemory, "would fit");
  check(long_clip.generate(), kNoMemory, "would fit");

  model.recipe.clip.frames.preferred = 1 << 20;
  Commands prefers(model, {"--memory", "64M"});
  check(prefers.plan(), kNoMemory, "would fit");

  TinyModel wide = tiny_clip();
  wide.recipe.clip.width = wide.recipe.clip.height = {8, 1 << 20, 4, 1 << 20};
  Commands sides(wide, {"--memory", "64M"});
  check(sides.inspect(), kOk, "tiny clip");
  const Outcome outcome = sides.plan();
  CHECK_MESSAGE((outcome.code == kNoMemory || outcome.code == kUsage), outcome.text());

  TinyModel causal = tiny_causal();
  causal.recipe.clip.frames = {1, (1 << 20) - 1, 2, (1 << 20) - 1, 1};
  Commands chunks(causal, {"--memory", "64M"});
  check(chunks.plan(), kNoMemory, "");
  check(chunks.generate(), kNoMemory, "");
}

TEST_CASE("a graph of very many nodes is planned or refused in little time") {
  for (const int nodes : {3000, 20000}) {
    TinyModel model = tiny_picture();
    change_output(&model, "decoder", 0, [&](Builder& b, ValueId x) {
      for (int i = 0; i < nodes; ++i) x = i % 2 == 0 ? b.sin(x) : b.cos(x);
      return x;
    });
    Commands commands(model);
    check(commands.inspect(), kOk, "tiny picture");
    check(commands.plan(), kOk, "");
  }
}

TEST_CASE("text of a file reaches the terminal without control characters") {
  TinyModel model = tiny_clip();
  const std::string evil =
      "a\x1b[31mb\xc2\x9b"
      "2Jc\x07\x7f\r";
  model.info.provenance = model.info.licence = evil;
  model.info.tokenizers = {{evil, evil, {}}};
  model.info.vocabulary = {evil};
  model.info.recipe = "{\"" + evil + "\": 1}";
  Commands commands(model);
  for (const Outcome& outcome : {commands.inspect(), commands.plan(), commands.generate()}) {
    const std::string text = outcome.out + outcome.error;
    for (const char* bad : {"\x1b", "\xc2\x9b", "\x07", "\x7f"})
      CHECK_MESSAGE(text.find(bad) == std::string::npos, text);
  }
}

TEST_CASE("a file without a recipe, or with half of one, says what it cannot do") {
  TinyModel model = tiny_clip();
  model.recipe.stages.clear();
  model.recipe.latents.clear();
  model.recipe.incomplete = "the file has no decoder";
  Commands commands(model);
  check(commands.inspect(), kOk, "tiny clip");
  check(commands.plan(), kNoDevice, "the file has no decoder");
  check(commands.generate(), kNoDevice, "the file has no decoder");
}
