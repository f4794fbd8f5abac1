#include "trainer/spike_watch.h"

#include <cstdint>
#include <limits>
#include <string>

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

bool is_spike(const SpikeWatch& watch, double loss, double norm) {
  return static_cast<bool>(watch.judge(loss, norm));
}

std::size_t spikes_in(const std::vector<double>& norms) {
  SpikeWatch watch(6);
  std::size_t spikes = 0;
  for (const double norm : norms) {
    spikes += is_spike(watch, 3, norm);
    watch.observe(3, norm);
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
    SpikeWatch watch(6);
    std::size_t found = 0, asked = 0;
    for (std::size_t step = 0; step < norms.size(); ++step) {
      if (step >= 300) {
        ++asked;
        std::vector<double> usual(norms.begin() + static_cast<std::ptrdiff_t>(step - 128),
                                  norms.begin() + static_cast<std::ptrdiff_t>(step));
        std::nth_element(usual.begin(), usual.begin() + 64, usual.end());
        found += is_spike(watch, 3, 20 * usual[64]);
      }
      watch.observe(3, norms[step]);
    }
    CHECK(asked - found <= asked / 100);  // the spread is an estimate
  }
}

TEST_CASE("what is not finite is a spike from the first step, and never enters the window") {
  SpikeWatch watch(6);
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinite = std::numeric_limits<double>::infinity();
  CHECK(is_spike(watch, nan, 1));
  CHECK(is_spike(watch, infinite, 1));
  CHECK(is_spike(watch, 3, nan));
  CHECK(is_spike(watch, 3, infinite));
  for (const double norm : {nan, infinite, 0.0, -1.0}) watch.observe(3, norm);
  CHECK(watch.norms().empty());
  for (std::size_t step = 0; step < SpikeWatch::kWarmup; ++step) {
    CHECK_FALSE(is_spike(watch, 3, 1000));  // too early to judge
    watch.observe(3, 1);
  }
  CHECK(is_spike(watch, 3, 1000));
  CHECK_FALSE(is_spike(watch, 3, 0));
}

TEST_CASE("the threshold is sigma spreads of the logarithm") {
  // Logarithms -1, 0 and 1 in equal parts: median 0, median absolute deviation 1.
  std::vector<double> window;
  for (int i = 0; i < 32; ++i) window.insert(window.end(), {std::exp(-1.0), 1.0, std::exp(1.0)});
  const SpikeWatch watch(2, window);
  CHECK_FALSE(is_spike(watch, 3, std::exp(2 * 1.4826 - 0.01)));
  CHECK(is_spike(watch, 3, std::exp(2 * 1.4826 + 0.01)));
  const SpikeWatch narrow(6, std::vector<double>(128, 2.0));
  CHECK_FALSE(is_spike(narrow, 3, 2 * std::exp(6 * 0.4 - 0.01)));
  CHECK(is_spike(narrow, 3, 2 * std::exp(6 * 0.4 + 0.01)));
}

TEST_CASE("single spikes do not widen the window, a level that lasts becomes the usual one") {
  SpikeWatch watch(6, std::vector<double>(128, 1.0));
  for (int i = 0; i < 20; ++i) watch.observe(3, 50);
  CHECK(is_spike(watch, 3, 20));
  std::size_t refused = 0;
  while (is_spike(watch, 3, 50)) {
    watch.observe(3, 50);
    REQUIRE(++refused < 64);
  }
  CHECK(refused > 30);
}

TEST_CASE("a loss far out at a usual norm is a spike, told as one") {
  Normal normal(5);
  SpikeWatch watch(6);
  for (int step = 0; step < 500; ++step) watch.observe(3 + 0.1 * normal(), std::exp(0.25 * normal()));
  CHECK_FALSE(watch.judge(4.3, 1));
  const Spike loss = watch.judge(6, 1), norm = watch.judge(3, 50), both = watch.judge(6, 50);
  CHECK((loss.loss && !loss.norm && std::string(loss.name()) == "loss"));
  CHECK((!norm.loss && norm.norm && std::string(norm.name()) == "gradient norm"));
  CHECK((both.loss && both.norm && std::string(both.name()) == "loss and gradient norm"));
  CHECK_FALSE(watch.judge(0.01, 1));  // a loss may fall
  SpikeWatch early(6);
  for (std::size_t step = 0; step < SpikeWatch::kRecentLosses; ++step) {
    CHECK_FALSE(early.judge(30, 1));
    early.observe(3, 1);
  }
  CHECK(early.judge(30, 1).loss);
}

