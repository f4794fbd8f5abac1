#!/usr/bin/env python3
"""Draws sampler settings and records what diffusers' schedulers do with them: tests/unit/models/diffusion/samplers.json.

    python scripts/make_sampler_goldens.py OUTPUT        (diffusers==0.42.1, torch)

Every case is a schedule, a sampler and a prediction, with the noise it starts from, what a network said at each evaluation
(random: parity must not depend on a network that agrees with the picture) and the picture after it. Noise that a step adds
is recorded too: the schedulers draw it by torch.randn, which is replaced while they run. Pictures are in fp64: where sigma
is 20,000 beside a picture of 1, fp32 shows the reference's rounding and nothing else.
"""
import json
import random
import sys

import diffusers
import torch
from diffusers import (DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler,
                       FlowMatchEulerDiscreteScheduler, HeunDiscreteScheduler)

KINDS = {"ddpm": DDPMScheduler, "ddim": DDIMScheduler, "euler": EulerDiscreteScheduler, "heun": HeunDiscreteScheduler,
         "dpm++_2m": DPMSolverMultistepScheduler, "flow_euler": FlowMatchEulerDiscreteScheduler}
BETAS = {"linear": "linear", "scaled_linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}
PREDICTIONS = {"epsilon": "epsilon", "sample": "sample", "velocity": "v_prediction"}


def draw(kind, rng):
    case = {"kind": kind, "steps": rng.choice([1, 2, 5, 8]), "train_timesteps": rng.choice([100, 1000])}
    if kind == "flow_euler":
        case.update(schedule="flow", prediction="flow", shift=rng.choice([1.0, 3.0, 0.5]))
        return case, {"num_train_timesteps": case["train_timesteps"], "shift": case["shift"]}
    case.update(schedule=rng.choice(list(BETAS)), prediction=rng.choice(list(PREDICTIONS)),
                beta_start=rng.choice([1e-4, 8.5e-4]), beta_end=rng.choice([0.02, 0.012]),
                spacing=rng.choice(["leading", "linspace", "trailing"]), steps_offset=0)
    config = {"num_train_timesteps": case["train_timesteps"], "beta_schedule": BETAS[case["schedule"]],
              "beta_start": case["beta_start"], "beta_end": case["beta_end"], "prediction_type": PREDICTIONS[case["prediction"]],
              "timestep_spacing": case["spacing"]}
    if kind != "dpm++_2m" and case["spacing"] == "leading" and case["steps"] > 1:
        case["steps_offset"] = config["steps_offset"] = rng.choice([0, 1])
    if kind in ("ddpm", "ddim"):
        case["clip_sample"] = rng.choice([0.0, 1.0])
        case["zero_terminal_snr"] = config["rescale_betas_zero_snr"] = case["prediction"] != "epsilon" and rng.random() < 0.5
        config["clip_sample"] = case["clip_sample"] > 0
    if kind == "ddim":
        case["set_alpha_to_one"] = config["set_alpha_to_one"] = rng.random() < 0.5
        case["eta"] = rng.choice([0.0, 0.7])
    if kind == "heun":
        config.pop("steps_offset", None)
        config["steps_offset"] = case["steps_offset"]
    return case, config


def run(case, config, generator):
    scheduler = KINDS[case["kind"]](**config)
    scheduler.set_timesteps(case["steps"])
    shape = (1, 1, 2, 2)
    case["start"] = torch.randn(shape, generator=generator).flatten().tolist()
    x = torch.tensor(case["start"], dtype=torch.float64).view(shape) * getattr(scheduler, "init_noise_sigma", 1)
    case.update(times=[], inputs=[], outputs=[], noises=[], pictures=[])
    for t in scheduler.timesteps:
        if hasattr(scheduler, "scale_model_input"):
            scaled = scheduler.scale_model_input(x, t)
        else:
            scaled = x
        output, noise = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
        patched(noise)
        extra = {"eta": case["eta"]} if case["kind"] == "ddim" else {}
        x = scheduler.step(output, t, x, **extra).prev_sample
        for key, value in (("inputs", scaled), ("outputs", output), ("noises", noise), ("pictures", x)):
            case[key].append([float(f"{v:.10g}") for v in value.flatten().tolist()])
        case["times"].append(float(t))
    return case


def patched(noise):
    for module in ("scheduling_ddpm", "scheduling_ddim"):
        sys.modules[f"diffusers.schedulers.{module}"].randn_tensor = lambda shape, **_: noise.clone()


def main():
    rng, generator = random.Random(1), torch.Generator().manual_seed(1)
    cases = []
    for kind in KINDS:
        for _ in range(10 if kind != "flow_euler" else 5):
            case, config = draw(kind, rng)
            cases.append(run(case, config, generator))
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write('{"diffusers": "%s", "cases": [\n' % diffusers.__version__ + ",\n".join(json.dumps(c) for c in cases) + "\n]}\n")


main()
