#pragma once
// Which times a sampler visits, first to last, as diffusers' set_timesteps places them.
#include <vector>

#include "models/diffusion/sampler.h"

namespace lathe {

// One time a step (Heun evaluates most of them twice). Usage errors as Sampler's.
std::vector<double> sampler_times(const NoiseScheduleSpec& schedule, const SamplerOptions& options);

}  // namespace lathe
