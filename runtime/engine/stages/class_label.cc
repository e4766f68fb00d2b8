// Labels of classes: a row for each, and under guidance as many of the null class or the same
// again.
#include "runtime/engine/stages/class_label.h"

#include <algorithm>
#include <charconv>

#include "runtime/engine/stage.h"

namespace zoetrope {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return out;
}

// Calls with each synonym of a class's names: "cat, tabby" has two.
template <typename F>
void for_synonyms(const std::string& names, F call) {
  for (size_t begin = 0; begin < names.size();) {
    const size_t end = std::min(names.find(',', begin), names.size());
    const size_t first = names.find_first_not_of(' ', begin);
    if (first < end) call(std::string_view(names).substr(first, end - first));
    begin = end + 1;
  }
}

// Every class has a row wherever the denoiser looks labels up.
Status check_rows(const ClassLabel& s, const Denoise& denoise, const CheckContext& c) {
  std::vector<std::string> networks{denoise.component};
  for (const Denoise::Expert& expert : denoise.experts) networks.push_back(expert.component);
  for (const std::string& network : networks)
    for (const Denoise::Condition& condition : denoise.conditions) {
      if (condition.value != s.gives) continue;
      ZT_ASSIGN_OR_RETURN(const Graph* graph, c.component(network));
      const int64_t rows = table_rows(*graph, condition.input);
      if (const int64_t last = std::max(s.classes - 1, s.null_class); last >= rows)
        return error(Code::kDataLoss, "class ", last, " of the recipe has no row in component '",
                     network, "', which has ", rows);
    }
  return Status();
}

Status check(const Stage& stage, CheckContext* c) {
  const auto& s = std::get<ClassLabel>(stage);
  if (const Denoise* denoise = c->model.recipe.denoise())
    ZT_RETURN_IF_ERROR(check_rows(s, *denoise, *c));
  c->values[s.gives] = {DType::kI32, {2}};
  return Status();
}

Status plan(const Stage& stage, PlanContext* c) {
  const auto& s = std::get<ClassLabel>(stage);
  if (c->request.classes.empty() && s.preset < 0)
    return error(Code::kInvalidArgument, "this model makes pictures of ", s.classes,
                 " classes: name one, by number or by name (--class)");
  for (const std::string& text : c->request.classes)
    ZT_RETURN_IF_ERROR(find_class(s, text).status());
  return c->give(s.gives, {DType::kI32, {c->plan.rows}});
}

Status run(const Stage& stage, RunContext* c) {
  const auto& s = std::get<ClassLabel>(stage);
  StageValue labels = StageValue::make({DType::kI32, {c->plan.rows}});
  std::fill(labels.as<int32_t>().begin(), labels.as<int32_t>().end(), s.null_class);
  if (c->request.classes.empty()) labels.as<int32_t>()[0] = s.preset;
  for (size_t i = 0; i < c->request.classes.size(); ++i) {
    ZT_ASSIGN_OR_RETURN(labels.as<int32_t>()[i], find_class(s, c->request.classes[i]));
  }
  const auto samples = static_cast<size_t>(c->plan.samples);
  if (s.every_row && c->plan.rows > c->plan.samples)
    for (size_t i = 0; i < samples; ++i)
      labels.as<int32_t>()[samples + i] = labels.as<int32_t>()[i];
  c->values[s.gives] = std::move(labels);
  return Status();
}

}  // namespace

Result<int32_t> find_class(const ClassLabel& labels, std::string_view text) {
  int32_t index = -1;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (failed == std::errc() && end == text.data() + text.size()) {
    if (index >= 0 && index < labels.classes) return index;
    return error(Code::kInvalidArgument, "class ", text, ": this model knows 0 to ",
                 labels.classes - 1);
  }
  const std::string wanted = lower(text);
  std::string near;
  int found = 0, count = 0;
  for (size_t i = 0; i < labels.names.size(); ++i)
    for_synonyms(labels.names[i], [&](std::string_view name) {
      const std::string known = lower(name);
      if (known == wanted && ++count == 1) found = static_cast<int>(i);
      if (!wanted.empty() && known.find(wanted) != std::string::npos && near.size() < 200)
        near += str(near.empty() ? "" : ", ", name, " (", i, ")");
    });
  if (count == 1) return found;
  if (count > 1)
    return error(Code::kInvalidArgument, "class '", text, "' is the name of ", count,
                 " classes; give its number: ", near);
  return error(Code::kInvalidArgument, "this model has no class '", text, "'",
               labels.names.empty() ? str("; it has no names, only 0 to ", labels.classes - 1)
               : near.empty()       ? str("; `zoetrope inspect` lists its ", labels.classes)
                                    : "; it has " + near);
}

const StageDef kClassLabelStage{check, plan, run};

}  // namespace zoetrope
