#include "runtime/quantize/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "graph/json_writer.h"

namespace zoetrope {
namespace {

constexpr size_t kMostLayers = 1 << 20, kMostClips = 1 << 16;
constexpr int64_t kMostBytes = int64_t{1} << 60;
constexpr double kLargest = 1e30;

std::string number(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

template <typename T>
double mean(const std::vector<T>& list, double T::*field) {
  double sum = 0;
  for (const T& item : list) sum += item.*field;
  return list.empty() ? 0 : sum / static_cast<double>(list.size());
}

std::vector<const QuantizeReport::Layer*> worst_first(const QuantizeReport& report) {
  std::vector<const QuantizeReport::Layer*> layers;
  for (const auto& layer : report.layers) layers.push_back(&layer);
  std::stable_sort(layers.begin(), layers.end(),
                   [](const auto* a, const auto* b) { return a->error > b->error; });
  return layers;
}

// Empty: attention is as it was.
std::string attention_line(const QuantizeReport& r) {
  if (r.attentions == 0) return "";
  return str(r.attentions, r.attentions == 1 ? " attention" : " attentions", " may be of 8 bits: ",
             r.attention_loss ? str("alone a loss of ", percent_text(*r.attention_loss))
                              : std::string("not measured"));
}

std::string size_line(const QuantizeReport& r) {
  const double share = r.original_bytes > 0
                           ? static_cast<double>(r.bytes) / static_cast<double>(r.original_bytes)
                           : 1;
  return str(r.bytes, " bytes of tensors, ", percent_text(share), " of the original's ",
             r.original_bytes);
}

}  // namespace

template <typename V>
void fields(V& v, QuantizeReport::Layer& l) {
  v.name("weight", &l.weight);
  v.name("format", &l.format);
  v.number("error", &l.error, 0, kLargest);
  v.integer("original_bytes", &l.original_bytes, 0, kMostBytes);
  v.integer("bytes", &l.bytes, 0, kMostBytes);
}

template <typename V>
void fields(V& v, QuantizeReport::Clip& c) {
  v.free_text("prompt", &c.prompt, 1 << 16);
  v.unsigned_integer("seed", &c.seed);
  v.number("loss", &c.loss, 0, kLargest);
  v.number("psnr", &c.psnr, -1000, 1000);
  v.number("ssim", &c.ssim, -1, 1);
  v.number("snr", &c.snr, -1000, 1000);
}

template <typename V>
void fields(V& v, QuantizeReport::Calibration& c) {
  v.free_text("prompt", &c.prompt, 1 << 16);
  v.unsigned_integer("seed", &c.seed);
}

template <typename V>
void fields(V& v, QuantizeReport::Step& s) {
  v.number("time", &s.time, -kLargest, kLargest);
  v.number("loss", &s.loss, 0, kLargest);
}

template <typename V>
void fields(V& v, QuantizeReport::Rate& r) {
  v.name("name", &r.name);
  v.number("original", &r.original, 0, 1);
  v.number("quantised", &r.quantized, 0, 1);
}

template <typename V>
void fields(V& v, QuantizeReport::Sensitivity& s) {
  v.name("layer", &s.layer);
  v.number("loss", &s.loss, 0, kLargest);
  v.flag("spared", &s.spared);
}

template <typename V>
void fields(V& v, QuantizeReport::Gate& g) {
  v.number("max_loss", &g.max_loss, 0, kLargest);
  v.number("min_psnr", &g.min_psnr, 0, 1000);
  v.number("max_drop", &g.max_drop, 0, 1);
  v.number("target_psnr", &g.target_psnr, 0, 1000);
  v.number("max_attention_loss", &g.max_attention_loss, 0, kLargest);
}

template <typename V>
void fields(V& v, QuantizeReport& r) {
  v.name("format", &r.format);
  v.optional_name("compute", &r.compute);
  v.optional_name("device", &r.device);
  v.integer("group", &r.group, 0, 1 << 20);
  v.integer("turned_weights", &r.turned_weights, 0, kMostLayers);
  v.integer("compensated_weights", &r.compensated_weights, 0, kMostLayers);
  v.integer("attentions", &r.attentions, 0, kMostLayers);
  v.optional_number("attention_loss", &r.attention_loss, 0, kLargest);
  v.texts("components", &r.components, kMostClips);
  v.texts("keep", &r.keep, kMostClips);
  v.integer("original_bytes", &r.original_bytes, 0, kMostBytes);
  v.integer("bytes", &r.bytes, 0, kMostBytes);
  v.objects("layers", &r.layers, kMostLayers);
  v.objects("clips", &r.clips, kMostClips);
  v.objects("calibration", &r.calibration, kMostClips);
  v.integer("calibration_steps", &r.calibration_steps, 0, kMostClips);
  v.objects("steps", &r.steps, kMostClips);
  v.objects("rates", &r.rates, kMostClips);
  v.texts("missing_rates", &r.missing_rates, kMostClips);
  v.objects("sensitivity", &r.sensitivity, kMostLayers);
  v.object("gate", &r.gate);
  v.texts("failures", &r.failures, kMostClips);
  v.flag("forced", &r.forced);
}

std::string percent_text(double share) { return number("%.2f%%", 100 * share); }

double QuantizeReport::mean_loss() const { return mean(clips, &Clip::loss); }
double QuantizeReport::mean_psnr() const { return mean(clips, &Clip::psnr); }
double QuantizeReport::worst_drop() const {
  double worst = 0;
  for (const Rate& rate : rates) worst = std::max(worst, rate.original - rate.quantized);
  return worst;
}

void apply_gate(QuantizeReport* r) {
  r->failures.clear();
  const auto fail = [&](std::string text) { r->failures.push_back(std::move(text)); };
  // Not the other way round: what is no number fails.
  const QuantizeReport::Gate& gate = r->gate;
  if (r->clips.empty() && (gate.max_loss > 0 || gate.min_psnr > 0 || gate.target_psnr > 0))
    fail("no clips were compared: what is asked of them was not measured");
  if (gate.max_loss > 0 && !r->clips.empty() && !(r->mean_loss() <= r->gate.max_loss))
    fail(str("loss against the original ", percent_text(r->mean_loss()), ", at most ",
             percent_text(gate.max_loss), " is allowed"));
  if (gate.min_psnr > 0 && !r->clips.empty() && !(r->mean_psnr() >= gate.min_psnr))
    fail(str("PSNR ", number("%.1f", r->mean_psnr()), " dB, at least ",
             number("%.1f", gate.min_psnr), " dB is asked for"));
  if (gate.target_psnr > 0 && !r->clips.empty() && !(r->mean_psnr() >= gate.target_psnr))
    fail(str("PSNR ", number("%.1f", r->mean_psnr()), " dB on clips that the search did not see, ",
             number("%.1f", gate.target_psnr), " dB was the target"));
  if (gate.max_attention_loss > 0 && !r->attention_loss)
    fail("the loss of attention in 8 bits was not measured: this device multiplies exactly");
  if (gate.max_attention_loss > 0 && r->attention_loss &&
      !(*r->attention_loss <= gate.max_attention_loss))
    fail(str("loss of attention in 8 bits alone ", percent_text(*r->attention_loss), ", at most ",
             percent_text(gate.max_attention_loss), " is allowed"));
  if (gate.max_drop <= 0) return;
  if (r->rates.empty() && r->missing_rates.empty())
    fail("no rates were measured: what they may fall by is not known");
  for (const std::string& name : r->missing_rates)
    fail(str("rate '", name, "' of the quantised model is missing"));
  for (const auto& rate : r->rates)
    if (!(rate.original - rate.quantized <= gate.max_drop))
      fail(str("rate '", rate.name, "' falls from ", percent_text(rate.original), " to ",
               percent_text(rate.quantized), ", at most ", percent_text(gate.max_drop),
               " is allowed"));
}

std::string report_to_json(const QuantizeReport& report) {
  JsonWriter writer;
  QuantizeReport copy = report;
  fields(writer, copy);
  return writer.json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<QuantizeReport> parse_report(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return error(Code::kDataLoss, "the quantisation report is not JSON");
  QuantizeReport report;
  JsonReader reader(json, "quantisation report");
  fields(reader, report);
  ZT_RETURN_IF_ERROR(reader.finish());
  return report;
}

std::string report_to_text(const QuantizeReport& r) {
  std::string text =
      str("quantised as ", r.format, r.format == "int4" ? str(" in groups of ", r.group) : "",
          r.turned_weights > 0 ? str(", ", r.turned_weights, " weights of turned rows") : "",
          r.compensated_weights > 0 ? str(", ", r.compensated_weights, " weights compensated: ")
                                    : std::string(": "),
          size_line(r), "\n");
  if (r.attentions > 0) text += attention_line(r) + "\n";
  if (!r.clips.empty()) {
    text += str("loss against the original ", percent_text(r.mean_loss()), ", PSNR ",
                number("%.1f", r.mean_psnr()), " dB, SSIM ",
                number("%.4f", mean(r.clips, &QuantizeReport::Clip::ssim)), " over ",
                r.clips.size(), r.clips.size() == 1 ? " clip" : " clips");
    const bool sound =
        std::any_of(r.clips.begin(), r.clips.end(), [](const auto& clip) { return clip.snr != 0; });
    if (sound)
      text += str(", sound ", number("%.1f", mean(r.clips, &QuantizeReport::Clip::snr)), " dB");
    text += str(" (", r.compute, " on ", r.device, ")\n");
  }
  for (const auto& rate : r.rates)
    text += str("  ", rate.name, " ", percent_text(rate.original), " -> ",
                percent_text(rate.quantized), "\n");
  const auto spared = std::count_if(r.sensitivity.begin(), r.sensitivity.end(),
                                    [](const auto& layer) { return layer.spared; });
  if (!r.sensitivity.empty())
    text += str(spared, " of ", r.sensitivity.size(), " layers got more bits\n");
  const auto layers = worst_first(r);
  for (size_t i = 0; i < std::min<size_t>(5, layers.size()); ++i)
    text += str("  error ", percent_text(layers[i]->error), "  ", layers[i]->format, "  ",
                layers[i]->weight, "\n");
  for (const std::string& failure : r.failures)
    text += str(r.forced ? "forced although: " : "fails: ", failure, "\n");
  return text;
}

Page report_page(const QuantizeReport& r, const std::string& model) {
  Page page(str(model, " as ", r.format), size_line(r));
  for (const std::string& failure : r.failures)
    page.text(str(r.forced ? "Written by force although: " : "Fails: ", failure), Tone::kBad);
  if (r.attentions > 0) page.text(str(attention_line(r), "."));
  if (r.failures.empty() && r.gate.asks()) page.text("The gate is passed.", Tone::kGood);
  if (!r.clips.empty()) {
    page.heading("Clips from equal seeds");
    page.text(
        str("Loss: along the original's way from noise to latents, the squared error of the "
            "network's output over its square. Computed in ",
            r.compute, " on ", r.device, "."));
    Table table{{{"prompt"},
                 {"seed", true},
                 {"loss", true},
                 {"PSNR dB", true},
                 {"SSIM", true},
                 {"sound SNR dB", true}},
                {}};
    for (const auto& c : r.clips)
      table.rows.push_back({c.prompt, str(c.seed), percent_text(c.loss), number("%.2f", c.psnr),
                            number("%.4f", c.ssim), c.snr == 0 ? "" : number("%.2f", c.snr)});
    page.table(table);
  }
  if (!r.calibration.empty()) {
    page.heading("Clips of the calibration");
    page.text("Rounding and the choice of layers were fitted to these, the report is of others.");
    if (r.calibration_steps > 0)
      page.text(str("Rounding: to ", r.calibration_steps, " denoising steps of each."));
    Table table{{{"prompt"}, {"seed", true}}, {}};
    for (const auto& c : r.calibration) table.rows.push_back({c.prompt, str(c.seed)});
    page.table(table);
  }
  if (r.steps.size() > 1) {
    Series series{"loss", {}, {}, true, true};
    for (const auto& step : r.steps) {
      series.x.push_back(step.time);
      series.y.push_back(step.loss);
    }
    LinePlot plot;
    plot.title = "Loss by time";
    plot.x = {"time that the network is told", Unit::kNumber};
    plot.y = {"loss", Unit::kPercent};
    plot.series.push_back(std::move(series));
    page.plot(plot);
  }
  if (!r.rates.empty()) {
    page.heading("What a judge of clips says");
    Table table{{{"rate"}, {"original", true}, {"quantised", true}, {"change", true}}, {}};
    for (const auto& rate : r.rates)
      table.rows.push_back({rate.name, percent_text(rate.original), percent_text(rate.quantized),
                            percent_text(rate.quantized - rate.original)});
    page.table(table);
  }
  if (!r.sensitivity.empty()) {
    page.heading("Layers by what they cost");
    page.text(
        "The loss with this layer alone in the format; those at the top, for their size the "
        "worst, got more bits.");
    Table ranks{{{"layer"}, {"loss", true}, {"more bits"}}, {}};
    for (const auto& layer : r.sensitivity)
      ranks.rows.push_back({layer.layer, number("%.3g", layer.loss), layer.spared ? "yes" : ""});
    page.table(ranks);
  }
  page.heading("Error by layer");
  if (r.compensated_weights > 0)
    page.text(
        str(r.compensated_weights,
            " weights of int4 were rounded so that their errors make up for each other in what "
            "they multiply: by themselves they are further off than the nearest would be."));
  Table table{{{"weight"}, {"format"}, {"error", true}, {"bytes", true}, {"were", true}}, {}};
  for (const auto* layer : worst_first(r))
    table.rows.push_back({layer->weight, layer->format, percent_text(layer->error),
                          str(layer->bytes), str(layer->original_bytes)});
  page.table(table);
  return page;
}

}  // namespace zoetrope
