#include <cmath>

#include "models/diffusion/gaussian_mixture.h"
#include "models/diffusion/noise_schedule.h"
#include "recipes/schema/error.h"
#include "tests/catch.h"

using namespace lathe;

namespace {

const Prediction kPredictions[] = {Prediction::Epsilon, Prediction::Sample, Prediction::Velocity,
                                   Prediction::Flow};

double alpha_squared(const NoiseSchedule& schedule, double t) { return std::pow(schedule.at(t).alpha, 2); }

}  // namespace

TEST_CASE("schedules have the published values") {
  // DDPM's linear schedule, and the ends that diffusers 0.42.1 computes in fp32.
  const NoiseSchedule linear({.kind = NoiseKind::Linear});
  CHECK(alpha_squared(linear, 0) == Approx(0.9999).epsilon(1e-7));
  CHECK(alpha_squared(linear, 999) == Approx(4.0358e-5).epsilon(1e-4));
  const NoiseSchedule stable({.kind = NoiseKind::ScaledLinear, .beta_start = 8.5e-4, .beta_end = 0.012});
  CHECK(alpha_squared(stable, 999) == Approx(0.0046599).epsilon(1e-4));
  CHECK(alpha_squared(stable, 0) == Approx(0.99915).epsilon(1e-7));
  const NoiseSchedule cosine({.kind = NoiseKind::Cosine});
  CHECK(alpha_squared(cosine, 499) == Approx(0.49384).epsilon(1e-3));
  CHECK(alpha_squared(cosine, 999) < 1e-8);
}

TEST_CASE(
    "variance is kept, time between steps is interpolated, zero terminal SNR ends in noise and keeps the "
    "first step") {
  const NoiseSchedule plain({.kind = NoiseKind::Linear});
  for (const double t : {0.0, 0.5, 10.25, 998.5, 999.0}) {
    const NoiseLevel level = plain.at(t);
    CHECK(level.alpha * level.alpha + level.sigma * level.sigma == Approx(1).epsilon(1e-12));
  }
  CHECK(plain.at(10.5).ratio() == Approx((plain.at(10).ratio() + plain.at(11).ratio()) / 2).epsilon(1e-9));
  const NoiseSchedule zero({.kind = NoiseKind::Linear, .zero_terminal_snr = true});
  CHECK(zero.at(999).alpha == 0);
  CHECK(zero.at(0).alpha == Approx(plain.at(0).alpha).epsilon(1e-12));
  CHECK(zero.at(998.5).alpha == 0);
  const NoiseSchedule flow({.kind = NoiseKind::Flow});
  CHECK(flow.at(250).alpha == Approx(0.75));
  CHECK(flow.at(250).sigma == Approx(0.25));
}

TEST_CASE("what a network says becomes x_0 and eps again, for every prediction and level") {
  const double sample = 0.7, noise = -1.3;
  for (const Prediction prediction : kPredictions) {
    for (const NoiseLevel level : {NoiseLevel{0.8, 0.6}, NoiseLevel{0.25, 0.75}, NoiseLevel{0.01, 0.99995}}) {
      const Mixture target = prediction_target(prediction, level);
      const double noisy = level.alpha * sample + level.sigma * noise;
      const double output = target.sample * sample + target.noise * noise;
      const Unmixing parts = unmix(prediction, level);
      CHECK(parts.sample_from_noisy * noisy + parts.sample_from_output * output ==
            Approx(sample).epsilon(1e-9));
      CHECK(parts.noise_from_noisy * noisy + parts.noise_from_output * output == Approx(noise).epsilon(1e-9));
    }
  }
}

TEST_CASE("min-SNR weights are the published ones") {
  const NoiseLevel level{0.8, 0.6};
  const double snr = 0.64 / 0.36;
  CHECK(level.snr() == Approx(snr));
  for (const double gamma : {1.0, 5.0}) {
    const double least = std::min(snr, gamma);
    CHECK(min_snr_weight(Prediction::Epsilon, level, gamma) == Approx(least / snr));
    CHECK(min_snr_weight(Prediction::Velocity, level, gamma) == Approx(least / (snr + 1)));
    CHECK(min_snr_weight(Prediction::Sample, level, gamma) == Approx(least));
  }
  CHECK(min_snr_weight(Prediction::Epsilon, level, 0) == 1);
  for (const Prediction prediction : {Prediction::Epsilon, Prediction::Velocity, Prediction::Sample})
    CHECK(min_snr_weight(prediction, {0, 1}, 5) == 1);  // noise alone, where samplers start, is trained too
}

TEST_CASE("what cannot be is refused by name") {
  CHECK_THROWS_WITH(NoiseSchedule({.kind = NoiseKind::Flow, .zero_terminal_snr = true}),
                    lathe::testing::contains_text("zero_terminal_snr"));
  CHECK_THROWS_WITH(NoiseSchedule({.kind = NoiseKind::Linear, .beta_start = 0.5, .beta_end = 0.1}),
                    lathe::testing::contains_text("beta_start"));
  CHECK_THROWS_WITH(unmix(Prediction::Epsilon, {0, 1}),
                    lathe::testing::contains_text("epsilon prediction says nothing"));
  CHECK_THROWS_WITH(unmix(Prediction::Sample, {1, 0}),
                    lathe::testing::contains_text("sample prediction says nothing"));
}

TEST_CASE("samplers driven by a perfect network give the mixture back") {
  const auto checks = check_samplers();
  CHECK(checks.size() == 5 * 4 * 3 + 2 * 2 * 3 + 2);
  for (const SamplerCheck& check : checks) {
    INFO(check.name << ": mean " << check.mean_error << ", deviation " << check.deviation_error << ", share "
                    << check.share_error);
    CHECK(check.passed());
  }
}
