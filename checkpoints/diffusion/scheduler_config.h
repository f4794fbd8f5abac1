#pragma once
// scheduler/scheduler_config.json of a diffusers pipeline: the noise process a network was trained on. Flow
// matching is FlowMatchEulerDiscreteScheduler, predictions on a variance-preserving schedule are
// DDIMScheduler; for the rest (x_0 on a flow, say) diffusers has no scheduler, and the class written is one
// that it refuses to load instead of drawing wrong pictures.
#include <string>

#include "checkpoints/diffusion/noise_spec.h"
#include "data/io/json.h"

namespace lathe {

struct NoiseProcess {
  NoiseScheduleSpec schedule;
  Prediction prediction = Prediction::Flow;
};

// FlowMatchEulerDiscreteScheduler, DDIMScheduler or LatheScheduler.
std::string scheduler_class(const NoiseProcess& process);
inline bool runs_in_diffusers(const NoiseProcess& process) {
  return scheduler_class(process) != "LatheScheduler";
}
Json scheduler_config(const NoiseProcess& process);
// Any of diffusers' schedulers with betas or of flow matching, with diffusers' defaults for what is absent.
// Errors name `where` and the field: betas of one's own, shifts by size, reordered sigmas.
NoiseProcess read_scheduler_config(const Json& config, const std::string& where);

}  // namespace lathe
