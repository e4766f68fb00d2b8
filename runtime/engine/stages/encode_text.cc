// Prompts to features: tokens, then a text encoder, once a request.
#include <algorithm>

#include "graph/text.h"
#include "runtime/engine/stage.h"
#include "runtime/engine/stages/seen_pictures.h"
#include "runtime/engine/tokenizer.h"
#include "runtime/text/clean.h"

namespace zoetrope {
namespace {

// Ids of a row that are not its begin or end.
int64_t room_for_bytes(const EncodeText& s) {
  return s.max_ids - (s.bos >= 0 ? 1 : 0) - (s.eos >= 0 ? 1 : 0);
}

Result<Tokens> tokenize(const EncodeText& s, const Model& model, const std::string& text) {
  if (const size_t bad = find_invalid_utf8(text); bad != std::string_view::npos)
    return error(Code::kInvalidArgument, "the prompt is not valid UTF-8 at byte ", bad);
  std::string prompt = s.clean ? clean_prompt(text) : text;
  if (s.strip) prompt = strip_spaces(prompt);
  if (s.quoted) prompt = quoted_parts(prompt);
  if (s.tokenizer == EncodeText::Tokenizer::kBytes) {
    ZT_ASSIGN_OR_RETURN(Tokens tokens, tokenize_bytes(prompt, -1, -1, room_for_bytes(s)));
    for (int32_t& id : tokens.ids) id += s.byte_offset;
    if (s.bos >= 0) tokens.ids.insert(tokens.ids.begin(), s.bos);
    if (s.eos >= 0) tokens.ids.push_back(s.eos);
    return tokens;
  }
  const Tokenizer& tokenizer = *model.tokenizers.find(s.tokenizer_name)->second.data;
  ZT_ASSIGN_OR_RETURN(TokenIds tokens, tokenizer.encode(prompt, s.bos, s.eos, s.max_ids));
  return Tokens{std::move(tokens.ids), tokens.truncated};
}

// Ids pick rows of the table of the text encoder that runs, which would take what lies beyond for
// its last.
Status check_ids(const EncodeText& s, const std::string& component, const Model& model,
                 std::span<const int32_t> ids) {
  const Graph* graph = model.component(component);
  const int64_t rows = graph == nullptr ? INT64_MAX : table_rows(*graph, s.ids);
  for (const int32_t id : ids)
    if (id >= rows)
      return error(Code::kDataLoss, "the tokenizer gives the id ", id, ", and component '",
                   component, "' has rows for ", rows, ": they are not of one model");
  return Status();
}

// With the clip's rate where it is named.
std::string prefix_of(const EncodeText& s, const RequestPlan& plan) {
  constexpr std::string_view kRate = "{fps}";
  std::string prefix = s.prefix;
  if (const size_t at = prefix.find(kRate); at != std::string::npos)
    prefix.replace(at, kRate.size(), str(plan.clip.fps));
  return prefix;
}

bool sees(const EncodeText& s, const RequestPlan& plan) {
  return s.seen && plan.shape.end_pictures > 0;
}

// Row 0 is the prompt; under guidance row 1 is the negative prompt.
Result<std::vector<Tokens>> tokenize_rows(const EncodeText& s, const Model& model,
                                          const Request& request, const RequestPlan& plan) {
  std::vector<Tokens> rows;
  ZT_ASSIGN_OR_RETURN(rows.emplace_back(), tokenize(s, model, prefix_of(s, plan) + request.prompt));
  const std::string& component = sees(s, plan) ? s.seen->text : s.component;
  ZT_RETURN_IF_ERROR(check_ids(s, component, model, rows[0].ids));
  if (!plan.guided()) return rows;
  auto negative = tokenize(s, model, request.negative);
  if (!negative.ok()) return negative.status().with_context("negative prompt");
  rows.push_back(std::move(*negative));
  ZT_RETURN_IF_ERROR(check_ids(s, component, model, rows[1].ids));
  return rows;
}

int64_t row_length(const EncodeText& s, const std::vector<Tokens>& rows) {
  if (s.pad_to_max) return s.max_ids;
  size_t longest = 1;
  for (const Tokens& row : rows) longest = std::max(longest, row.ids.size());
  return static_cast<int64_t>(longest);
}

std::vector<NamedType> inputs_of(const EncodeText& s, int64_t rows, int64_t length) {
  std::vector<NamedType> inputs{{s.ids, {DType::kI32, {rows, length}}}};
  if (!s.lengths.empty()) inputs.push_back({s.lengths, {DType::kI32, {rows}}});
  return inputs;
}

TensorType features(const EncodeText& s, int64_t rows, int64_t length) {
  return {DType::kF32, {rows, s.places > 0 ? s.places : length, kAnyExtent}};
}

Status check_tokenizer(const EncodeText& s, const Model& model) {
  const std::string_view kind = tokenizer_name(s.tokenizer);
  const auto found = model.tokenizers.find(s.tokenizer_name);
  if (found == model.tokenizers.end())
    return error(Code::kDataLoss, "the file has no tokenizer '", s.tokenizer_name,
                 "', which the recipe names");
  if (found->second.kind != kind)
    return error(Code::kDataLoss, "the recipe tokenizes by '", kind, "', the file's tokenizer is '",
                 found->second.kind, "'");
  if (s.tokenizer == EncodeText::Tokenizer::kBytes) return Status();
  if (found->second.data == nullptr)
    return error(Code::kDataLoss, "the file holds no ", kind, " model");
  const int64_t size = found->second.data->size();
  for (int id : {s.bos, s.eos, s.pad})
    if (id >= size)
      return error(Code::kDataLoss, "id ", id, " of the recipe is beyond the tokenizer's ", size);
  return Status();
}

// The width is the same for every text.
std::vector<NamedType> outputs_of(const EncodeText& s, int64_t rows, int64_t length) {
  std::vector<NamedType> outputs{{s.output, features(s, rows, length)}};
  if (!s.pooled.empty()) outputs.push_back({s.pooled, {DType::kF32, {rows, kAnyExtent}}});
  return outputs;
}

Status check(const Stage& stage, CheckContext* c) {
  const auto& s = std::get<EncodeText>(stage);
  ZT_RETURN_IF_ERROR(check_tokenizer(s, c->model));
  const int32_t always[] = {s.bos, s.eos, s.pad_to_max ? s.pad : -1};
  ZT_RETURN_IF_ERROR(check_ids(s, s.component, c->model, always));
  for (int64_t length : {int64_t{1}, int64_t{7}, int64_t{s.max_ids}})
    ZT_RETURN_IF_ERROR(c->check(s.component, inputs_of(s, 2, length), outputs_of(s, 2, length)));
  c->values[s.gives] = {DType::kF32, {kAnyExtent, kAnyExtent, kAnyExtent}};
  ZT_ASSIGN_OR_RETURN(const Graph* graph, c->component(s.component));
  ZT_ASSIGN_OR_RETURN(const Bindings bindings, infer_bindings(*graph, inputs_of(s, 2, 7)));
  ZT_ASSIGN_OR_RETURN(const Graph bound, zoetrope::bind(*graph, bindings));
  for (const GraphOutput& out : bound.outputs) {
    if (out.name == s.output) c->values[s.gives] = bound.value(out.value).type;
    if (out.name == s.pooled) c->values[s.gives_pooled] = bound.value(out.value).type;
  }
  if (!s.gives_lengths.empty()) c->values[s.gives_lengths] = {DType::kI32, {2}};
  if (!s.seen || c->shape.end_pictures == 0) return Status();
  ZT_ASSIGN_OR_RETURN(const TensorType features, check_seen(*s.seen, c->shape.end_pictures, c));
  const int32_t marks[] = {s.seen->begin, s.seen->place, s.seen->end};
  ZT_RETURN_IF_ERROR(check_ids(s, s.seen->text, c->model, marks));
  auto inputs = inputs_of(s, 2, 7);
  for (NamedType& more : seen_inputs(*s.seen, features, 2, 7)) inputs.push_back(std::move(more));
  c->values[s.seen->gives] = {DType::kF32, {2, 7}};
  return c->check(s.seen->text, inputs, outputs_of(s, 2, 7));
}

// The only row, with pictures before its words.
Result<SeenRow> seen_row(const EncodeText& s, const Model& model, const RequestPlan& plan,
                         const std::vector<Tokens>& tokens) {
  if (tokens.size() != 1)
    return error(Code::kUnsupported,
                 "pictures at the clip's ends are read with the words, without guidance: "
                 "--guidance 1");
  ZT_ASSIGN_OR_RETURN(SeenRow row, row_with_pictures(s, model, plan.shape, tokens[0].ids));
  ZT_RETURN_IF_ERROR(check_ids(s, s.seen->text, model, row.ids));  // those of labels, too
  return row;
}

Status plan(const Stage& stage, PlanContext* c) {
  const auto& s = std::get<EncodeText>(stage);
  ZT_ASSIGN_OR_RETURN(const auto tokens, tokenize_rows(s, c->model, c->request, c->plan));
  const auto rows = static_cast<int64_t>(tokens.size());
  int64_t length = row_length(s, tokens);
  std::vector<NamedType> more;
  if (sees(s, c->plan)) {
    ZT_ASSIGN_OR_RETURN(const SeenRow row, seen_row(s, c->model, c->plan, tokens));
    length = row.length();
    ZT_ASSIGN_OR_RETURN(const TensorType features, plan_seen(*s.seen, c));
    more = seen_inputs(*s.seen, features, rows, length);
    ZT_RETURN_IF_ERROR(c->give(s.seen->gives, {DType::kF32, {rows, length}}));
  }
  std::vector<NamedType> inputs = inputs_of(s, rows, length);
  inputs.insert(inputs.end(), more.begin(), more.end());
  ZT_ASSIGN_OR_RETURN(const Job* job,
                      c->add({.name = "encode text",
                              .component = more.empty() ? s.component : s.seen->text,
                              .inputs = inputs,
                              .outputs = outputs_of(s, rows, length)}));
  for (const PlanBinding& out : job->plan->outputs) {
    const TensorType& type = job->plan->graph.value(out.value).type;
    if (out.name == s.output) ZT_RETURN_IF_ERROR(c->give(s.gives, type));
    if (out.name == s.pooled) ZT_RETURN_IF_ERROR(c->give(s.gives_pooled, type));
  }
  return s.gives_lengths.empty() ? Status() : c->give(s.gives_lengths, {DType::kI32, {rows}});
}

void notice_prompt(const RunContext& c, const Tokens& tokens, const EncodeText& s) {
  const std::string& prompt = c.request.prompt;
  const bool bytes = s.tokenizer == EncodeText::Tokenizer::kBytes;
  if (tokens.truncated)
    c.notice(str("the prompt is ", prompt.size(), " bytes long; this model reads the first ",
                 tokens.ids.size() - static_cast<size_t>((s.bos >= 0) + (s.eos >= 0)),
                 bytes ? "" : " pieces of it"));
  if (!c.request.negative.empty() && !c.plan.guided())
    c.notice("the negative prompt has no effect: nothing guides away from it at guidance 1");
  if (c.model.vocabulary.empty()) return;
  std::string words;
  for (const std::string& word : unknown_words(prompt, c.model.vocabulary)) {
    if (words.size() > 200) {
      words += ", ...";
      break;
    }
    words += (words.empty() ? "" : ", ") + word.substr(0, 40);
    if (const std::string known = nearest_word(word, c.model.vocabulary); !known.empty())
      words += str(" (did you mean ", known, "?)");
  }
  if (!words.empty())
    c.notice(str("words that this model never saw: ", words,
                 "; `zoetrope inspect` lists those that it knows"));
}

Status run(const Stage& stage, RunContext* c) {
  const auto& s = std::get<EncodeText>(stage);
  ZT_ASSIGN_OR_RETURN(const auto tokens, tokenize_rows(s, c->model, c->request, c->plan));
  notice_prompt(*c, tokens[0], s);
  const auto length = static_cast<size_t>(row_length(s, tokens));
  std::vector<int32_t> ids(tokens.size() * length, s.pad), lengths;
  for (size_t row = 0; row < tokens.size(); ++row) {
    std::copy(tokens[row].ids.begin(), tokens[row].ids.end(),
              ids.begin() + static_cast<int64_t>(row * length));
    lengths.push_back(static_cast<int32_t>(tokens[row].ids.size()));
  }
  SeenRow seen;
  std::vector<float> features;
  if (sees(s, c->plan)) {
    ZT_ASSIGN_OR_RETURN(seen, seen_row(s, c->model, c->plan, tokens));
    ZT_ASSIGN_OR_RETURN(features, look_at_ends(*s.seen, c));
    ids = seen.ids;
    lengths = {static_cast<int32_t>(ids.size())};
  }
  const Job* job = c->plan.find(c->stage);
  ZT_CHECK(job != nullptr);
  ZT_ASSIGN_OR_RETURN(const SessionLease lease, c->open(*job));
  StageValue out;
  ZT_RETURN_IF_ERROR(lease.use([&](Session& session) -> Status {
    session.reset_states();
    ZT_RETURN_IF_ERROR(session.set_input(s.ids, std::span<const int32_t>(ids)));
    if (!s.lengths.empty())
      ZT_RETURN_IF_ERROR(session.set_input(s.lengths, std::span<const int32_t>(lengths)));
    if (!features.empty()) {
      const EncodeText::Seen& to = *s.seen;
      ZT_RETURN_IF_ERROR(session.set_input(to.features, std::span<const float>(features)));
      ZT_RETURN_IF_ERROR(session.set_input(to.reads, std::span<const int32_t>(seen.reads)));
      ZT_RETURN_IF_ERROR(session.set_input(to.positions, std::span<const float>(seen.positions)));
    }
    ZT_RETURN_IF_ERROR(session.run());
    out = StageValue::make(*session.output_type(s.output));
    ZT_RETURN_IF_ERROR(session.get_output(s.output, out.bytes.data(), out.type.bytes()));
    if (s.pooled.empty()) return Status();
    StageValue pooled = StageValue::make(*session.output_type(s.pooled));
    ZT_RETURN_IF_ERROR(session.get_output(s.pooled, pooled.bytes.data(), pooled.type.bytes()));
    c->values[s.gives_pooled] = std::move(pooled);
    return Status();
  }));
  ZT_RETURN_IF_ERROR(c->report(job->task, 1, 1));
  if (s.zero_padding) {
    const auto width = static_cast<size_t>(out.type.shape[2]);
    for (size_t row = 0; row < tokens.size(); ++row) {
      const auto text = out.as<float>().subspan(row * length * width, length * width);
      std::fill(text.begin() + static_cast<int64_t>(tokens[row].ids.size() * width), text.end(),
                0.0f);
    }
  }
  c->values[s.gives] = std::move(out);
  if (!s.gives_lengths.empty()) {
    StageValue counts = StageValue::make({DType::kI32, {static_cast<int64_t>(lengths.size())}});
    std::copy(lengths.begin(), lengths.end(), counts.as<int32_t>().begin());
    c->values[s.gives_lengths] = std::move(counts);
  }
  if (!features.empty()) {
    StageValue marks = StageValue::make({DType::kF32, {1, seen.length()}});
    std::copy(seen.seen.begin(), seen.seen.end(), marks.as<float>().begin());
    c->values[s.seen->gives] = std::move(marks);
  }
  return Status();
}

}  // namespace

const StageDef kEncodeTextStage{check, plan, run};

}  // namespace zoetrope
