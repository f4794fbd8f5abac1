#pragma once
// Samplers: from noise to a picture, one network evaluation at a time. Each equals diffusers' scheduler of
// the same name, step by step, on the same noise: DDPM (Ho et al., arXiv 2006.11239), DDIM (Song et al.,
// arXiv 2010.02502), Euler and Heun (Karras et al., arXiv 2206.00364, without churn), DPM++ 2M (Lu et al.,
// arXiv 2211.01095, midpoint, last step of first order) and Euler on the straight path of flow matching.
// State is small and of one thread: one Sampler a batch.
//
//   Sampler sampler(schedule, prediction, options);
//   x = noise * sampler.initial_scale();
//   while (!sampler.done()) x = sampler.step(network(sampler.model_input(x), sampler.time()), x, noise_of);
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "models/diffusion/noise_schedule.h"

namespace lathe {

enum class SamplerKind { Ddpm, Ddim, Euler, Heun, DpmPlusPlus2M, FlowEuler };
// What a model is drawn with when nothing else is asked for.
inline SamplerKind usual_sampler(bool flow) { return flow ? SamplerKind::FlowEuler : SamplerKind::Ddim; }

enum class TimestepSpacing { Leading, Linspace, Trailing };

struct SamplerOptions {
  SamplerKind kind = SamplerKind::FlowEuler;
  std::int64_t steps = 20;
  TimestepSpacing spacing = TimestepSpacing::Linspace;  // flow Euler has its own
  std::int64_t steps_offset = 0;                        // leading and Euler's other spacings
  double clip_sample = 0;                               // DDPM, DDIM: x_0 within +- this; 0: not
  bool set_alpha_to_one = true;                         // DDIM: what lies below the last timestep
  double eta = 0;                                       // DDIM
};

// As pictures are drawn and exports tell diffusers to: DDPM and DDIM step from each of their times to the
// next one only when times trail (arXiv 2305.08891, section 3.3).
inline SamplerOptions usual_sampler_options(SamplerKind kind, std::int64_t steps) {
  const bool trails = kind == SamplerKind::Ddpm || kind == SamplerKind::Ddim;
  return {.kind = kind,
          .steps = steps,
          .spacing = trails ? TimestepSpacing::Trailing : TimestepSpacing::Linspace};
}

class Sampler {
 public:
  // Usage errors: no steps or more than the schedule has, a flow sampler on another schedule and the other
  // way round.
  Sampler(const NoiseSchedule& schedule, Prediction prediction, const SamplerOptions& options);
  // Times of all network evaluations, first to last (Heun has two a step but for the last).
  const std::vector<double>& times() const { return times_; }
  double initial_scale() const;  // of standard normal noise
  bool done() const { return index_ >= times_.size(); }
  double time() const { return times_[index_]; }
  at::Tensor model_input(const at::Tensor& x) const;
  // x after this evaluation, fp32. `noise` gives standard normal noise for this evaluation; only DDPM and
  // DDIM with eta ask.
  at::Tensor step(const at::Tensor& output, const at::Tensor& x,
                  const std::function<at::Tensor(std::size_t)>& noise);

 private:
  at::Tensor ddpm(const at::Tensor& output, const at::Tensor& x,
                  const std::function<at::Tensor(std::size_t)>& noise) const;
  at::Tensor ddim(const at::Tensor& output, const at::Tensor& x,
                  const std::function<at::Tensor(std::size_t)>& noise) const;
  at::Tensor euler(const at::Tensor& output, const at::Tensor& x) const;
  at::Tensor heun(const at::Tensor& output, const at::Tensor& x);
  at::Tensor dpm(const at::Tensor& output, const at::Tensor& x);
  at::Tensor flow(const at::Tensor& output, const at::Tensor& x) const;
  at::Tensor clean(const at::Tensor& output, const at::Tensor& x,
                   NoiseLevel level) const;           // x_0, clipped if asked
  double alpha_squared(std::int64_t timestep) const;  // below 0: what lies under the last timestep
  void place_variance_exploding();

  NoiseSchedule schedule_;
  Prediction prediction_;
  SamplerOptions options_;
  std::vector<double> times_;
  std::vector<double> sigmas_;  // Euler kinds: sigma / alpha of each evaluation, and a last 0; flow: sigma
  std::size_t index_ = 0;
  at::Tensor previous_clean_;  // DPM++ 2M: the step before; Heun: x at the start of the step
  at::Tensor previous_slope_;  // Heun
};

}  // namespace lathe
