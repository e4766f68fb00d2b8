#include "tests/fuzz/targets.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "converters/checkpoint.h"
#include "converters/pickle.h"
#include "graph/format/model_file.h"
#include "graph/format/recipe.h"
#include "graph/text.h"
#include "models/toybox/toybox.h"
#include "runtime/engine/tokenizer.h"
#include "runtime/text/byte_bpe.h"
#include "runtime/text/clip_bpe.h"
#include "runtime/text/piece_bpe.h"
#include "runtime/text/sentencepiece.h"
#include "tests/format/small_model.h"

namespace zoetrope {
namespace {

// Bytes as a file without a disk.
class MemoryFile {
 public:
  explicit MemoryFile(std::span<const uint8_t> bytes) : fd_(memfd_create("fuzz", MFD_CLOEXEC)) {
    ZT_CHECK(fd_ >= 0);
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n = ::write(fd_, bytes.data() + done, bytes.size() - done);
      ZT_CHECK(n > 0);
      done += static_cast<size_t>(n);
    }
  }
  ~MemoryFile() { ::close(fd_); }
  std::string path() const { return str("/proc/self/fd/", fd_); }

 private:
  int fd_;
};

// Reads every byte, so that a sanitizer sees a view that leaves its memory.
uint64_t touch(const WeightData& data) {
  uint64_t sum = 0;
  const auto* bytes = static_cast<const uint8_t*>(data.data);
  for (int64_t i = 0; i < data.type.bytes(); ++i) sum += bytes[i];
  return sum;
}

volatile uint64_t sink;

void use_graph(const Graph& graph) {
  sink = to_text(graph).size();
  for (const int64_t size : {1, 3, 64}) {
    Bindings bindings;
    for (const std::string& symbol : graph.symbols()) bindings[symbol] = size;
    const auto bound = zoetrope::bind(graph, bindings);
    if (bound.ok()) sink = static_cast<uint64_t>(graph_cost(*bound).flops > 0);
  }
}

bool load_all(const Checkpoint& checkpoint) {
  for (const std::string& name : checkpoint.names()) {
    const auto data = checkpoint.load(name);
    if (data.ok()) sink = touch(*data);
  }
  return true;
}

std::string_view as_text(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <typename T>
bool use_tokenizer(std::span<const uint8_t> bytes) {
  const auto tokenizer = T::open(bytes);
  if (!tokenizer.ok()) return false;
  for (const char* text : {"", "a red ball, 2x", "ein gr\xc3\xbcner W\xc3\xbcrfel \xef\xac\x81",
                           "\xe6\x98\x9f \xf0\x9f\x90\x8e \xef\xbc\xa1"}) {
    const auto tokens = (*tokenizer)->encode(text, 0, 1, 16);
    if (!tokens.ok()) continue;
    ZT_CHECK(tokens->ids.size() <= 16);
    for (const int32_t id : tokens->ids)
      ZT_CHECK(id >= 0 && id < std::max<int64_t>((*tokenizer)->size(), 2));
  }
  return true;
}

}  // namespace

bool fuzz_sentencepiece(std::span<const uint8_t> bytes) {
  return use_tokenizer<SentencePiece>(bytes);
}

bool fuzz_clip_bpe(std::span<const uint8_t> bytes) { return use_tokenizer<ClipBpe>(bytes); }
bool fuzz_piece_bpe(std::span<const uint8_t> bytes) { return use_tokenizer<PieceBpe>(bytes); }
bool fuzz_byte_bpe(std::span<const uint8_t> bytes) { return use_tokenizer<ByteBpe>(bytes); }

bool fuzz_model(std::span<const uint8_t> bytes) {
  const MemoryFile file(bytes);
  const auto model = ModelFile::open(file.path());
  if (!model.ok()) return false;
  for (const Graph& graph : (*model)->info().components) use_graph(graph);
  for (const TensorEntry& tensor : (*model)->tensors()) {
    if (tensor.type.bytes() > (1 << 20)) continue;  // synthetic ones may be large by right
    const auto data = (*model)->load(tensor.name);
    ZT_CHECK(data.ok());
    sink = touch(*data);
  }
  (void)(*model)->verify_tensors(true).ok();
  return true;
}

bool fuzz_model_root(std::span<const uint8_t> bytes) {
  std::vector<uint8_t> repaired(bytes.begin(), bytes.end());
  repair_header(&repaired);
  return fuzz_model(repaired);
}

bool fuzz_safetensors(std::span<const uint8_t> bytes) {
  const MemoryFile file(bytes);
  const auto checkpoint = open_safetensors(file.path());
  return checkpoint.ok() && load_all(**checkpoint);
}

bool fuzz_gguf(std::span<const uint8_t> bytes) {
  const MemoryFile file(bytes);
  const auto checkpoint = open_gguf(file.path());
  if (!checkpoint.ok()) return false;
  for (const std::string& name : (*checkpoint)->names())
    if (const auto layout = (*checkpoint)->encoded(name))
      for (const EncodedPart part :
           {EncodedPart::kValues, EncodedPart::kScale, EncodedPart::kOffset}) {
        const auto data = (*checkpoint)->load_part(name, part);
        if (data.ok()) sink = touch(*data);
      }
  return load_all(**checkpoint);
}

bool fuzz_torch(std::span<const uint8_t> bytes) {
  const MemoryFile file(bytes);
  const auto checkpoint = open_torch(file.path());
  return checkpoint.ok() && load_all(**checkpoint);
}

bool fuzz_pickle(std::span<const uint8_t> bytes) {
  const auto pickle = Pickle::parse(bytes);
  if (!pickle.ok()) return false;
  sink = pickle->root().items.size();
  return true;
}

bool fuzz_shards(std::span<const uint8_t> bytes) {
  const MemoryFile file(bytes);
  return open_sharded(file.path()).ok();
}

bool fuzz_recipe(std::span<const uint8_t> bytes) {
  const auto recipe = parse_recipe(as_text(bytes));
  if (!recipe.ok()) return false;
  // What is accepted can be written and read again.
  const std::string text = recipe_to_json(*recipe);
  const auto again = parse_recipe(text);
  ZT_CHECK(again.ok());
  ZT_CHECK(recipe_to_json(*again) == text);
  return true;
}

bool fuzz_toybox_config(std::span<const uint8_t> bytes) {
  const auto config = parse_toybox_config(as_text(bytes));
  if (!config.ok()) return false;
  const auto graphs = build_toybox(*config);
  return graphs.ok();
}

bool fuzz_dim(std::span<const uint8_t> bytes) {
  const auto dim = Dim::parse(as_text(bytes));
  if (!dim.ok()) return false;
  std::set<std::string> symbols;
  dim->collect_symbols(&symbols);
  Bindings bindings;
  for (const std::string& symbol : symbols) bindings[symbol] = 7;
  const auto value = dim->evaluate(bindings);
  const auto again = Dim::parse(dim->to_string());
  // Folding and added parentheses may push a text at the limits beyond them; never to another
  // value.
  if (!again.ok()) return true;
  const auto other = again->evaluate(bindings);
  ZT_CHECK(value.ok() == other.ok());
  if (value.ok()) ZT_CHECK(*value == *other);
  return true;
}

bool fuzz_prompt(std::span<const uint8_t> bytes) {
  const std::string_view prompt = as_text(bytes);
  const size_t bad = find_invalid_utf8(prompt);
  for (const int64_t max_ids : {2, 3, 16, 4096}) {
    const auto tokens = tokenize_bytes(prompt, 256, 257, max_ids);
    ZT_CHECK(!tokens.ok() || bad == std::string_view::npos);
    if (!tokens.ok()) continue;
    ZT_CHECK(static_cast<int64_t>(tokens->ids.size()) <= max_ids);
    std::string text;
    for (const int32_t id : tokens->ids)
      if (id < 256) text += static_cast<char>(id);
    ZT_CHECK(prompt.starts_with(text) && find_invalid_utf8(text) == std::string_view::npos);
    ZT_CHECK(tokens->truncated == (text.size() < prompt.size()));
  }
  for (const std::string& word : unknown_words(prompt, {"a", "ball", "red"}))
    ZT_CHECK(!word.empty() && word != "ball");
  return bad == std::string_view::npos;
}

}  // namespace zoetrope
