// The part of a card on use: exact commands for diffusers and lathe.
#include <algorithm>

#include "checkpoints/diffusion/scheduler_config.h"
#include "checkpoints/diffusion/single_file.h"
#include "trainer/export_pictures.h"

namespace lathe {

namespace {

constexpr const char* kVerify = "lathe verify .\n";

// Of a picture (c, H, W) of -1 .. 1, the first of that name.
std::string save_picture(const std::string& name) {
  return cat("values = ((", name,
             "[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)\n",
             "Image.fromarray(values.squeeze(-1).numpy()).save(\"picture.png\")\n",
             "print(\"picture.png\", tuple(values.shape))\n```\n\n");
}

// The steps of diffusers' DDPMPipeline, which cannot be told a class, and of its DiTPipeline, which wants a
// VAE and takes row 1000 for no class.
std::string class_commands(const PictureModel& model, const PictureExample& example) {
  const std::string& prompt = example.prompt;
  const auto found = std::find(model.classes.begin(), model.classes.end(), prompt);
  const bool classes = found != model.classes.end();
  const bool guided = classes && model.class_rows() > static_cast<std::int64_t>(model.classes.size());
  const std::string scheduler = scheduler_class(model.noise()), part = model.dit ? "transformer" : "unet",
                    network = model.dit ? "DiTTransformer2DModel" : "UNet2DModel",
                    named = model.dit ? "id2label of model_index.json" : "row of classes.json";
  const std::int64_t side = model.sample_size();
  const auto call = [&](const std::string& more) {
    return cat(" = network(x, t", model.dit ? "[None]" : "", more, ").sample");
  };
  const auto of_class = [&](std::size_t row) {
    return call(cat(", class_labels=torch.tensor([", row, "])"));
  };
  std::string text =
      cat("diffusers (",
          model.dit ? "its `DiTPipeline` wants a VAE, and takes row 1000 for no class"
                    : "`DDPMPipeline` takes no class",
          ", so its steps are written out):\n\n", "```python\nimport torch\nfrom diffusers import ", network,
          ", ", scheduler, "\nfrom PIL import Image\n\nnetwork = ", network,
          ".from_pretrained(\".\", subfolder=\"", part, "\")\n", "scheduler = ", scheduler,
          ".from_pretrained(\".\", subfolder=\"scheduler\")\n", "scheduler.set_timesteps(",
          example.sampling.steps, ")\n", "x = torch.randn(1, ", model.channels(), ", ", side, ", ", side,
          ")\nwith torch.no_grad():\n    for t in scheduler.timesteps:\n");
  if (classes)
    text += cat("        said", of_class(static_cast<std::size_t>(found - model.classes.begin())),
                "  # class ", python_text(prompt), ": ", named, "\n");
  else
    text += cat("        said", call(""), "\n");
  if (guided)
    text += cat("        free", of_class(model.classes.size()), "  # no class\n        said = free + ",
                example.sampling.guidance, " * (said - free)\n");
  text +=
      cat("        x = scheduler.step(said, t, x).prev_sample  # -1 .. 1 in the end\n", save_picture("x"),
          "lathe itself:\n\n```\nlathe sample .", classes ? cat(" --class ", shell_word(prompt)) : "",
          " --steps ", example.sampling.steps, guided ? cat(" --guidance ", example.sampling.guidance) : "",
          own_sampler(example), " --output pictures\n", kVerify, "```\n");
  return text;
}

}  // namespace

std::string picture_commands(const PictureModel& model, const PictureExample& example) {
  if (!model.by_text()) return class_commands(model, example);
  const std::string text = python_text(example.prompt), arguments = pipeline_arguments(example),
                    own = own_commands(example, kVerify);
  if (model.fills_in())
    return cat(
        "diffusers (`mask.png`: what is white is drawn anew):\n\n```python\nimport torch\nfrom PIL import "
        "Image\nfrom diffusers import "
        "StableDiffusionInpaintPipeline\n\npipe = StableDiffusionInpaintPipeline.from_pretrained(\".\", "
        "torch_dtype=torch.float32)\npicture = pipe(",
        text,
        ", image=Image.open(\"image.png\"), "
        "mask_image=Image.open(\"mask.png\"), height=",
        model.sample_size(), ", width=", model.sample_size(), ",\n               ", arguments,
        ").images[0]\npicture.save(\"picture.png\")\n```\n\n",
        own_commands(example, kVerify, " --image image.png --mask mask.png"));
  if (model.vae)
    return cat("diffusers:\n\n```python\nimport torch\nfrom diffusers import StableDiffusionPipeline\n\n",
               "pipe = ", base_pipeline("."), "\n", "picture = pipe(", text, ", ", arguments, ").images[0]\n",
               "picture.save(\"picture.png\")\nprint(\"picture.png\", picture.size)\n```\n\n", own);
  return cat(
      "diffusers (there is no VAE: its latents are the pictures, and no T5: `max_sequence_length=0`):\n\n",
      "```python\nimport torch\nfrom diffusers import StableDiffusion3Pipeline\nfrom PIL import Image\n\n",
      "pipe = StableDiffusion3Pipeline.from_pretrained(\".\", vae=None, text_encoder_3=None, "
      "tokenizer_3=None,\n",
      "                                                torch_dtype=torch.float32)\n", "latents = pipe(", text,
      ", ", arguments, ", max_sequence_length=0,\n",
      "               output_type=\"latent\").images  # -1 .. 1\n", save_picture("latents"), own);
}

std::string single_file_commands(const PictureExample& example) {
  return cat("`", kSingleFile,
             "` goes where ComfyUI, stable-diffusion.cpp and others keep their Stable Diffusion files; ",
             "they have its sizes and CLIP's tokenizer built in. `tokenizer/` is for lathe.\n\n",
             own_commands(example, kVerify));
}

}  // namespace lathe
