// patience [THREADS]: how many times slower than usual this machine runs what tests are made of,
// on so many threads at once, as a whole number from 1.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace {

// What a round takes where the limits were chosen: two cores of a Zen 5 at rest.
constexpr double kUsualSeconds = 0.04;

// Branches, allocations and misses of the cache, as in a compiler, which most of the time goes to;
// then arithmetic. The result keeps it from being left out.
uint64_t round_of_work() {
  std::map<std::string, uint64_t> names;
  uint64_t state = 1;
  for (int i = 0; i < 60'000; ++i) {
    state = state * 6364136223846793005 + 1442695040888963407;
    names["name" + std::to_string(state >> 44)] += state >> 33;
  }
  std::vector<float> a(1 << 16, 1.5f), b(1 << 16, 0.5f);
  float sum = 0;
  for (int pass = 0; pass < 200; ++pass)
    for (size_t i = 0; i < a.size(); ++i) a[i] = a[i] * 0.999f + b[i];
  for (float x : a) sum += x;
  for (const auto& [name, count] : names) state ^= count + name.size();
  return state + static_cast<uint64_t>(sum);
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = std::clamp(argc > 1 ? std::atoi(argv[1]) : 1, 1, 256);
  std::array<double, 5> seconds;
  uint64_t kept = 0;
  for (double& taken : seconds) {
    std::vector<uint64_t> results(static_cast<size_t>(threads));
    std::vector<std::thread> running;
    const auto begin = std::chrono::steady_clock::now();
    for (uint64_t& result : results) running.emplace_back([&result] { result = round_of_work(); });
    for (std::thread& thread : running) thread.join();
    taken = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    for (uint64_t result : results) kept += result;
  }
  std::sort(seconds.begin(), seconds.end());
  const double factor = seconds[seconds.size() / 2] / kUsualSeconds;
  std::fprintf(stderr, "a round of work takes %.3f s; usual is %.3f s (%llx)\n",
               seconds[seconds.size() / 2], kUsualSeconds, static_cast<unsigned long long>(kept));
  std::printf("%d\n", std::clamp(static_cast<int>(std::ceil(factor - 0.25)), 1, 50));
}
