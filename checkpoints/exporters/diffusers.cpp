#include "checkpoints/exporters/diffusers.h"

#include <filesystem>

#include "checkpoints/diffusion/single_file.h"
#include "checkpoints/exporters/export_folder.h"
#include "checkpoints/formats/safetensors.h"

namespace lathe {

namespace {

namespace files = std::filesystem;

// What transformers adds to a text must be what the network was trained with: begin, ids, end.
void check_tokenizer(const Tokenizer& tokenizer) {
  const std::string text = "a red circle";
  const SpecialTokens special = tokenizer.special();
  std::vector<TokenId> wanted = tokenizer.ids(text);
  if (special.bos) wanted.insert(wanted.begin(), *special.bos);
  if (special.eos) wanted.push_back(*special.eos);
  require(special.eos && tokenizer.encode(text, {.add_special = true}).ids == wanted,
          "format diffusers: the tokenizer's post-processor does not put texts between begin and end, as the "
          "text encoder was trained; train one of kind clip_bpe");
}

void check_exportable(const PictureModel& model) {
  if (!runs_in_diffusers(model.noise()))
    fail_usage(
        "format diffusers: there is no scheduler for this prediction on this schedule; train with "
        "prediction flow on schedule flow, or with epsilon, sample or velocity on another");
  if (model.tokenizer) check_tokenizer(*model.tokenizer);
}

// The weights of a model in another type.
void convert(PictureModel& model, DType dtype) {
  for (const PictureModel::Part& part : model.parts())
    for (BundleTensor& tensor : *part.tensors) tensor = convert_tensor(std::move(tensor), dtype);
}

// Card and reference, read back, then published.
void finish(ExportFolder& folder, const ExportOptions& options) {
  folder.add_card(options);
  if (!options.reference.is_null()) folder.add_text("reference.json", options.reference.dump() + "\n");
  read_pipeline(folder.path());
  folder.publish();
}

FileSystem& file_system(const ExportOptions& options) {
  return options.file_system ? *options.file_system : real_file_system();
}

}  // namespace

void export_diffusers(PictureModel model, const ExportOptions& options) {
  check_exportable(model);
  convert(model, options.dtype);
  FileSystem& fs = file_system(options);
  ExportFolder folder(options.directory, options.overwrite, fs);
  for (const CheckpointFile& file : pipeline_files(model)) {
    if (file.tensors.empty()) {
      folder.add_text(file.name, file.text);
      continue;
    }
    fs.make_directory(files::path(folder.path() + "/" + file.name).parent_path().string());
    write_safetensors(folder.path() + "/" + file.name, file.tensors, {{"format", "pt"}}, fs);
    folder.add_written(file.name);
  }
  finish(folder, options);
}

void export_single_file(PictureModel model, const std::string& title, const ExportOptions& options) {
  convert(model, options.dtype);
  const std::vector<BundleTensor> tensors = single_file_tensors(model);
  FileSystem& fs = file_system(options);
  ExportFolder folder(options.directory, options.overwrite, fs);
  write_safetensors(folder.path() + "/" + kSingleFile, tensors, single_file_metadata(model, title), fs);
  folder.add_written(kSingleFile);
  for (const CheckpointFile& file : pipeline_files(model))
    if (file.name.starts_with("tokenizer/")) folder.add_text(file.name, file.text);
  finish(folder, options);
}

}  // namespace lathe
