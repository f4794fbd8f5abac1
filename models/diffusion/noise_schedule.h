#pragma once
// One algebra for every noise process: a noisy picture is x_t = alpha x_0 + sigma eps, and a network predicts
// some a x_0 + b eps. Epsilon, x_0, v (Salimans & Ho, arXiv 2202.00512) and flow matching (Lipman et al.,
// arXiv 2210.02747; in diffusers' orientation, noise - x_0) are pairs (a, b); what a network says is turned
// into x_0 and eps by solving the two equations. Times follow diffusers: 0 is clean, num_train_timesteps
// noise. Plain numbers, no torch; values only.
#include <vector>

#include "checkpoints/diffusion/noise_spec.h"

namespace lathe {

struct NoiseLevel {
  double alpha = 1, sigma = 0;
  double snr() const { return alpha * alpha / (sigma * sigma); }
  // sigma / alpha: the noise beside a picture of unit scale, as Karras et al. (arXiv 2206.00364) count it.
  double ratio() const { return sigma / alpha; }
};

class NoiseSchedule {
 public:
  // Usage errors: fewer than 2 timesteps, betas outside 0 < start <= end < 1, a shift that is not positive,
  // zero terminal SNR of a flow (which has it).
  explicit NoiseSchedule(const NoiseScheduleSpec& spec);
  const NoiseScheduleSpec& spec() const { return spec_; }
  bool is_flow() const { return spec_.kind == NoiseKind::Flow; }
  // Variance-preserving: t in [0, train_timesteps - 1], between whole steps sigma / alpha is interpolated
  // linearly. Flow: sigma = t / train_timesteps, already shifted.
  NoiseLevel at(double t) const;
  // Variance-preserving: alpha squared of each step. Empty for flow.
  const std::vector<double>& alphas_cumprod() const { return alphas_cumprod_; }

 private:
  NoiseScheduleSpec spec_;
  std::vector<double> alphas_cumprod_;
};

// sigma' = s sigma / (1 + (s - 1) sigma).
double shift_sigma(double sigma, double shift);

// What a network is to say: sample * x_0 + noise * eps.
struct Mixture {
  double sample = 0, noise = 0;
};
Mixture prediction_target(Prediction prediction, NoiseLevel level);

// x_0 and eps as mixtures of x_t (first) and of what the network says (second). At alpha = 0 epsilon says
// nothing of x_0, at sigma = 0 x_0 nothing of eps: an error that names both.
struct Unmixing {
  double sample_from_noisy = 0, sample_from_output = 0;
  double noise_from_noisy = 0, noise_from_output = 0;
};
Unmixing unmix(Prediction prediction, NoiseLevel level);

// Weight of the squared error of a prediction. gamma 0: 1. Else min-SNR-gamma (Hang et al., arXiv
// 2303.09556): the error of x_0 counts min(SNR, gamma), whatever is predicted; 1 where there is noise alone.
double min_snr_weight(Prediction prediction, NoiseLevel level, double gamma);

}  // namespace lathe
