// Which times a sampler visits, as diffusers' set_timesteps places them.
#include <algorithm>
#include <cmath>

#include "models/diffusion/sampler_times.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

// numpy rounds halves to even, and so does the default rounding mode.
double rounded(double value) { return std::nearbyint(value); }

std::vector<double> linspace(double first, double last, std::int64_t count) {
  std::vector<double> all(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < all.size(); ++i)
    all[i] =
        count == 1 ? first : first + (last - first) * static_cast<double>(i) / static_cast<double>(count - 1);
  return all;
}

std::vector<double> trailing(double train, std::int64_t steps) {
  std::vector<double> all;
  const double ratio = train / static_cast<double>(steps);
  for (std::int64_t i = 0; i < steps; ++i) all.push_back(rounded(train - static_cast<double>(i) * ratio) - 1);
  return all;
}

std::vector<double> leading(std::int64_t ratio, std::int64_t steps, std::int64_t offset) {
  std::vector<double> all;
  for (std::int64_t i = steps; i-- > 0;) all.push_back(static_cast<double>(i * ratio + offset));
  return all;
}

std::vector<double> flow_times(const NoiseScheduleSpec& spec, std::int64_t steps) {
  const auto train = static_cast<double>(spec.train_timesteps);
  const double lowest = shift_sigma(1 / train, spec.shift);
  std::vector<double> all = linspace(1, lowest, steps);
  for (double& sigma : all) sigma = shift_sigma(sigma, spec.shift) * train;
  return all;
}

}  // namespace

std::vector<double> sampler_times(const NoiseScheduleSpec& schedule, const SamplerOptions& options) {
  const std::int64_t train = schedule.train_timesteps, steps = options.steps;
  if (steps < 1 || steps > train) fail_usage("a sampler takes 1 to ", train, " steps, not ", steps);
  if ((schedule.kind == NoiseKind::Flow) != (options.kind == SamplerKind::FlowEuler))
    fail_usage(schedule.kind == NoiseKind::Flow ? "a flow-matching model is sampled by flow_euler"
                                                : "flow_euler samples flow-matching models only");
  const auto whole = static_cast<double>(train);
  const bool multistep = options.kind == SamplerKind::DpmPlusPlus2M;
  const bool exact = options.kind == SamplerKind::Euler || options.kind == SamplerKind::Heun;  // not rounded
  if (options.kind == SamplerKind::FlowEuler) return flow_times(schedule, steps);
  switch (options.spacing) {
    case TimestepSpacing::Trailing:
      return trailing(whole, steps);
    case TimestepSpacing::Leading: {
      // DPM++ places one more and leaves out the lowest.
      std::vector<double> all = leading(train / (multistep ? steps + 1 : steps),
                                        multistep ? steps + 1 : steps, options.steps_offset);
      if (multistep) all.pop_back();
      if (all.front() > whole - 1)
        fail_usage("steps_offset ", options.steps_offset, " leads beyond the last timestep ", train - 1);
      return all;
    }
    case TimestepSpacing::Linspace:
      break;
  }
  std::vector<double> all = linspace(0, whole - 1, multistep ? steps + 1 : steps);
  std::reverse(all.begin(), all.end());
  if (multistep) all.pop_back();
  if (!exact) std::transform(all.begin(), all.end(), all.begin(), rounded);
  return all;
}

}  // namespace lathe
