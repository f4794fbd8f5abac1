#include "checkpoints/diffusion/scheduler_config.h"

#include <array>
#include <utility>

#include "checkpoints/bundle/config_reader.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr const char* kFlowClass = "FlowMatchEulerDiscreteScheduler";
constexpr const char* kOwnClass = "LatheScheduler";

constexpr std::array<std::pair<Prediction, const char*>, 4> kPredictions{
    {{Prediction::Epsilon, "epsilon"},
     {Prediction::Sample, "sample"},
     {Prediction::Velocity, "v_prediction"},
     {Prediction::Flow, "flow_prediction"}}};
constexpr std::array<std::pair<NoiseKind, const char*>, 4> kSchedules{
    {{NoiseKind::Linear, "linear"},
     {NoiseKind::ScaledLinear, "scaled_linear"},
     {NoiseKind::Cosine, "squaredcos_cap_v2"},
     {NoiseKind::Flow, "flow"}}};  // the last in configs of ours only

template <typename Enum, std::size_t count>
const char* name_in(const std::array<std::pair<Enum, const char*>, count>& table, Enum wanted) {
  for (const auto& [value, name] : table)
    if (value == wanted) return name;
  fail("an enumerator without a name");
}

template <typename Enum, std::size_t count>
Enum value_in(const std::array<std::pair<Enum, const char*>, count>& table, const ConfigReader& config,
              const char* key, Enum fallback) {
  const std::string name = config.text(key, name_in(table, fallback));
  std::string known;
  for (const auto& [value, word] : table) {
    if (name == word) return value;
    known += (known.empty() ? "" : ", ") + std::string(word);
  }
  config.wrong(key, "one of " + known);
}

void refuse_other_sigmas(const ConfigReader& config) {
  config.refuse("use_dynamic_shifting", "a shift that depends on the size of the picture is not supported");
  for (const char* key : {"invert_sigmas", "shift_terminal", "use_karras_sigmas", "use_exponential_sigmas",
                          "use_beta_sigmas", "stochastic_sampling"})
    config.refuse(key, "other sigmas than those of the shift are not supported");
}

bool known_class(const std::string& name) {
  for (const char* known : {"DDPMScheduler", "DDIMScheduler", "PNDMScheduler", "EulerDiscreteScheduler",
                            "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler",
                            "DPMSolverMultistepScheduler", "UniPCMultistepScheduler"})
    if (name == known) return true;
  return name == kFlowClass || name == kOwnClass;
}

}  // namespace

std::string scheduler_class(const NoiseProcess& process) {
  const bool flow = process.schedule.kind == NoiseKind::Flow;
  if (flow != (process.prediction == Prediction::Flow)) return kOwnClass;
  return flow ? kFlowClass : "DDIMScheduler";
}

Json scheduler_config(const NoiseProcess& process) {
  const NoiseScheduleSpec& spec = process.schedule;
  Json json = Json::object();
  json["_class_name"] = scheduler_class(process);
  json["_diffusers_version"] = "0.31.0";
  json["num_train_timesteps"] = spec.train_timesteps;
  const bool flow = spec.kind == NoiseKind::Flow;
  if (flow) json["shift"] = spec.shift;
  if (flow && process.prediction == Prediction::Flow) return json;
  json["prediction_type"] = name_in(kPredictions, process.prediction);
  json["beta_schedule"] = name_in(kSchedules, spec.kind);
  if (flow) return json;
  json["beta_start"] = spec.beta_start;
  json["beta_end"] = spec.beta_end;
  json["rescale_betas_zero_snr"] = spec.zero_terminal_snr;
  json["clip_sample"] = false;
  json["set_alpha_to_one"] = true;
  json["timestep_spacing"] = "trailing";  // usual_sampler_options() of models/diffusion/sampler.h
  return json;
}

NoiseProcess read_scheduler_config(const Json& json, const std::string& where) {
  const ConfigReader config(json, where);
  const std::string name = config.text("_class_name", "");
  if (!known_class(name))
    config.wrong("_class_name", cat(kFlowClass, " or one of diffusers' schedulers with betas"));
  NoiseProcess process;
  NoiseScheduleSpec& spec = process.schedule;
  spec.train_timesteps = config.integer("num_train_timesteps", 2, 1'000'000, 1000);
  spec.shift = config.positive("shift", 1.0);
  if (name == kFlowClass) {
    refuse_other_sigmas(config);
    return process;
  }
  const bool own = name == kOwnClass;
  config.refuse("trained_betas", "betas of its own are not supported");
  process.prediction = value_in(kPredictions, config, "prediction_type", Prediction::Epsilon);
  spec.kind = value_in(kSchedules, config, "beta_schedule", NoiseKind::Linear);
  if (!own && spec.kind == NoiseKind::Flow) config.wrong("beta_schedule", "linear, scaled_linear or cosine");
  if (!own && process.prediction == Prediction::Flow)
    config.wrong("prediction_type", "epsilon, sample or v_prediction");
  spec.beta_start = config.positive("beta_start", spec.beta_start);
  spec.beta_end = config.positive("beta_end", spec.beta_end);
  spec.zero_terminal_snr = config.boolean("rescale_betas_zero_snr", false);
  return process;
}

}  // namespace lathe
