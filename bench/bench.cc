#include "bench/bench.h"

#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>

#include "bench/ceilings.h"
#include "bench/model_subject.h"
#include "bench/op_timer.h"
#include "bench/peer_subject.h"
#include "graph/host.h"

namespace zoetrope::bench {
namespace {

constexpr int kRounds = 9, kQuickRounds = 3;

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

std::string host_text() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::string line, processor = "unknown processor";
  while (std::getline(cpuinfo, line))
    if (line.starts_with("model name") && line.find(": ") != std::string::npos) {
      processor = line.substr(line.find(": ") + 2);
      break;
    }
  utsname system{};
  uname(&system);
  return str(processor, ", ", usable_threads(), " usable threads, ", system.sysname, " ",
             system.release);
}

double load_now() {
  double load = 0;
  return getloadavg(&load, 1) == 1 ? load : 0;
}

bool is_quantized(DType dtype) { return dtype == DType::kI8 || dtype == DType::kF8E4M3; }

}  // namespace

Result<std::unique_ptr<Bench>> Bench::create(BenchOptions options) {
  if (!options.ops && !options.models && !options.pipelines)
    options.ops = options.models = options.pipelines = true;
  std::unique_ptr<Bench> bench(new Bench(std::move(options)));
  const BenchOptions& o = bench->o_;
  for (const std::string& name : o.peers) {
    ZT_ASSIGN_OR_RETURN(const PeerModule* const peer, find_peer(name));
    bench->peers_.push_back(peer);
  }
  ZT_RETURN_IF_ERROR(bench->open_devices());
  for (const auto& device : bench->devices_) {
    if (o.ops)
      for (const DType dtype : bench->dtypes_of(*device, false))
        ZT_RETURN_IF_ERROR(bench->add_ops(device.get(), dtype));
    for (const DType dtype : bench->dtypes_of(*device, true)) {
      if (o.models) ZT_RETURN_IF_ERROR(bench->add_models(device.get(), dtype));
      if (o.pipelines) ZT_RETURN_IF_ERROR(bench->add_pipelines(device.get(), dtype));
    }
  }
  // By kind, whatever device named a case first.
  const auto rank = [](const std::unique_ptr<Group>& g) {
    const std::string& kind = g->subjects.front()->row.kind;
    return kind == "op" ? 0 : kind == "model" ? 1 : 2;
  };
  std::stable_sort(bench->groups_.begin(), bench->groups_.end(),
                   [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  for (size_t i = 0; i < bench->groups_.size(); ++i) bench->groups_[i]->index = static_cast<int>(i);
  if (bench->groups_.empty())
    return error(Code::kInvalidArgument, "no case is left",
                 bench->left_out_.empty() ? "" : ": " + *bench->left_out_.begin(),
                 o.filters.empty() ? "" : ": none contains what --filter says",
                 "; --list shows what there is");
  return bench;
}

Status Bench::open_devices() {
  std::vector<std::string> specs = o_.devices;
  if (specs.empty()) specs = usable_devices(o_.device);
  std::set<std::string> opened;
  for (const std::string& spec : specs) {
    auto device = std::make_unique<BenchDevice>();
    ZT_ASSIGN_OR_RETURN(device->spec, resolve_device(spec, o_.device));
    if (!opened.insert(device->spec).second) continue;
    device->id = device->spec.ends_with(":0") ? device->spec.substr(0, device->spec.size() - 2)
                                              : device->spec;
    ZT_ASSIGN_OR_RETURN(device->device, open_device(device->spec, o_.device));
    const DeviceInfo& info = device->device->info();
    if (info.backend == "cpu")
      device->threads = o_.device.threads > 0 ? o_.device.threads : usable_threads();
    MeterOrReason meter = find_meter(info);
    device->telemetry_text = meter.text;
    device->telemetry = std::make_unique<Telemetry>(std::move(meter.meter));
    device->ceilings = std::make_unique<Ceilings>(device.get(), o_.quick);
    devices_.push_back(std::move(device));
  }
  return Status();
}

// The widest numbers on a host, the narrow ones that its matrix units take on a device.
std::vector<DType> Bench::dtypes_of(const BenchDevice& device, bool networks) const {
  std::vector<DType> dtypes = o_.dtypes;
  if (dtypes.empty()) {
    if (device.on_host() && o_.quick)
      dtypes = {DType::kF32};
    else if (device.on_host())
      dtypes = {DType::kF32, DType::kBF16};
    else
      dtypes = {DType::kBF16, DType::kF16, DType::kF32};
    if (!o_.quick) dtypes.insert(dtypes.end(), {DType::kI8, DType::kF8E4M3});
  }
  // A step takes long: in what the device is for; in 8 bits where that is asked for.
  if (networks && o_.dtypes.empty()) {
    std::erase_if(dtypes, is_quantized);
    if (!device.on_host()) dtypes = {DType::kBF16, DType::kF16};
  }
  return dtypes;
}

// Of what is not a product in a network of 8 bits.
Result<DType> Bench::compute_beside(DType dtype) const {
  if (!is_quantized(dtype)) return dtype;
  for (const DType other : o_.dtypes)
    if (!is_quantized(other)) return other;
  return error(Code::kInvalidArgument, "--dtypes ", dtype_name(dtype),
               " is of a network's products: name the dtype of all else beside it, as in --dtypes "
               "bf16,",
               dtype_name(dtype));
}

std::vector<int64_t> Bench::tokens_of(const BenchDevice& device) const {
  if (!o_.tokens.empty()) return o_.tokens;
  if (o_.quick) return {128, 256, 512};
  if (device.on_host()) return {512, 1024, 2048};
  return {4096, 14040, 32760};
}

std::vector<std::string> Bench::networks_of(const BenchDevice& device, bool ops) const {
  if (!o_.networks.empty()) return o_.networks;
  if (o_.quick) return ops ? std::vector<std::string>{} : std::vector<std::string>{"toybox-dit"};
  std::vector<std::string> names{"dit-xl-2", "wan2.1-1.3b"};
  if (device.on_host() && !ops) names.insert(names.begin(), "toybox-dit");
  return names;
}

Result<std::shared_ptr<const Network>> Bench::network(const std::string& name, int64_t tokens) {
  auto& made = networks_[{name, tokens}];
  if (made == nullptr) {
    ZT_ASSIGN_OR_RETURN(Network fresh, make_network(name, o_.set, tokens));
    made = std::make_shared<const Network>(std::move(fresh));
  }
  return made;
}

// Subjects of one case stand in one group; one that is there already is left out.
void Bench::add(const std::string& key, std::unique_ptr<Subject> subject) {
  const Row& row = subject->row;
  const auto wanted = [&](const std::string& filter) {
    return row.name.find(filter) != std::string::npos;
  };
  if (!o_.filters.empty() && std::none_of(o_.filters.begin(), o_.filters.end(), wanted)) return;
  if (!seen_.insert(str(key, "|", row.name, "|", row.device, "|", row.dtype, "|", row.program))
           .second)
    return;
  const auto [it, fresh] = by_key_.try_emplace(key, groups_.size());
  if (fresh) {
    groups_.push_back(std::make_unique<Group>());
    groups_.back()->name = row.name;
  }
  groups_[it->second]->subjects.push_back(std::move(subject));
}

Status Bench::add_ops(BenchDevice* device, DType dtype) {
  const std::vector<int64_t> tokens = tokens_of(*device);
  std::vector<OpCase> cases;
  const auto append = [&](std::vector<OpCase> more) {
    cases.insert(cases.end(), more.begin(), more.end());
  };
  // First those of curves: the same case again has no curve to be in.
  for (const int64_t n : tokens) append(curve_cases(dtype, n));
  // Networks that were asked for have their ops alone.
  if (o_.networks.empty()) {
    append(every_op(dtype, o_.quick ? 128 : device->on_host() ? 1024 : 32760));
    if (!o_.quick) append(odd_cases(dtype));
    if (!o_.quick) append(special_cases(dtype));
  }
  if (!is_quantized(dtype))
    for (const std::string& name : networks_of(*device, true)) {
      std::vector<int64_t> sizes = o_.tokens;
      if (sizes.empty()) sizes = {device->on_host() ? 512 : 0, device->on_host() ? 512 : 14040};
      for (const int64_t n : sizes) {
        ZT_ASSIGN_OR_RETURN(const auto net, network(name, n));
        ZT_ASSIGN_OR_RETURN(std::vector<OpCase> ops, ops_of(*net, dtype));
        append(std::move(ops));
      }
    }
  for (const OpCase& c : cases) {
    const std::string key = "op " + case_name(c);
    add(key, std::make_unique<OpSubject>(device, c));
    if (device->device->info().backend == "cpu")
      for (const PeerModule* peer : peers_)
        add(key, std::make_unique<PeerSubject>(device, peer, c));
  }
  return Status();
}

Status Bench::add_models(BenchDevice* device, DType dtype) {
  ZT_ASSIGN_OR_RETURN(const DType compute, compute_beside(dtype));
  for (const std::string& name : networks_of(*device, false)) {
    std::vector<int64_t> sizes = tokens_of(*device);
    if (o_.tokens.empty()) sizes.insert(sizes.begin(), 0);  // as its example has it
    if (!o_.set.empty() && o_.tokens.empty()) sizes = {0};
    for (const int64_t n : sizes) {
      ZT_ASSIGN_OR_RETURN(auto net, network(name, n));
      const std::string key = "model " + net->name();
      add(key, std::make_unique<ModelSubject>(device, net, dtype, compute, 0, o_.budget));
      if (dtype == DType::kF32 || o_.attention_bits == 0) continue;
      if (!net->attends())
        left_out_.insert(str(net->name(), " with attention in ", o_.attention_bits,
                             " bits is left out: no attention of it is computed at every step"));
      else
        add(key, std::make_unique<ModelSubject>(device, net, dtype, compute, o_.attention_bits,
                                                o_.budget));
    }
  }
  return Status();
}

Status Bench::add_pipelines(BenchDevice* device, DType dtype) {
  if (is_quantized(dtype)) {
    left_out_.insert(str("pipelines in ", dtype_name(dtype),
                         " are left out: their products are as the model file has them"));
    return Status();
  }
  for (PipelineCase request : o_.requests) {
    request.budget = o_.budget;
    request.devices = o_.device;
    request.smallest = o_.quick;
    request.stop = o_.stop;
    ZT_ASSIGN_OR_RETURN(auto subject, PipelineSubject::create(device, request, dtype));
    const std::string key = "pipeline " + subject->row.name;
    add(key, std::move(subject));
  }
  return Status();
}

RunnerOptions Bench::runner_options(const std::string& kind) const {
  RunnerOptions r;
  r.rounds = o_.rounds > 0 ? o_.rounds : o_.quick ? kQuickRounds : kRounds;
  r.least_rounds = std::min(3, r.rounds);
  r.seconds = o_.seconds >= 0 ? o_.seconds
              : kind == "op"  ? (o_.quick ? 0.02 : 0.5)
                              : (o_.quick ? 0.1 : 10);
  r.limit = o_.limit >= 0     ? o_.limit
            : kind == "op"    ? (o_.quick ? 0.05 : 0.5)
            : kind == "model" ? (o_.quick ? 0.5 : 20)
                              : 0;
  r.stop = o_.stop;
  return r;
}

void Bench::describe(Report* report) const {
  report->date = utc_now();
  report->host = host_text();
  report->load_average = load_now();
  for (const auto& device : devices_) {
    const DeviceInfo& info = device->device->info();
    report->devices.push_back(
        {device->id, info.name, info.features, info.memory_bytes, device->telemetry_text, {}});
  }
  report->notes.insert(report->notes.end(), left_out_.begin(), left_out_.end());
  for (const PeerModule* peer : peers_)
    report->notes.push_back(
        str("peer ", peer->name, " ", peer->version(), ", in this process, with its own threads"));
}

Report Bench::list() const {
  Report report;
  describe(&report);
  for (const auto& group : groups_)
    for (const auto& subject : group->subjects) report.rows.push_back(subject->row);
  return report;
}

Report Bench::measure() {
  Report report;
  describe(&report);
  if (report.load_average > std::max(0.5, 0.1 * usable_threads())) {
    char load[16];
    std::snprintf(load, sizeof(load), "%.1f", report.load_average);
    report.notes.push_back(str("other work kept this machine at a load of ", load,
                               " when it began: times are upper bounds; pairs of the same case "
                               "were interleaved"));
  }
  for (size_t i = 0; i < groups_.size(); ++i) {
    RunnerOptions options = runner_options(groups_[i]->subjects.front()->row.kind);
    if (o_.progress) o_.progress(groups_[i]->name, i, groups_.size());
    if (!run_groups({groups_[i].get()}, options, &report.rows)) {
      report.complete = false;
      break;
    }
  }
  if (o_.progress && report.complete) o_.progress("", groups_.size(), groups_.size());
  for (size_t i = 0; i < devices_.size(); ++i)
    report.devices[i].ceilings = devices_[i]->ceilings->summary();
  return report;
}

void Bench::measure_again(const std::vector<const Row*>& rows, Report* report) {
  std::set<int> groups;
  for (const Row* row : rows) groups.insert(row->group);
  groups.erase(-1);
  size_t done = 0;
  for (const int index : groups) {
    Group& group = *groups_[static_cast<size_t>(index)];
    if (o_.progress) o_.progress("again: " + group.name, done++, groups.size());
    std::vector<Row> again;
    const bool whole =
        run_groups({&group}, runner_options(group.subjects.front()->row.kind), &again);
    for (Row& fresh : again)
      for (Row& row : report->rows)
        if (row.kind == fresh.kind && row.name == fresh.name && row.program == fresh.program &&
            row.device == fresh.device && row.dtype == fresh.dtype && fresh.measured() &&
            row.measured() && fresh.seconds.median < row.seconds.median)
          row = fresh;
    if (!whole) {
      report->complete = false;
      return;
    }
  }
}

}  // namespace zoetrope::bench
