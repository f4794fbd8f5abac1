// lathe export MODEL --format NAME --output DIR, and lathe verify DIR.
#include <filesystem>
#include <optional>

#include "checkpoints/diffusion/pipeline.h"
#include "checkpoints/exporters/picture_lora.h"
#include "checkpoints/store/manifest.h"
#include "trainer/cli/command.h"
#include "trainer/export.h"
#include "trainer/export_card.h"
#include "trainer/export_targets.h"
#include "trainer/export_pictures.h"
#include "trainer/machine.h"
#include "trainer/pictures/picture_source.h"

namespace lathe {

namespace {

struct Arguments {
  std::string model, format, output, dtype = "auto", quantize;
  std::optional<std::int64_t> max_shard_bytes;
  bool overwrite = false, merge = false;
};

// Formats of whole models merge an adapter always, so --merge asks for what happens; the others hold it
// alone.
void check_merge(const Arguments& arguments) {
  if (!arguments.merge || (!is_adapter_format(arguments.format) && arguments.format != kTextualInversion))
    return;
  fail_usage("--merge: --format ", arguments.format, " is what was trained alone, not merged with its base; ",
             "leave --merge out, or use a format of whole models (huggingface, gguf; pictures: diffusers, "
             "single_file), which merges always");
}

void check_shards(const Arguments& arguments, const std::string& format) {
  if (arguments.max_shard_bytes && format != "huggingface")
    fail_usage("--max-shard-bytes goes with --format huggingface; of '", format, "' tensors are in one file");
}

void tell(Context& context, const Verification& verification) {
  context.result.update(verification.to_json());
  context.say(cat(verification.passed() ? "verified" : "NOT EQUAL", ": largest error of a logit ",
                  verification.max_error, " (largest logit ", verification.largest_logit, "), ids ",
                  verification.same_ids ? "equal" : "differ", ", greedy tokens ",
                  verification.same_tokens ? "equal" : "differ"));
  for (const std::string& wrong : {verification.damaged, verification.endless})
    if (!wrong.empty()) context.say(wrong);
  if (verification.rounding_error)
    context.say(cat("rounding the weights changes a logit by at most ", *verification.rounding_error));
  if (verification.quantization_error)
    context.say(cat("on the original base instead of its 4 bits a logit changes by at most ",
                    *verification.quantization_error));
}

void tell(Context& context, const PictureVerification& verification) {
  context.result.update(verification.to_json());
  context.say(cat(verification.passed() ? "verified" : "NOT EQUAL",
                  ": largest error of a latent after 10 steps ", verification.max_error, " (largest value ",
                  verification.largest_value, "), ids ", verification.same_ids ? "equal" : "differ"));
  if (!verification.damaged.empty()) context.say(verification.damaged);
  if (verification.rounding_error)
    context.say(cat("rounding the weights changes a latent by at most ", *verification.rounding_error));
}

ExportOptions options_of(const Arguments& arguments) {
  ExportOptions options;
  options.directory = arguments.output;
  options.overwrite = arguments.overwrite;
  if (arguments.max_shard_bytes)
    options.max_shard_bytes = static_cast<std::uint64_t>(*arguments.max_shard_bytes);
  return options;
}

ExitCode export_picture_model(Context& context, const Arguments& arguments, const ModelSource& source) {
  const std::string& format = arguments.format;
  const bool word = format == kTextualInversion, alone = is_adapter_format(format) || word;
  if (!format.empty() && format != "diffusers" && format != "single_file" && !alone)
    fail_usage(
        "--format ", format, ": ", source.description,
        " draws pictures; use --format diffusers, single_file (Stable Diffusion), peft, kohya or comfyui for "
        "its adapter alone, or textual_inversion for its new word alone");
  if (!arguments.quantize.empty()) fail_usage("--quantize goes with --format gguf");
  check_shards(arguments, "diffusers");
  const ExportOptions options = options_of(arguments);
  PictureExportRequest request;
  request.dtype = arguments.dtype;
  request.single_file = format == "single_file";
  request.sampling = usual_sampling(source.folder);
  request.prompts = reference_prompts(load_picture_model(source));
  request.heading = cat("# Export of ", shipped_description(source), "\n\n## Use\n\n");
  if (alone) {
    context.result = word ? export_word_of_pictures(source, request, options)
                          : export_adapter_of_pictures(source, format, request, options);
    context.result["directory"] = arguments.output;
    context.say(cat("exported the ", word ? "new word" : "adapter", " of ", source.description, " to ",
                    arguments.output,
                    word ? "; largest relative error of a value " : "; largest error of a weight's change ",
                    context.result["max_error"].get<double>()));
    return ExitCode::Done;
  }
  const PictureVerification verification = export_pictures(source, request, options);
  context.say(cat("exported ", source.description, " to ", arguments.output));
  context.result["directory"] = arguments.output;
  tell(context, verification);
  return ExitCode::Done;
}

ExitCode export_command(Context& context, const Arguments& arguments) {
  check_merge(arguments);
  set_compute_threads(resolve_threads(0));
  const ModelSource source = resolve_model(arguments.model);
  if (const std::string lost = source_would_be_lost(arguments.output, source.folder); !lost.empty())
    fail_usage("--output ", lost);
  if (draws_pictures(source)) return export_picture_model(context, arguments, source);
  if (arguments.format == "diffusers" || arguments.format == "single_file" || arguments.format == "kohya" ||
      arguments.format == "comfyui" || arguments.format == kTextualInversion)
    fail_usage("--format ", arguments.format, ": ", source.description, " is no text-to-picture model");
  const ExportOptions options = options_of(arguments);
  if (!arguments.quantize.empty() && arguments.format != "gguf")
    fail_usage("--quantize goes with --format gguf");
  if (!arguments.quantize.empty() && arguments.dtype != "auto")
    fail_usage("--quantize and --dtype both name the type of a GGUF file; give one");
  ExportRequest request;
  request.format = arguments.format.empty() ? "huggingface" : arguments.format;
  check_shards(arguments, request.format);
  request.dtype = arguments.dtype;
  request.quantize = arguments.quantize;
  request.prompts = {"The", "def main():\n", "1 + 1 =", "Il \xc3\xa9tait une fois"};
  request.heading = card_heading(source, request.format);
  const Verification verification = export_model(source, request, options);
  context.say(cat("exported ", source.description, " to ", arguments.output));
  context.result["directory"] = arguments.output;
  tell(context, verification);
  return ExitCode::Done;
}

template <typename Verified>
ExitCode tell_verified(Context& context, Verified verification, const std::string& directory) {
  verification.damaged = damaged_file(directory);
  tell(context, verification);
  const bool listed = std::filesystem::exists(directory + "/" + kManifestName);
  context.result["manifest"] = listed;
  if (!listed)
    context.say(cat("no ", kManifestName,
                    " is here, so whether every file is still as it was written is not known; "
                    "exports of lathe carry one"));
  return verification.passed() ? ExitCode::Done : ExitCode::Failed;
}

// Of an adapter or a new word alone that names its base: an Error when that one has changed.
void look_at_base(Context& context, const std::string& directory) {
  const bool word = is_textual_inversion(directory);
  if (!word && !is_picture_adapter(directory)) return;  // kohya's and ComfyUI's files name none
  const std::string base = word ? read_textual_inversion(directory).base : read_peft_config(directory).base;
  std::optional<ModelSource> found;
  try {
    found = resolve_model(base);
  } catch (const Error&) {
    context.say(cat("its base '", base, "' is not on this machine, so it was not looked at"));
  }
  if (found) refuse_changed_base({directory, "", -1, directory}, *found);
}

// An adapter or a new word alone was compared with what was trained when it was written; later its files are.
ExitCode verify_files(Context& context, const std::string& directory, const char* what) {
  if (!std::filesystem::exists(directory + "/" + kManifestName))
    fail("'", directory, "' holds ", what, " alone and has no ", kManifestName,
         ", so there is nothing to compare with; only exports of lathe carry one");
  const std::string damaged = damaged_file(directory);
  if (damaged.empty()) look_at_base(context, directory);
  context.result.update(Json{{"passed", damaged.empty()}, {"compared", "sha256"}});
  if (!damaged.empty()) context.result["damaged"] = damaged;
  context.say(damaged.empty() ? cat("verified: ", what,
                                    " alone, whose weights were compared with the trained ones when it "
                                    "was written; every file is still as ",
                                    kManifestName, " says (SHA-256)")
                              : "NOT EQUAL: " + damaged);
  return damaged.empty() ? ExitCode::Done : ExitCode::Failed;
}

ExitCode verify_command(Context& context, const std::string& directory) {
  if (!std::filesystem::is_directory(directory))
    fail_usage("'", directory, std::filesystem::exists(directory) ? "' is a file" : "' does not exist",
               "; wanted the folder of an export");
  set_compute_threads(resolve_threads(0));
  if (is_textual_inversion(directory)) return verify_files(context, directory, "a new word");
  if (is_picture_adapter(directory) || std::filesystem::exists(directory + "/" + kSpelledLora))
    return verify_files(context, directory, "an adapter of pictures");
  if (is_pipeline(directory)) return tell_verified(context, verify_pictures(directory), directory);
  return tell_verified(context, verify_export(directory), directory);
}

}  // namespace

void add_export(const Command& program) {
  const Command command = program.command("export", "write a model for the engines that serve it");
  auto arguments = std::make_shared<Arguments>();
  command.option("MODEL", arguments->model, "a run, an export, a Hugging Face folder or a cached Hub id")
      .required();
  command
      .option("--format", arguments->format,
              "huggingface (the default of texts) or gguf (an adapter is merged), peft: the adapter alone; "
              "pictures: diffusers, single_file: Stable Diffusion under its original names, and kohya or "
              "comfyui: the adapter alone, textual_inversion: the new word alone")
      .one_of(
          {"huggingface", "peft", "gguf", "diffusers", "single_file", "kohya", "comfyui", kTextualInversion});
  command.option("--output", arguments->output, "a folder that does not exist yet").required();
  command.flag("--overwrite", arguments->overwrite,
               "replace an export of this program that is there, never anything else");
  command.flag(
      "--merge", arguments->merge,
      "merge an adapter into its base, which formats of whole models do always; an error with the others");
  command
      .option("--dtype", arguments->dtype,
              "of the tensors; auto: bf16, and fp32 for an adapter alone and for pictures")
      .one_of({"auto", "bf16", "fp16", "fp32"});
  command.option("--quantize", arguments->quantize, "gguf: the type of the file; default --dtype's")
      .one_of({"f32", "f16", "bf16", "q8_0", "q4_k_m"});
  command
      .option("--max-shard-bytes", arguments->max_shard_bytes,
              "huggingface: split into files above this size; default 5 GB")
      .between(1 << 10, std::int64_t{1} << 50);
  command.runs([=](Context& context) { return export_command(context, *arguments); });
}

void add_verify(const Command& program) {
  const Command command =
      program.command("verify", "read an export back and compare it with what it was made from");
  auto directory = std::make_shared<std::string>();
  command.option("DIR", *directory, "an export of lathe").required();
  command.runs([=](Context& context) { return verify_command(context, *directory); });
}

}  // namespace lathe
