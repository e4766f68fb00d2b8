// Reports as JSON (README.md describes the schema) and CSV. Peers' files come from other programs:
// everything that is read is checked.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "bench/result.h"
#include "graph/format/mapped_file.h"

namespace zoetrope::bench {
namespace {

using Json = nlohmann::json;

// Numbers that are not told, and texts that are empty, are left out.
void put(Json* json, const char* key, double value) {
  if (value != 0 && std::isfinite(value)) (*json)[key] = value;
}
void put(Json* json, const char* key, const std::string& value) {
  if (!value.empty()) (*json)[key] = value;
}

Json to_json(const Spread& s) {
  return {{"median", s.median}, {"p10", s.p10},     {"p90", s.p90},
          {"mad", s.mad},       {"least", s.least}, {"samples", s.samples}};
}

Json to_json(const OpCase& c) {
  Json inputs = Json::array();
  for (const Operand& operand : c.inputs) {
    if (!operand.present) {
      inputs.push_back(nullptr);
      continue;
    }
    const auto dims = operand.type.shape.dims();
    inputs.push_back({{"dtype", dtype_name(operand.type.dtype)},
                      {"shape", std::vector<int64_t>(dims.begin(), dims.end())},
                      {"weight", operand.weight}});
  }
  Json attrs = Json::object();
  for (const auto& [name, value] : c.attrs.items()) {
    if (const auto* flag = std::get_if<bool>(&value)) attrs[name] = *flag;
    if (const auto* dim = std::get_if<Dim>(&value)) attrs[name] = dim->constant();
    if (const auto* number = std::get_if<double>(&value)) attrs[name] = *number;
    if (const auto* text = std::get_if<std::string>(&value)) attrs[name] = *text;
    if (const auto* numbers = std::get_if<std::vector<double>>(&value)) attrs[name] = *numbers;
    if (const auto* dims = std::get_if<std::vector<Dim>>(&value)) {
      attrs[name] = Json::array();
      for (const Dim& dim : *dims) attrs[name].push_back(dim.constant());
    }
  }
  return {{"name", op_def(c.op).name}, {"inputs", inputs}, {"attrs", attrs}};
}

Json to_json(const Row& row) {
  Json json{{"kind", row.kind},
            {"name", row.name},
            {"program", row.program},
            {"device", row.device},
            {"dtype", row.dtype}};
  put(&json, "family", row.family);
  put(&json, "tokens", static_cast<double>(row.tokens));
  if (row.tokens > 0) json["tokens"] = row.tokens;
  put(&json, "kernel", row.kernel);
  put(&json, "flops", row.flops);
  put(&json, "bytes", row.bytes);
  if (row.measured()) {
    json["seconds"] = to_json(row.seconds);
    json["calls_a_sample"] = row.calls;
    json["beside"] = row.beside;
  }
  put(&json, "of_roof", row.of_roof);
  put(&json, "roof", row.roof);
  put(&json, "clock_mhz", row.clock_mhz);
  put(&json, "watts", row.watts);
  if (row.planned_bytes > 0) json["planned_bytes"] = row.planned_bytes;
  if (row.held_bytes > 0) json["held_bytes"] = row.held_bytes;
  for (const Phase& p : row.phases)
    json["phases"].push_back({{"name", p.name}, {"seconds", p.seconds}, {"calls", p.calls}});
  if (row.op.has_value()) json["op"] = to_json(*row.op);
  if (!row.symbols.empty()) json["symbols"] = row.symbols;
  put(&json, "error", row.error);
  put(&json, "skipped", row.skipped);
  return json;
}

// The first problem wins.
class Reader {
 public:
  Reader(std::string place, Status* status) : place_(std::move(place)), status_(status) {}

