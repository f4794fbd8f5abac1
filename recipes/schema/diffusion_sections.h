#pragma once
// The recipe's sections on pictures: prior, text encoder, sampling, objective (recipes/schema/recipe.h).
#include <cstdint>
#include <string>

#include "recipes/schema/constraints.h"

namespace lathe {

// Tuning of pictures: the frozen base says what prompts of the old world must still give (prior preservation
// without class pictures; the base's own output is the target, as in distillation). Weight 0: none.
struct PriorSection {
  double weight = 0;
  std::string prompts;          // a text file, one a line
  std::int64_t pictures = 256;  // drawn by the base at the start, from the prompts in turn
  std::int64_t per_picture = 1;
  static void fields(auto& f, auto& c) {
    f("weight", c.weight,
      "of the difference between the tuned model and the frozen base on old prompts, beside the loss of "
      "the pictures; 0 for none",
      range(0.0, 1e4));
    f("prompts", c.prompts, "file of prompts, one a line, whose pictures must stay as they are");
    f("pictures", c.pictures, "how many the base draws of them before the first step", range(1, 1 << 20));
    f("per_picture", c.per_picture, "of them seen beside each training picture", range(1, 64));
  }
};

// Textual inversion (Gal et al., arXiv 2208.01618): a new word for what the pictures show; of the whole model
// only its vectors in the text encoder's table are trained. No token: none.
struct TextualInversionSection {
  std::string token, initialise_from;
  std::int64_t vectors = 1;
  static void fields(auto& f, auto& c) {
    f("token", c.token,
      "the new word, such as <wug>; captions have it, or data.trigger puts it there. Only its vectors are "
      "trained");
    f("initialise_from", c.initialise_from,
      "words whose vectors' mean it starts from; absent: the mean of all");
    f("vectors", c.vectors, "how many stand for it in a prompt", range(1, 64));
  }
};

// The text encoder of a diffusion model from scratch, of CLIP's kind.
struct TextEncoderSection {
  std::int64_t hidden_size = 64, num_hidden_layers = 2, num_attention_heads = 2;
  std::int64_t max_length = 16;
  static void fields(auto& f, auto& c) {
    f("hidden_size", c.hidden_size, "channels of a text token", range(8, 8192));
    f("num_hidden_layers", c.num_hidden_layers, "layers", range(1, 64));
    f("num_attention_heads", c.num_attention_heads, "attention heads", range(1, 128));
    f("max_length", c.max_length,
      "tokens of a caption, its two ends included; longer ones are cut and counted", range(3, 512));
  }
};

// How the samples of a diffusion run are drawn.
struct SamplingSection {
  std::string sampler;  // empty: flow_euler for flow, else ddim
  std::int64_t steps = 20, count = 16;
  double guidance = 3, guidance_from = 0, guidance_until = 1;
  static void fields(auto& f, auto& c) {
    f("sampler", c.sampler, "flow_euler for flow matching; ddpm, ddim, euler, heun, dpm++_2m for the others",
      choice({"", "ddpm", "ddim", "euler", "heun", "dpm++_2m", "flow_euler"}));
    f("steps", c.steps, "network evaluations of a picture", range(1, 1000));
    f("count", c.count, "pictures of a grid", range(1, 1024));
    f("guidance", c.guidance, "how far to go beyond the prediction without text; 1 for not at all",
      range(0.0, 100.0));
    f("guidance_from", c.guidance_from,
      "guidance only in a stretch of the way (arXiv 2404.07724): from here, 0 is noise", range(0.0, 1.0));
    f("guidance_until", c.guidance_until, "to here, 1 is the picture", range(0.0, 1.0));
  }
};

// task: diffusion. What the network is asked for, and at which times.
struct DiffusionSection {
  std::string prediction = "flow", schedule = "flow";
  double shift = 1;
  bool zero_terminal_snr = false;
  std::string timesteps = "logit_normal";
  double logit_mean = 0, logit_std = 1;
  double min_snr_gamma = 0, offset_noise = 0, condition_dropout = 0.1;
  TextEncoderSection text_encoder;
  SamplingSection sampling;
  static void fields(auto& f, auto& c) {
    f("prediction", c.prediction,
      "what the network says: flow (noise - picture), epsilon, sample, or velocity",
      choice({"flow", "epsilon", "sample", "velocity"}));
    f("schedule", c.schedule, "noise over time: flow (a straight path), linear, scaled_linear, cosine",
      choice({"flow", "linear", "scaled_linear", "cosine"}));
    f("shift", c.shift, "flow: more noise for large pictures, sigma' = s sigma / (1 + (s - 1) sigma)",
      range(0.01, 100.0));
    f("zero_terminal_snr", c.zero_terminal_snr, "the last step is noise alone; not with epsilon");
    f("timesteps", c.timesteps,
      "which times are trained: logit_normal (the middle more often), or uniform, which a base of epsilon, "
      "sample or velocity has when nothing is said",
      choice({"uniform", "logit_normal"}));
    f("logit_mean", c.logit_mean, "of logit_normal", range(-10.0, 10.0));
    f("logit_std", c.logit_std, "of logit_normal", range(0.01, 10.0));
    f("min_snr_gamma", c.min_snr_gamma,
      "limits the weight of clean times (arXiv 2303.09556), often 5; 0 for off", range(0.0, 1000.0));
    f("offset_noise", c.offset_noise, "noise that is the same over a whole channel; 0 for off",
      range(0.0, 10.0));
    f("condition_dropout", c.condition_dropout,
      "share of pictures shown without their text, which guidance needs", range(0.0, 1.0));
    f("text_encoder", c.text_encoder, "of a model from scratch");
    f("sampling", c.sampling, "how samples are drawn");
  }
};

}  // namespace lathe
