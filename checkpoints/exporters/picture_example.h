#pragma once
// What a card of a model that draws shows: one prompt, drawn as the run draws its samples. It goes into a
// shell's command lines and into Python, so each quotes it in its own way.
#include <cstdint>
#include <string>

#include "data/io/json.h"
#include "data/io/shell_word.h"
#include "recipes/schema/diffusion_sections.h"
#include "recipes/schema/error.h"

namespace lathe {

struct PictureExample {
  std::string prompt;
  SamplingSection sampling = {};
};

inline std::string python_text(const std::string& text) { return Json(text).dump(); }

// "num_inference_steps=20, guidance_scale=3"
inline std::string pipeline_arguments(const PictureExample& example) {
  return cat("num_inference_steps=", example.sampling.steps, ", guidance_scale=", example.sampling.guidance);
}

// A pipeline of diffusers on the base, a folder or a single file.
inline std::string base_pipeline(const std::string& base) {
  return cat("StableDiffusionPipeline.",
             base.ends_with(".safetensors") ? "from_single_file(" : "from_pretrained(", python_text(base),
             ", torch_dtype=torch.float32)");
}

// What else than lathe's own way the samples were drawn with: " --sampler heun".
inline std::string own_sampler(const PictureExample& example) {
  const SamplingSection& s = example.sampling;
  std::string text = s.sampler.empty() ? "" : " --sampler " + shell_word(s.sampler);
  if (s.guidance_from > 0) text += cat(" --guidance-from ", s.guidance_from);
  if (s.guidance_until < 1) text += cat(" --guidance-until ", s.guidance_until);
  return text;
}

// "lathe sample . --prompt 'a dog' --steps 20 --guidance 3 --output pictures"; `more` stands before --output.
inline std::string sample_command(const PictureExample& example, const std::string& more = "") {
  return cat("lathe sample . --prompt ", shell_word(example.prompt), more, " --steps ",
             example.sampling.steps, " --guidance ", example.sampling.guidance, own_sampler(example),
             " --output pictures\n");
}

// The same under its heading; `after` stands in lines of its own behind it.
inline std::string own_commands(const PictureExample& example, const std::string& after = "",
                                const std::string& more = "") {
  return cat("lathe itself:\n\n```\n", sample_command(example, more), after, "```\n");
}

}  // namespace lathe