  void fail(const std::string& what) {
    if (status_->ok()) *status_ = error(Code::kDataLoss, place_, ": ", what);
  }
  const Json* find(const Json& json, const char* key, bool required) {
    if (!json.is_object()) {
      fail("expected an object");
      return nullptr;
    }
    const auto it = json.find(key);
    if (it != json.end() && !it->is_null()) return &*it;
    if (required) fail(str("'", key, "' is missing"));
    return nullptr;
  }
  void get(const Json& json, const char* key, std::string* out, bool required = false) {
    const Json* value = find(json, key, required);
    if (value == nullptr) return;
    if (!value->is_string() || value->get_ref<const std::string&>().size() > 4096)
      return fail(str("'", key, "' must be a text of at most 4096 bytes"));
    *out = value->get<std::string>();
  }
  void get(const Json& json, const char* key, double* out, bool required = false) {
    const Json* value = find(json, key, required);
    if (value == nullptr) return;
    if (!value->is_number() || !std::isfinite(value->get<double>()) || value->get<double>() < 0)
      return fail(str("'", key, "' must be a number that is not negative"));
    *out = value->get<double>();
  }
  template <typename Int>
  void get_int(const Json& json, const char* key, Int* out, bool required = false) {
    double value = -1;
    get(json, key, &value, required);
    if (value < 0) return;
    if (value > 9e15 || value != std::floor(value) ||
        value > static_cast<double>(std::numeric_limits<Int>::max()))
      return fail(str("'", key, "' must be a whole number"));
    *out = static_cast<Int>(value);
  }
  void get(const Json& json, const char* key, bool* out) {
    const Json* value = find(json, key, false);
    if (value == nullptr) return;
    if (!value->is_boolean()) return fail(str("'", key, "' must be true or false"));
    *out = value->get<bool>();
  }
  // Calls read(element, index) for each of a list that may be absent.
  template <typename Read>
  void list(const Json& json, const char* key, bool required, const Read& read) {
    const Json* value = find(json, key, required);
    if (value == nullptr) return;
    if (!value->is_array()) return fail(str("'", key, "' must be a list"));
    for (size_t i = 0; i < value->size() && status_->ok(); ++i) read((*value)[i], i);
  }

 private:
  const std::string place_;
  Status* const status_;
};

Row read_row(const Json& json, const std::string& place, Status* status) {
  Row row;
  Reader r(place, status);
  r.get(json, "kind", &row.kind, true);
  r.get(json, "name", &row.name, true);
  r.get(json, "program", &row.program, true);
  r.get(json, "device", &row.device, true);
  r.get(json, "dtype", &row.dtype, true);
  if (status->ok() && row.kind != "op" && row.kind != "model" && row.kind != "pipeline")
    r.fail(str("'kind' must be op, model or pipeline; found ", row.kind));
  r.get(json, "family", &row.family);
  r.get_int(json, "tokens", &row.tokens);
  r.get(json, "kernel", &row.kernel);
  r.get(json, "flops", &row.flops);
  r.get(json, "bytes", &row.bytes);
  if (!status->ok()) return row;
  if (const Json* seconds = r.find(json, "seconds", false)) {
    Reader s(place + ".seconds", status);
    s.get(*seconds, "median", &row.seconds.median, true);
    row.seconds.p10 = row.seconds.p90 = row.seconds.least = row.seconds.median;
    s.get(*seconds, "p10", &row.seconds.p10);
    s.get(*seconds, "p90", &row.seconds.p90);
    s.get(*seconds, "mad", &row.seconds.mad);
    s.get(*seconds, "least", &row.seconds.least);
    s.get_int(*seconds, "samples", &row.seconds.samples, true);
    if (status->ok() && row.seconds.samples > 0 && !(row.seconds.median > 0))
      s.fail("'median' must be above 0");
  }
  r.get_int(json, "calls_a_sample", &row.calls);
  r.get(json, "beside", &row.beside);
  r.get(json, "of_roof", &row.of_roof);
  r.get(json, "roof", &row.roof);
  r.get(json, "clock_mhz", &row.clock_mhz);
  r.get(json, "watts", &row.watts);
  r.get_int(json, "planned_bytes", &row.planned_bytes);
  r.get_int(json, "held_bytes", &row.held_bytes);
  r.list(json, "phases", false, [&](const Json& item, size_t i) {
    Reader p(str(place, ".phases[", i, "]"), status);
    Phase phase;
    p.get(item, "name", &phase.name, true);
    p.get(item, "seconds", &phase.seconds, true);
    p.get_int(item, "calls", &phase.calls);
    row.phases.push_back(std::move(phase));
  });
  r.get(json, "error", &row.error);
  r.get(json, "skipped", &row.skipped);
  return row;
}

DeviceRecord read_device(const Json& json, const std::string& place, Status* status) {
  DeviceRecord device;
  Reader r(place, status);
  r.get(json, "id", &device.id, true);
  r.get(json, "name", &device.name, true);
  r.get_int(json, "memory_bytes", &device.memory_bytes);
  r.get(json, "telemetry", &device.telemetry);
  r.list(json, "features", false, [&](const Json& item, size_t) {
    if (item.is_string()) device.features.push_back(item.get<std::string>());
  });
  r.list(json, "ceilings", false, [&](const Json& item, size_t i) {
    Reader c(str(place, ".ceilings[", i, "]"), status);
    Ceiling ceiling;
    c.get(item, "what", &ceiling.what, true);
    c.get(item, "dtype", &ceiling.dtype);
    c.get(item, "rate", &ceiling.rate, true);
    c.get(item, "low", &ceiling.low);
    c.get(item, "high", &ceiling.high);
    c.get_int(item, "samples", &ceiling.samples);
    device.ceilings.push_back(std::move(ceiling));
  });
  return device;
}

// RFC 4180.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string number(double value) {
  if (value == 0) return "";
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", value);
  return text;
}

}  // namespace

