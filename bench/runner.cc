#include "bench/runner.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <new>
#include <thread>

#include "bench/ceilings.h"
#include "runtime/plan/planner.h"

namespace zoetrope::bench {
namespace {

// Threads of a library go on spinning for a while after its last call.
constexpr auto kSettle = std::chrono::milliseconds(2);

struct Timed {
  Subject* subject = nullptr;
  std::vector<double> samples;
  double spent = 0;
  Reading sum, count;
  std::vector<Row> more;
  bool done = false;
};

// Whatever a library throws is that row's error.
template <typename Work>
Status guarded(const Work& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return error(Code::kResourceExhausted, "out of memory");
  } catch (const std::exception& e) {
    return error(Code::kInternal, e.what());
  } catch (...) {
    return error(Code::kInternal, "an exception of no known type");
  }
}

void fail(Row* row, const Status& status) {
  const std::string text = str(code_name(status.code()), ": ", status.message());
  (status.code() == Code::kUnsupported ? row->skipped : row->error) = text;
}

class GroupRun {
 public:
  GroupRun(const Group& group, const RunnerOptions& options) : o_(options) {
    for (const auto& subject : group.subjects) {
      Row& row = subject->row;
      row.group = group.index;
      row.seconds = {};
      row.error.clear(), row.skipped.clear();
      row.of_roof = row.clock_mhz = row.watts = 0;
      timed_.push_back({subject.get(), {}, 0, {}, {}, {}, false});
    }
  }

  // False: stopped.
  bool run(std::vector<Row>* rows) {
    std::vector<Timed*> waiting;
    for (Timed& t : timed_) {
      if (admit(&t)) waiting.push_back(&t);
    }
    bool go_on = true;
    while (go_on && !waiting.empty()) {
      // As many as fit beside each other.
      std::map<BenchDevice*, int64_t> held;
      std::vector<Timed*> now, later;
      for (Timed* t : waiting) {
        const int64_t bytes = bytes_[t], memory = t->subject->device->device->info().memory_bytes;
        int64_t& sum = held[t->subject->device];
        const bool fits = sum == 0 || memory == 0 || sum + bytes <= memory / 10 * 8;
        if (fits) sum += std::max<int64_t>(bytes, 1);
        (fits ? now : later).push_back(t);
      }
      for (Timed* t : timed_pointers()) t->subject->row.beside &= later.empty();
      go_on = sample(now);
      waiting = later;
    }
    for (Timed& t : timed_) {
      // What a peer has no call for says nothing.
      if (t.subject->row.program != "zoetrope" && !t.subject->row.skipped.empty()) continue;
      rows->push_back(t.subject->row);
      rows->insert(rows->end(), t.more.begin(), t.more.end());
    }
    return go_on;
  }

 private:
  std::vector<Timed*> timed_pointers() {
    std::vector<Timed*> all;
    for (Timed& t : timed_) all.push_back(&t);
    return all;
  }

  // Whether a row is worth trying: what is known before anything is allocated.
  bool admit(Timed* t) {
    Row& row = t->subject->row;
    BenchDevice& device = *t->subject->device;
    const Status status = guarded([&]() -> Status {
      ZT_ASSIGN_OR_RETURN(bytes_[t], t->subject->bytes());
      return Status();
    });
    if (!status.ok()) {
      fail(&row, status);
      return false;
    }
    const int64_t memory = device.device->info().memory_bytes;
    if (memory > 0 && bytes_[t] > memory) {
      row.skipped = str("needs ", format_bytes(static_cast<double>(bytes_[t])), " of ",
                        format_bytes(static_cast<double>(memory)));
      return false;
    }
    if (o_.limit > 0) {
      (void)guarded([&] { return sample_ceilings({t}, false); });
      const double seconds = t->subject->estimate(device.ceilings->matmul_rate(dtype_of(row)),
                                                  device.ceilings->copy_rate());
      if (seconds > o_.limit) {
        row.skipped = str("one call would take about ", format_seconds(seconds), "; --limit is ",
                          format_seconds(o_.limit));
        return false;
      }
    }
    return true;
  }

  static DType dtype_of(const Row& row) {
    const auto dtype = parse_dtype(row.dtype);
    return dtype.ok() ? *dtype : DType::kF32;
  }

  // Each device's copy and products once. `again`: though they are known.
  Status sample_ceilings(const std::vector<Timed*>& timed, bool again) {
    std::vector<std::pair<BenchDevice*, DType>> seen;
    for (Timed* t : timed) {
      BenchDevice* const device = t->subject->device;
      const DType dtype = dtype_of(t->subject->row);
      const auto same = [&](const auto& s) { return s.first == device; };
      if (std::none_of(seen.begin(), seen.end(), same) &&
          (again || device->ceilings->copy_rate() == 0))
        if (const auto rate = device->ceilings->sample_copy(); rate.ok())
          copies_[device].push_back(*rate);
      const std::pair key{device, dtype};
      if (std::find(seen.begin(), seen.end(), key) == seen.end() &&
          (again || device->ceilings->matmul_rate(dtype) == 0))
        if (const auto rate = device->ceilings->sample_matmul(dtype); rate.ok())
          products_[key].push_back(*rate);
      seen.push_back(key);
    }
    return Status();
  }

