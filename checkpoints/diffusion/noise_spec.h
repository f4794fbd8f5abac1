#pragma once
// A noise process as plain data: which noise level every time has and what a network says of it. How they
// are computed with stands in models/diffusion/noise_schedule.h.
#include <cstdint>

namespace lathe {

enum class Prediction { Epsilon, Sample, Velocity, Flow };
enum class NoiseKind { Linear, ScaledLinear, Cosine, Flow };

struct NoiseScheduleSpec {
  NoiseKind kind = NoiseKind::Flow;
  std::int64_t train_timesteps = 1000;
  double beta_start = 1e-4, beta_end = 0.02;  // linear, scaled_linear
  bool zero_terminal_snr = false;             // arXiv 2305.08891, not for flow
  double shift = 1;  // flow: sigma' = s sigma / (1 + (s - 1) sigma), arXiv 2403.03206
};

}  // namespace lathe
