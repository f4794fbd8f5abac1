#include "checkpoints/exporters/textual_inversion.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "checkpoints/exporters/export_folder.h"
#include "checkpoints/formats/safetensors.h"

namespace lathe {

namespace {

constexpr const char* kEmbeddingKey = "emb_params";

// Relative to the largest wanted value; infinite when one is no number.
double largest_error(const BundleTensor& found, const BundleTensor& wanted) {
  require(found.shape == wanted.shape, "'", found.name, "' has shape ", shape_text(found.shape), ", wanted ",
          shape_text(wanted.shape));
  const ByteBlock a = convert_tensor(found, DType::F32).bytes(),
                  b = convert_tensor(wanted, DType::F32).bytes();
  const auto *x = reinterpret_cast<const float*>(a.bytes.data()),
             *y = reinterpret_cast<const float*>(b.bytes.data());
  double largest = 0, size = 0;
  for (std::size_t i = 0; i < wanted.element_count(); ++i) {
    const double error = std::abs(static_cast<double>(x[i]) - static_cast<double>(y[i]));
    largest = std::isfinite(error) ? std::max(largest, error) : INFINITY;
    size = std::max(size, std::abs(static_cast<double>(y[i])));
  }
  return largest / std::max(size, 1e-30);
}

}  // namespace

std::string embedding_file(const std::string& token) {
  std::string name;
  for (const char c : token)
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_') name += c;
  const std::string end = ".safetensors";
  return (name.empty() || name + end == kLearnedEmbeds ? "embedding" : name) + end;
}

double export_textual_inversion(const TextualInversion& learned, const ExportOptions& options) {
  FileSystem& fs = options.file_system ? *options.file_system : real_file_system();
  TextualInversion written = learned;
  written.vectors = convert_tensor(written.vectors, options.dtype);
  ExportFolder folder(options.directory, options.overwrite, fs);
  for (const CheckpointFile& file : textual_inversion_files(written)) {
    if (file.tensors.empty()) {
      folder.add_text(file.name, file.text);
      continue;
    }
    write_safetensors(folder.path() + "/" + file.name, file.tensors, {{"format", "pt"}}, fs);
    folder.add_written(file.name);
  }
  BundleTensor embedding = written.vectors;
  embedding.name = kEmbeddingKey;
  const std::string name = embedding_file(learned.token);
  write_safetensors(folder.path() + "/" + name, {embedding}, {{"format", "pt"}}, fs);
  folder.add_written(name);
  folder.add_card(options);
  if (!options.reference.is_null()) folder.add_text("reference.json", options.reference.dump(1) + "\n");
  const double error =
      std::max(largest_error(read_textual_inversion(folder.path()).vectors, learned.vectors),
               largest_error(read_safetensors(folder.path() + "/" + name).tensors.at(0), learned.vectors));
  folder.publish();
  return error;
}

std::string textual_inversion_commands(const TextualInversion& learned, bool loadable,
                                       const PictureExample& example) {
  const std::string text = python_text(example.prompt), name = embedding_file(learned.token);
  const std::string own = own_commands(example);
  if (!loadable)
    return cat(
        "diffusers has no load_textual_inversion for StableDiffusion3Pipeline: export the whole pipeline "
        "with the "
        "word in it (format diffusers).\n\n",
        own);
  return cat(
      "diffusers, on the base:\n\n```python\nimport torch\nfrom diffusers import StableDiffusionPipeline\n\n",
      "pipe = ", base_pipeline(learned.base), "\npipe.load_textual_inversion(\".\", weight_name=\"",
      kLearnedEmbeds, "\")\npipe(", text, ", ", pipeline_arguments(example),
      ").images[0].save(\"picture.png\")\n```\n\n`", name,
      "` goes where AUTOMATIC1111's web UI, ComfyUI and kohya's scripts keep their embeddings; there its "
      "name is the "
      "word.\n\n",
      own);
}

}  // namespace lathe
