#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/logit.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "models/diffusion/gaussian_mixture.h"
#include "models/diffusion/names.h"
#include "models/objectives/denoising.h"
#include "tests/catch.h"

using namespace lathe;

namespace {

std::vector<std::uint64_t> numbers(std::uint64_t first, std::int64_t count) {
  std::vector<std::uint64_t> ids(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = first + i;
  return ids;
}
std::vector<std::uint64_t> visits(std::uint64_t visit, std::int64_t count) {
  return std::vector<std::uint64_t>(static_cast<std::size_t>(count), visit);
}

}  // namespace

TEST_CASE("noise, time and dropping are functions of the picture and its visit, not of the batch") {
  DenoisingOptions options;
  options.condition_dropout = 0.5;
  options.offset_noise = 0.1;
  const at::Tensor pictures = at::rand({6, 3, 4, 4});
  const NoisyPictures all = add_noise(pictures, numbers(10, 6), visits(3, 6), options);
  const NoisyPictures tail = add_noise(pictures.narrow(0, 4, 2), numbers(14, 2), visits(3, 2), options);
  CHECK(at::equal(all.noisy.narrow(0, 4, 2), tail.noisy));
  CHECK(at::equal(all.times.narrow(0, 4, 2), tail.times));
  CHECK(all.dropped[5] == tail.dropped[1]);
  const NoisyPictures again = add_noise(pictures, numbers(10, 6), visits(4, 6), options);
  CHECK_FALSE(at::equal(all.times, again.times));
  const NoisyPictures many =
      add_noise(at::zeros({4000, 1, 1, 1}), numbers(0, 4000), visits(0, 4000), options);
  double dropped = 0;
  for (const auto flag : many.dropped) dropped += flag;
  CHECK(dropped / 4000 == Approx(0.5).margin(0.03));
}

TEST_CASE("times are drawn as the recipe says: mean and spread of the logit, shift, or all alike") {
  DenoisingOptions options;
  options.schedule = NoiseSchedule({.kind = NoiseKind::Flow});
  const at::Tensor none = at::zeros({8000, 1, 1, 1});
  const auto sigmas = [&] {
    return add_noise(none, numbers(0, 8000), visits(0, 8000), options).times.to(at::kDouble) / 1000;
  };
  const auto logits = [&] { return at::logit(sigmas()); };
  CHECK(sigmas().mean().item<double>() == Approx(0.5).margin(0.01));
  CHECK(sigmas().std().item<double>() == Approx(std::sqrt(1 / 12.0)).margin(0.01));  // uniform
  options.timesteps = TimestepKind::LogitNormal;
  CHECK(logits().mean().item<double>() == Approx(0).margin(0.04));
  CHECK(logits().std().item<double>() == Approx(1).margin(0.03));
  options.logit_mean = 0.5;
  options.logit_std = 2;
  CHECK(logits().mean().item<double>() == Approx(0.5).margin(0.08));
  CHECK(logits().std().item<double>() == Approx(2).margin(0.06));
  options.schedule = NoiseSchedule({.kind = NoiseKind::Flow, .shift = 3});  // odds of noise times the shift
  CHECK(logits().mean().item<double>() == Approx(0.5 + std::log(3)).margin(0.08));
}

TEST_CASE("offset noise is the same over a channel, in its share, and another in every channel") {
  DenoisingOptions options;
  options.schedule = NoiseSchedule({.kind = NoiseKind::Flow});
  options.prediction = Prediction::Flow;  // of a black picture: the noise itself
  const at::Tensor none = at::zeros({2000, 2, 4, 4});
  const auto noise = [&] { return add_noise(none, numbers(0, 2000), visits(0, 2000), options).target; };
  const at::Tensor plain = noise();
  options.offset_noise = 0.3;
  const at::Tensor more = (noise() - plain) / 0.3;
  const at::Tensor of_channel = more.mean({2, 3});
  CHECK((more - of_channel.unsqueeze(-1).unsqueeze(-1)).abs().max().item<double>() < 1e-5);
  CHECK(of_channel.std().item<double>() == Approx(1).margin(0.04));
  CHECK((of_channel.select(1, 0) * of_channel.select(1, 1)).mean().item<double>() == Approx(0).margin(0.08));
}

TEST_CASE("a perfect network's error is noise: of mean zero wherever one looks, for every objective") {
  const auto checks = check_objectives();
  CHECK(checks.size() == (4 * 4 + 3 * 3) * 4);
  for (const ObjectiveCheck& check : checks) {
    INFO(check.name << ": bias " << check.bias << ", weights " << check.weight_error);
    CHECK(check.passed());
  }
}

TEST_CASE("a network that answers another question is seen") {
  DenoisingOptions options;
  for (const NoiseKind kind : {NoiseKind::Cosine, NoiseKind::Flow}) {
    options.schedule = NoiseSchedule({.kind = kind});
    for (const Prediction asked :
         {Prediction::Epsilon, Prediction::Sample, Prediction::Velocity, Prediction::Flow}) {
      for (const Prediction answered :
           {Prediction::Epsilon, Prediction::Sample, Prediction::Velocity, Prediction::Flow}) {
        options.prediction = asked;
        const ObjectiveCheck check = check_objective(options, answered);
        INFO(check.name << ", answered " << to_name(answered) << ": " << check.bias);
        CHECK(check.passed() == (asked == answered));
      }
    }
  }
}

TEST_CASE("the loss counts values, weights times and looks under the mask only") {
  NoisyPictures asked;
  asked.target = at::zeros({2, 1, 2, 2});
  asked.weights = at::tensor({1.0f, 3.0f});
  at::Tensor output = at::ones({2, 1, 2, 2}).set_requires_grad(true);
  const ObjectiveValue whole = denoising_loss(output, asked);
  CHECK(whole.count == 8);
  CHECK(whole.sum.item<double>() == 16);
  at::Tensor mask = at::zeros({2, 1, 2, 2});
  mask[1][0][0][0] = 1;
  const ObjectiveValue masked = denoising_loss(output, asked, mask);
  CHECK(masked.count == 1);
  CHECK(masked.sum.item<double>() == 3);
}
