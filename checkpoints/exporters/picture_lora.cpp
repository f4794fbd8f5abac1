#include "checkpoints/exporters/picture_lora.h"

#include <algorithm>
#include <filesystem>

#include "checkpoints/exporters/export_folder.h"
#include "checkpoints/formats/safetensors.h"

namespace lathe {

double export_picture_lora(const PeftAdapter& adapter, const PictureModel& base, LoraSpelling spelling,
                           const LoraLabel& label, const ExportOptions& options) {
  FileSystem& fs = options.file_system ? *options.file_system : real_file_system();
  LoraFile file = spell_lora(adapter, base, spelling, label);
  for (BundleTensor& tensor : file.tensors)
    if (!tensor.name.ends_with(".alpha"))  // rounded, all its layers would be scaled otherwise
      tensor = convert_tensor(std::move(tensor), options.dtype);
  ExportFolder folder(options.directory, options.overwrite, fs);
  const bool peft = spelling == LoraSpelling::Diffusers;
  const std::string name = peft ? kPictureLora : kSpelledLora;
  write_safetensors(folder.path() + "/" + name, file.tensors, file.metadata, fs);
  folder.add_written(name);
  if (peft) folder.add_text(kPeftConfig, picture_adapter_files(folded(adapter), base).front().text);
  folder.add_card(options);
  if (peft && !options.reference.is_null())
    folder.add_text("reference.json", options.reference.dump(1) + "\n");
  const double error = spelling_error(folder.path() + "/" + name, adapter, base, spelling);
  folder.publish();
  return error;
}

std::string base_name(const std::string& path) {
  const std::string cached = "models--";  // <cache>/models--org--name/snapshots/<revision>
  const std::filesystem::path whole = std::filesystem::path(path).lexically_normal();
  for (const auto& part : whole) {
    std::string name = part.string();
    if (!name.starts_with(cached)) continue;
    name = name.substr(cached.size());
    const std::size_t cut = name.find("--");
    return cut == std::string::npos ? name : name.substr(0, cut) + "/" + name.substr(cut + 2);
  }
  if (!whole.is_absolute()) return path;
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

std::string picture_lora_commands(const PeftAdapter& adapter, const PictureModel& base, LoraSpelling spelling,
                                  const PictureExample& example) {
  const std::string text = python_text(example.prompt), arguments = pipeline_arguments(example),
                    own = own_commands(example);
  const auto has = [&](const char* words) {
    return std::ranges::any_of(adapter.tensors, [&](const BundleTensor& tensor) {
      return tensor.name.starts_with(kTextEncoderPart) && tensor.name.find(words) != std::string::npos;
    });
  };
  const bool unread = spelling == LoraSpelling::Kohya && base.unet && has("") && !has(".out_proj.");
  if (spelling != LoraSpelling::Diffusers)
    return cat(spelling == LoraSpelling::Kohya ? "In kohya's spelling" : "In ComfyUI's spelling",
               base.unet ? ": " : ", SD3's own module names: ", kSpelledLora,
               " goes where the program keeps its LoRA files. It holds for the base `",
               base_name(adapter.base), "` alone.",
               unread ? cat(" ", kDiffusersWantsOutProj, ".") : std::string(), "\n");
  if (base.unet)
    return cat(
        "diffusers, on the base:\n\n```python\nimport torch\nfrom diffusers import "
        "StableDiffusionPipeline\n\n",
        "pipe = ", base_pipeline(adapter.base), "\npipe.load_lora_weights(\".\")\npipe(", text, ", ",
        arguments, ").images[0].save(\"picture.png\")\n```\n\n", own);
  return cat(
      "diffusers, on the base (there is no VAE: its latents are the pictures):\n\n```python\nimport torch\n",
      "from diffusers import StableDiffusion3Pipeline\n\npipe = StableDiffusion3Pipeline.from_pretrained(",
      python_text(adapter.base),
      ", vae=None, text_encoder_3=None,\n                                                tokenizer_3=None, "
      "torch_dtype=torch.float32)\n",
      "pipe.load_lora_weights(\".\")\nlatents = pipe(", text, ", ", arguments,
      ", max_sequence_length=0,\n               output_type=\"latent\").images  # -1 .. 1\n```\n\n", own);
}

}  // namespace lathe
