// Samplers beside diffusers' schedulers (scripts/make_sampler_goldens.py): the same times, network inputs and
// pictures after every evaluation, with what the network says and the noise that is added given.
#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>

#include "data/io/json.h"
#include "models/diffusion/names.h"
#include "tests/catch.h"
#include "tests/places.h"

using namespace lathe;

namespace {

at::Tensor values(const Json& list) {
  const auto numbers = list.get<std::vector<double>>();
  return at::tensor(numbers, at::kDouble);
}

// Relative to the values wanted and, a thousandth as much, to those before: diffusers keeps sigmas in fp32,
// and one of 20,000 is then off by 0.001 beside a picture of 1.
double difference(const at::Tensor& found, const at::Tensor& wanted, const at::Tensor& before) {
  return ((found - wanted).abs() / (wanted.abs().clamp_min(1) + before.abs() * 1e-3)).max().item<double>();
}

struct Case {
  NoiseScheduleSpec schedule;
  Prediction prediction;
  SamplerOptions options;
};

Case read_case(const Json& json) {
  Case result;
  result.schedule.kind = from_name<NoiseKind>(json.at("schedule"), "schedule");
  result.schedule.train_timesteps = json.at("train_timesteps");
  result.schedule.beta_start = json.value("beta_start", 1e-4);
  result.schedule.beta_end = json.value("beta_end", 0.02);
  result.schedule.shift = json.value("shift", 1.0);
  result.schedule.zero_terminal_snr = json.value("zero_terminal_snr", false);
  result.prediction = from_name<Prediction>(json.at("prediction"), "prediction");
  result.options.kind = from_name<SamplerKind>(json.at("kind"), "kind");
  result.options.steps = json.at("steps");
  result.options.spacing = from_name<TimestepSpacing>(json.value("spacing", "linspace"), "spacing");
  result.options.steps_offset = json.value("steps_offset", 0);
  result.options.clip_sample = json.value("clip_sample", 0.0);
  result.options.set_alpha_to_one = json.value("set_alpha_to_one", true);
  result.options.eta = json.value("eta", 0.0);
  return result;
}

}  // namespace

TEST_CASE("samplers equal diffusers' schedulers step by step") {
  const Json all = read_json(test::source_folder() + "/tests/unit/models/diffusion/samplers.json");
  REQUIRE(all.at("cases").size() == 55);
  for (const Json& json : all.at("cases")) {
    const Case c = read_case(json);
    Json shown = json;
    for (const char* key : {"start", "times", "inputs", "outputs", "noises", "pictures"}) shown.erase(key);
    INFO(shown.dump());
    Sampler sampler(NoiseSchedule(c.schedule), c.prediction, c.options);
    REQUIRE(sampler.times().size() == json.at("times").size());
    at::Tensor x = values(json.at("start")) * sampler.initial_scale();
    for (std::size_t i = 0; !sampler.done(); ++i) {
      INFO("evaluation " << i);
      CHECK(sampler.time() == Approx(json.at("times")[i].get<double>()).epsilon(1e-5).margin(1e-3));
      CHECK(difference(sampler.model_input(x), values(json.at("inputs")[i]), x) < 1e-4);
      const at::Tensor before = x;
      x = sampler.step(values(json.at("outputs")[i]), x,
                       [&](std::size_t step) { return values(json.at("noises")[step]); });
      CHECK(difference(x, values(json.at("pictures")[i]), before) < 1e-4);
      x = values(json.at("pictures")[i]);
    }
  }
}

TEST_CASE("samplers refuse what does not fit") {
  const NoiseSchedule flow({.kind = NoiseKind::Flow}), linear({.kind = NoiseKind::Linear});
  CHECK_THROWS_WITH(Sampler(flow, Prediction::Flow, {.kind = SamplerKind::Ddim}),
                    lathe::testing::contains_text("flow_euler"));
  CHECK_THROWS_WITH(Sampler(linear, Prediction::Epsilon, {.kind = SamplerKind::FlowEuler}),
                    lathe::testing::contains_text("flow-matching"));
  CHECK_THROWS_WITH(Sampler(linear, Prediction::Epsilon, {.kind = SamplerKind::Ddim, .steps = 0}),
                    lathe::testing::contains_text("1 to 1000"));
  const NoiseSchedule zero({.kind = NoiseKind::Linear, .zero_terminal_snr = true});
  CHECK_THROWS_WITH(Sampler(zero, Prediction::Velocity, {.kind = SamplerKind::Euler}),
                    lathe::testing::contains_text("zero_terminal_snr"));
}