std::string report_to_json(const Report& report) {
  Json json{{"schema", kSchema},
            {"program", {{"name", report.program}, {"version", report.version}}},
            {"command", report.command},
            {"date", report.date},
            {"host", report.host},
            {"complete", report.complete},
            {"change_rule", kChangeRule},
            {"devices", Json::array()},
            {"rows", Json::array()},
            {"curves", Json::array()}};
  put(&json, "load_average", report.load_average);
  if (!report.notes.empty()) json["notes"] = report.notes;
  for (const DeviceRecord& d : report.devices) {
    Json device{{"id", d.id}, {"name", d.name}, {"features", d.features}};
    if (d.memory_bytes > 0) device["memory_bytes"] = d.memory_bytes;
    put(&device, "telemetry", d.telemetry);
    device["ceilings"] = Json::array();
    for (const Ceiling& c : d.ceilings) {
      Json ceiling{{"what", c.what},
                   {"rate", c.rate},
                   {"low", c.low},
                   {"high", c.high},
                   {"samples", c.samples}};
      put(&ceiling, "dtype", c.dtype);
      device["ceilings"].push_back(std::move(ceiling));
    }
    json["devices"].push_back(std::move(device));
  }
  for (const Curve& c : curves_of(report.rows))
    json["curves"].push_back({{"kind", c.kind},
                              {"family", c.family},
                              {"program", c.program},
                              {"device", c.device},
                              {"dtype", c.dtype},
                              {"points", c.points},
                              {"exponent", c.fit.exponent},
                              {"exponent_error", c.fit.error},
                              {"factor", c.fit.factor},
                              {"r2", c.fit.r2}});
  // A row a line: files that people keep in repositories are read as differences.
  constexpr auto kReplace = Json::error_handler_t::replace;
  std::string rows;
  for (const Row& row : report.rows)
    rows += str(rows.empty() ? "\n  " : ",\n  ", to_json(row).dump(-1, ' ', false, kReplace));
  std::string text = json.dump(1, ' ', false, kReplace) + "\n";
  const std::string empty = "\n \"rows\": []";
  text.insert(text.find(empty) + empty.size() - 1, rows + (rows.empty() ? "" : "\n "));
  return text;
}