TEST_CASE("losses of healthy runs hold no spike: small batches, learned examples, mixed data, noise levels") {
  struct Course {
    const char* what;
    double first, last, log_spread, rare_share, rare_factor;
  };
  const Course courses[] = {{"pretraining", 10, 2, 0.04, 0, 1},
                            {"pretraining, one row a step", 10, 2, 0.15, 0, 1},
                            {"tuning, 4 examples a step, learned by heart", 3, 0.01, 0.6, 0, 1},
                            {"tuning, one example a step", 2, 0.5, 0.9, 0, 1},
                            {"a twentieth of other data, one row a step", 2, 1, 0.2, 0.05, 4},
                            {"a hundredth of other data, one row a step", 2, 1, 0.2, 0.01, 4},
                            {"a third of other data", 4, 1, 0.1, 0.3, 5},
                            {"noise, one picture a step", 0.5, 0.05, 1.2, 0, 1}};
  for (const Course& course : courses)
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      INFO(course.what << ", seed " << seed);
      Normal normal(seed);
      SpikeWatch watch(6);
      std::size_t spikes = 0;
      for (int step = 0; step < 3000; ++step) {
        const double level = course.last + (course.first - course.last) * std::exp(-step / 150.0);
        const double factor = normal.uniform() < course.rare_share ? course.rare_factor : 1;
        const double loss = level * factor * std::exp(course.log_spread * normal());
        spikes += is_spike(watch, loss, 1);
        watch.observe(loss, 1);
      }
      // Where it is rare it cannot be told from a spike; what is passed over stays below a step in a hundred.
      const bool rare = course.rare_share > 0 && course.rare_share < 0.1;
      CHECK(spikes <= (rare ? 30 : 0));
    }
}

TEST_CASE("a level of the loss that lasts passes few steps over, and a loss that comes back none") {
  SpikeWatch watch(6, std::vector<double>(128, 1.0), std::vector<double>(64, 2.0));
  int passed_over = 0;
  for (int step = 0; step < 40; ++step) {
    passed_over += is_spike(watch, 5 + 0.02 * (step % 5), 1);
    watch.observe(5 + 0.02 * (step % 5), 1);
  }
  CHECK(passed_over == 2);
  CHECK_FALSE(watch.judge(5, 1));
  CHECK(watch.judge(12, 1).loss);
}

TEST_CASE("the threshold of the loss is far out in nats and in factors") {
  const auto limit = [](double usual) {
    const SpikeWatch watch(6, {}, std::vector<double>(64, usual));
    double loss = usual;
    while (!watch.judge(loss, 1)) loss += 0.001;
    return loss;
  };
  CHECK(limit(1e-3) == Approx(1.501).margin(0.002));
  CHECK(limit(2) == Approx(3.5).margin(0.002));
  CHECK(limit(8) == Approx(8 * std::exp(6 * 0.08)).margin(0.002));
  CHECK(limit(0) == Approx(1.5).margin(0.002));
}

TEST_CASE("a watch continued from its windows decides as the one that was not stopped") {
  const std::vector<double> norms = healthy({.spread = 0.4}, 400, 3),
                            drawn = healthy({.spread = 0.6}, 400, 4);
  SpikeWatch whole(1.5), resumed(1.5);
  std::size_t of_losses = 0;
  for (std::size_t step = 0; step < norms.size(); ++step) {
    if (step % 37 == 0) resumed = SpikeWatch(1.5, resumed.norms(), resumed.losses());
    const double loss = step % 71 == 70 ? 20 * drawn[step] : drawn[step];
    const Spike one = whole.judge(loss, norms[step]), other = resumed.judge(loss, norms[step]);
    CHECK((one.loss == other.loss && one.norm == other.norm));
    of_losses += one.loss;
    whole.observe(loss, norms[step]);
    resumed.observe(loss, norms[step]);
  }
  CHECK(of_losses > 2);
}
