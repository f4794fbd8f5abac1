#include "trainer/spike_watch.h"

#include <cstdint>
#include <limits>

#include "tests/catch.h"

using namespace lathe;

namespace {

class Normal {  // Box-Muller over a linear congruence: the same everywhere
 public:
  explicit Normal(std::uint64_t seed) : state_(seed * 2862933555777941757u + 3037000493u) {}
  double operator()() {
    return std::sqrt(-2 * std::log(uniform())) * std::cos(6.283185307179586 * uniform());
  }
  double uniform() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return (static_cast<double>(state_ >> 11) + 0.5) / 9007199254740992.0;
  }

 private:
  std::uint64_t state_;
};

struct Trace {
  double spread = 0.25;  // of the logarithm
  double late_spread = 0.25;
  double fall = 5;            // by how much the level falls from the first step to the last
  double heavy_share = 0.02;  // steps of twice the spread
};

// A dip while the learning rate warms up, a hump after it, then a falling level whose spread changes.
std::vector<double> healthy(const Trace& trace, std::size_t steps, std::uint64_t seed) {
  Normal normal(seed);
  std::vector<double> norms;
  for (std::size_t step = 0; step < steps; ++step) {
    const double share = static_cast<double>(step) / static_cast<double>(steps);
    const double warm = step < 100 ? 3 * std::exp(-static_cast<double>(step) / 20) : 0;
    const double hump = std::exp(-std::pow((static_cast<double>(step) - 200) / 60, 2));
    const double level = (1 + warm + hump) * std::pow(trace.fall, -share);
    const double spread = trace.spread + (trace.late_spread - trace.spread) * share;
    const double width = normal.uniform() < trace.heavy_share ? 2 * spread : spread;
    norms.push_back(level * std::exp(width * normal()));
  }
  return norms;
}

std::size_t spikes_in(const std::vector<double>& norms) {
  SpikeWatch watch(6, {});
  std::size_t spikes = 0;
  for (const double norm : norms) {
    spikes += watch.is_spike(3, norm);
    watch.observe(norm);
  }
  return spikes;
}

}  // namespace

TEST_CASE("healthy traces hold no spike, whatever their level and spread do") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    CHECK(spikes_in(healthy({}, 4000, seed)) == 0);
    CHECK(spikes_in(healthy({.spread = 0.35, .late_spread = 0.05, .fall = 20}, 4000, seed)) == 0);  // narrows
    CHECK(spikes_in(healthy({.spread = 0.05, .late_spread = 0.3, .fall = 2}, 4000, seed)) == 0);    // widens
    CHECK(spikes_in(healthy({.spread = 0.02, .late_spread = 0.02, .fall = 0.2}, 4000, seed)) ==
          0);  // rises fivefold
  }
}

TEST_CASE("a norm twenty times the usual is a spike at any time after the warm-up") {
  const Trace traces[] = {
      {}, {.spread = 0.35, .late_spread = 0.05, .fall = 20}, {.spread = 0.02, .late_spread = 0.02}};
  for (const Trace& trace : traces) {
    const std::vector<double> norms = healthy(trace, 3000, 7);
    SpikeWatch watch(6, {});
    std::size_t found = 0, asked = 0;
    for (std::size_t step = 0; step < norms.size(); ++step) {
      if (step >= 300) {
        ++asked;
        std::vector<double> usual(norms.begin() + static_cast<std::ptrdiff_t>(step - 128),
                                  norms.begin() + static_cast<std::ptrdiff_t>(step));
        std::nth_element(usual.begin(), usual.begin() + 64, usual.end());
        found += watch.is_spike(3, 20 * usual[64]);
      }
      watch.observe(norms[step]);
    }
    CHECK(asked - found <= asked / 100);  // the spread is an estimate
  }
}

TEST_CASE("what is not finite is a spike from the first step, and never enters the window") {
  SpikeWatch watch(6, {});
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinite = std::numeric_limits<double>::infinity();
  CHECK(watch.is_spike(nan, 1));
  CHECK(watch.is_spike(infinite, 1));
  CHECK(watch.is_spike(3, nan));
  CHECK(watch.is_spike(3, infinite));
  for (const double norm : {nan, infinite, 0.0, -1.0}) watch.observe(norm);
  CHECK(watch.window().empty());
  for (std::size_t step = 0; step < SpikeWatch::kWarmup; ++step) {
    CHECK_FALSE(watch.is_spike(3, 1000));  // too early to judge
    watch.observe(1);
  }
  CHECK(watch.is_spike(3, 1000));
  CHECK_FALSE(watch.is_spike(3, 0));
}

TEST_CASE("the threshold is sigma spreads of the logarithm") {
  // Logarithms -1, 0 and 1 in equal parts: median 0, median absolute deviation 1.
  std::vector<double> window;
  for (int i = 0; i < 32; ++i) window.insert(window.end(), {std::exp(-1.0), 1.0, std::exp(1.0)});
  const SpikeWatch watch(2, window);
  CHECK_FALSE(watch.is_spike(3, std::exp(2 * 1.4826 - 0.01)));
  CHECK(watch.is_spike(3, std::exp(2 * 1.4826 + 0.01)));
  const SpikeWatch narrow(6, std::vector<double>(128, 2.0));
  CHECK_FALSE(narrow.is_spike(3, 2 * std::exp(6 * 0.4 - 0.01)));
  CHECK(narrow.is_spike(3, 2 * std::exp(6 * 0.4 + 0.01)));
}

TEST_CASE("single spikes do not widen the window, a level that lasts becomes the usual one") {
  SpikeWatch watch(6, std::vector<double>(128, 1.0));
  for (int i = 0; i < 20; ++i) watch.observe(50);
  CHECK(watch.is_spike(3, 20));
  std::size_t refused = 0;
  while (watch.is_spike(3, 50)) {
    watch.observe(50);
    REQUIRE(++refused < 64);
  }
  CHECK(refused > 30);
}

TEST_CASE("a watch continued from its window decides as the one that was not stopped") {
  const std::vector<double> norms = healthy({.spread = 0.4}, 400, 3);
  SpikeWatch whole(1.5, {}), resumed(1.5, {});
  for (std::size_t step = 0; step < norms.size(); ++step) {
    if (step % 37 == 0) resumed = SpikeWatch(1.5, resumed.window());
    CHECK(whole.is_spike(3, norms[step]) == resumed.is_spike(3, norms[step]));
    whole.observe(norms[step]);
    resumed.observe(norms[step]);
  }
}