Result<Report> report_from_json(std::string_view text, const std::string& name) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return error(Code::kDataLoss, name, " is not JSON");
  Status status;
  Reader r(name, &status);
  std::string schema;
  r.get(json, "schema", &schema, true);
  if (status.ok() && schema != kSchema)
    r.fail(str("the schema is '", schema, "'; expected '", kSchema, "'"));
  Report report;
  if (const Json* program = r.find(json, "program", true)) {
    r.get(*program, "name", &report.program, true);
    r.get(*program, "version", &report.version);
  }
  r.get(json, "command", &report.command);
  r.get(json, "date", &report.date);
  r.get(json, "host", &report.host);
  r.get(json, "load_average", &report.load_average);
  r.get(json, "complete", &report.complete);
  r.list(json, "notes", false, [&](const Json& item, size_t) {
    if (item.is_string()) report.notes.push_back(item.get<std::string>());
  });
  r.list(json, "devices", false, [&](const Json& item, size_t i) {
    report.devices.push_back(read_device(item, str(name, ": devices[", i, "]"), &status));
  });
  r.list(json, "rows", true, [&](const Json& item, size_t i) {
    report.rows.push_back(read_row(item, str(name, ": rows[", i, "]"), &status));
  });
  if (!status.ok()) return status;
  return report;
}

Result<Report> read_report(const std::string& path) {
  ZT_ASSIGN_OR_RETURN(const auto file, MappedFile::open(path));
  return report_from_json({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()},
                          path);
}

std::string report_to_csv(const Report& report) {
  std::string csv =
      "kind,name,family,tokens,program,device,dtype,kernel,median_s,p10_s,p90_s,mad_s,least_s,"
      "samples,calls_a_sample,flops,bytes,of_roof,roof,clock_mhz,watts,planned_bytes,held_bytes,"
      "error,skipped\r\n";
  for (const Row& row : report.rows) {
    const Spread& s = row.seconds;
    for (const std::string& field : {row.kind,
                                     row.name,
                                     row.family,
                                     number(static_cast<double>(row.tokens)),
                                     row.program,
                                     row.device,
                                     row.dtype,
                                     row.kernel,
                                     number(s.median),
                                     number(s.p10),
                                     number(s.p90),
                                     number(s.mad),
                                     number(s.least),
                                     number(s.samples),
                                     number(row.measured() ? static_cast<double>(row.calls) : 0),
                                     number(row.flops),
                                     number(row.bytes),
                                     number(row.of_roof),
                                     row.roof,
                                     number(row.clock_mhz),
                                     number(row.watts),
                                     number(static_cast<double>(row.planned_bytes)),
                                     number(static_cast<double>(row.held_bytes)),
                                     row.error,
                                     row.skipped})
      csv += csv_field(field) + ",";
    csv.back() = '\r';
    csv += '\n';
  }
  return csv;
}

const DeviceRecord* Report::find_device(std::string_view id) const {
  for (const DeviceRecord& device : devices)
    if (device.id == id) return &device;
  return nullptr;
}

std::vector<Curve> curves_of(const std::vector<Row>& rows) {
  std::vector<Curve> curves;
  for (const Row& row : rows) {
    if (row.family.empty() || row.tokens <= 0 || !row.measured()) continue;
    const auto same = [&](const Curve& c) {
      return c.kind == row.kind && c.family == row.family && c.program == row.program &&
             c.device == row.device && c.dtype == row.dtype;
    };
    auto it = std::find_if(curves.begin(), curves.end(), same);
    if (it == curves.end())
      it = curves.insert(it, {row.kind, row.family, row.program, row.device, row.dtype, {}, {}});
    it->points.emplace_back(static_cast<double>(row.tokens), row.seconds.median);
  }
  std::erase_if(curves, [](Curve& c) {
    std::sort(c.points.begin(), c.points.end());
    size_t lengths = 0;
    for (size_t i = 0; i < c.points.size(); ++i)
      lengths += i == 0 || c.points[i].first != c.points[i - 1].first;
    c.fit = fit_power(c.points);
    return lengths < 3;
  });
  return curves;
}

}  // namespace zoetrope::bench