  bool sample(const std::vector<Timed*>& timed) {
    for (Timed* t : timed) {
      if (stopped()) break;
      begin(t);
    }
    bool last = false;  // the ceilings were looked at behind everything else
    for (int round = 0; round < o_.rounds && !stopped(); ++round) {
      const bool alive = std::any_of(timed.begin(), timed.end(), [](Timed* t) { return !t->done; });
      if (!alive) break;
      // In the first, the middle and the last round.
      last = round == o_.rounds - 1;
      if (round == 0 || round == o_.rounds / 2 || last)
        (void)guarded([&] { return sample_ceilings(timed, true); });
      for (size_t i = 0; i < timed.size() && !stopped(); ++i)
        take(timed[(i + static_cast<size_t>(round)) % timed.size()]);
    }
    // Rows that are done early leave the last rounds out.
    if (!last && !stopped()) (void)guarded([&] { return sample_ceilings(timed, true); });
    for (Timed* t : timed) end(t);
    return !stopped();
  }

  // Loads and warms up.
  void begin(Timed* t) {
    t->done = true;
    const Status status = guarded([&]() -> Status {
      ZT_RETURN_IF_ERROR(t->subject->prepare());
      const double at = now_seconds();
      ZT_RETURN_IF_ERROR(t->subject->sample().status());
      // A second call is more than anybody wants: this one counts.
      if (o_.limit > 0 && now_seconds() - at > 4 * o_.limit) {
        t->samples.push_back(now_seconds() - at);
        return Status();
      }
      t->done = false;
      return Status();
    });
    if (!status.ok()) failed(t, status);
  }

  void take(Timed* t) {
    if (t->done) return;
    BenchDevice& device = *t->subject->device;
    const double begin = now_seconds();
    device.telemetry->start();
    const Status status = guarded([&]() -> Status {
      ZT_ASSIGN_OR_RETURN(const double seconds, t->subject->sample());
      t->samples.push_back(seconds);
      return Status();
    });
    device.telemetry->stop(&t->sum, &t->count);
    if (t->subject->row.program != "zoetrope") std::this_thread::sleep_for(kSettle);
    t->spent += now_seconds() - begin;
    if (!status.ok()) return failed(t, status);
    const auto count = static_cast<int>(t->samples.size());
    t->done = count >= o_.rounds || (count >= o_.least_rounds && t->spent > o_.seconds);
  }

  // Stopped by a person is no error.
  void failed(Timed* t, const Status& status) {
    t->done = true;
    if (status.code() == Code::kCancelled && stopped()) return;
    t->samples.clear();
    fail(&t->subject->row, status);
  }

  void end(Timed* t) {
    Row& row = t->subject->row;
    row.seconds = spread_of(t->samples);
    if (row.measured()) {
      if (t->count.clock_mhz > 0) row.clock_mhz = t->sum.clock_mhz / t->count.clock_mhz;
      if (t->count.watts > 0) row.watts = t->sum.watts / t->count.watts;
      set_roof(&row, t->subject->device);
      if (!stopped()) {
        const Status status = guarded([&] { return t->subject->finish(&t->more); });
        if (!status.ok() && !stopped()) fail(&row, status);
      }
    } else if (row.error.empty() && row.skipped.empty()) {
      row.skipped = "interrupted";
    }
    (void)guarded([&] {
      t->subject->release();
      return Status();
    });
  }

  // Fractions are of what the device reached in these rounds.
  void set_roof(Row* row, BenchDevice* device) {
    const double copy = spread_of(copies_[device]).median;
    const double product = spread_of(products_[{device, dtype_of(*row)}]).median;
    const double by_copy = copy > 0 ? row->bytes / copy : 0;
    const double by_product = product > 0 ? row->flops / product : 0;
    if (by_copy <= 0 && by_product <= 0) return;
    row->roof = by_product > by_copy ? "matmul" : "copy";
    row->of_roof = std::max(by_copy, by_product) / row->seconds.median;
  }

  bool stopped() const { return o_.stop && o_.stop(); }

  const RunnerOptions& o_;
  std::vector<Timed> timed_;
  std::map<Timed*, int64_t> bytes_;
  std::map<BenchDevice*, std::vector<double>> copies_;
  std::map<std::pair<BenchDevice*, DType>, std::vector<double>> products_;
};

}  // namespace

bool run_groups(const std::vector<Group*>& groups, const RunnerOptions& options,
                std::vector<Row>* rows) {
  for (Group* group : groups) {
    if (options.stop && options.stop()) return false;
    if (!GroupRun(*group, options).run(rows)) return false;
  }
  return true;
}

}  // namespace zoetrope::bench
