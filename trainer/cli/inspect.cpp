// lathe inspect PATH: safetensors, shards, checkpoints, runs, folders: what is in it, is it whole.
#include <algorithm>
#include <filesystem>

#include "checkpoints/diffusion/pipeline.h"
#include "checkpoints/diffusion/textual_inversion.h"
#include "checkpoints/exporters/picture_lora.h"
#include "checkpoints/formats/gguf.h"
#include "checkpoints/formats/safetensors.h"
#include "checkpoints/store/manifest.h"
#include "checkpoints/store/store.h"
#include "data/shards/encoding_shard.h"
#include "data/shards/picture_shard.h"
#include "data/shards/probe.h"
#include "data/shards/shard.h"
#include "trainer/cli/command.h"
#include "trainer/model_source.h"
#include "trainer/pictures/picture_source.h"
#include "trainer/report/metrics.h"
#include "trainer/state.h"

namespace lathe {

namespace fs = std::filesystem;

namespace {

Json shape_json(const BundleTensor& tensor) {
  return Json{{"name", tensor.name}, {"dtype", dtype_name(tensor.dtype)}, {"shape", tensor.shape}};
}

void inspect_safetensors(Context& context, const std::string& path) {
  const SafetensorsFile file = read_safetensors(path);
  std::size_t bytes = 0;
  context.result["tensors"] = Json::array();
  for (const BundleTensor& tensor : file.tensors) {
    bytes += tensor.byte_size();
    context.result["tensors"].push_back(shape_json(tensor));
    context.say(cat("  ", tensor.name, "  ", dtype_name(tensor.dtype), " ", Json(tensor.shape).dump()));
  }
  context.result["bytes"] = bytes;
  context.say(cat("safetensors: ", file.tensors.size(), " tensors, ",
                  format_bytes(static_cast<double>(bytes)), ", whole"));
}

// Long tables by their length.
std::string short_text(const GgufValue& value) {
  if (value.kind == GgufKind::Array && value.value.size() > 8)
    return cat("[", value.value.size(), " x ", gguf_kind_name(value.element), "]");
  const std::string text = value.value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() > 120 ? cat(text.substr(0, 120), "... (", text.size(), " bytes)") : text;
}

void inspect_gguf(Context& context, const std::string& path) {
  const GgufFile file = read_gguf(path);
  std::uint64_t bytes = 0;
  context.result["version"] = file.version;
  context.result["metadata"] = Json::object();
  for (const auto& [key, value] : file.metadata) {
    context.result["metadata"][key] =
        value.kind == GgufKind::Array && value.value.size() > 8 ? Json(short_text(value)) : value.value;
    context.say(cat("  ", key, " = ", short_text(value)));
  }
  context.result["tensors"] = Json::array();
  for (const GgufTensor& tensor : file.tensors) {
    const char* type = ggml_type_info(tensor.type)->name;
    bytes += tensor.byte_size();
    context.result["tensors"].push_back(
        Json{{"name", tensor.name}, {"dtype", type}, {"shape", tensor.shape}});
    context.say(cat("  ", tensor.name, "  ", type, " ", Json(tensor.shape).dump()));
  }
  context.result["bytes"] = bytes;
  context.say(cat("GGUF ", file.version, ": ", file.metadata.size(), " keys, ", file.tensors.size(),
                  " tensors, ", format_bytes(static_cast<double>(bytes)), ", whole"));
}

void inspect_shard(Context& context, const std::string& path) {
  const TokenShard shard(path);
  shard.verify();
  context.result["documents"] = shard.documents();
  context.result["tokens"] = shard.tokens();
  context.result["rows"] = shard.rows();
  context.result["ledger"] = shard.info().ledger.to_json();
  context.say(cat("token shard: ", shard.documents(), " documents, ", shard.tokens(), " tokens, ",
                  shard.rows(), " rows of ", shard.info().sequence_length, ", vocabulary ",
                  shard.info().vocab_size, "; every block's hash is right"));
  context.say("ledger: " + shard.info().ledger.to_json().dump());
}

void inspect_picture_shard(Context& context, const std::string& path) {
  const PictureShard shard(path);
  shard.verify();
  const PictureSize& size = shard.size();
  context.result["pictures"] = shard.pictures();
  context.result["width"] = size.width;
  context.result["height"] = size.height;
  context.result["channels"] = size.channels;
  context.result["masks"] = shard.has_masks();
  context.result["settings"] = shard.info().settings;
  context.say(cat("picture shard: ", shard.pictures(), " of ", size.width, " x ", size.height, " x ",
                  size.channels, shard.has_masks() ? ", with masks" : "", "; every block's hash is right"));
  for (std::uint64_t i = 0; i < std::min<std::uint64_t>(shard.pictures(), 5); ++i)
    context.say(cat("  ", shard.picture(i).name, ": ", shard.picture(i).caption));
}

void inspect_encoding_shard(Context& context, const std::string& path) {
  const EncodingShard shard(path);
  shard.verify();
  context.result["items"] = shard.items();
  context.result["width"] = shard.width();
  context.result["settings"] = shard.info().settings;
  context.say(cat("encoding shard: ", shard.items(), " items of ", shard.width(),
                  " values; every block's hash is right\nmade by: ", shard.info().settings.dump()));
}

// A folder with a manifest, that of a run's checkpoint or an export: every file is as it says, whatever its
// own name is.
void check_whole(const std::string& path) {
  const CheckpointManifest manifest = read_checkpoint_manifest(path);
  const std::string wrong = check_manifest(path, manifest, ManifestCheck::Hashes);
  require(wrong.empty(), path, ": damaged: ", wrong);
}

void inspect_checkpoint(Context& context, const std::string& path) {
  check_whole(path);
  const TrainState state = read_train_state(path);
  context.result["state"] = state.to_json();
  context.say(cat("checkpoint: step ", state.step, ", ", state.tokens,
                  " tokens, whole (every file's SHA-256 is right)"));
}

void inspect_run(Context& context, const std::string& path) {
  context.result["checkpoints"] = Json::array();
  if (fs::exists(path + "/run.json")) read_json(path + "/run.json");
  bool whole = true;
  for (const CheckpointEntry& entry : CheckpointStore(path).list()) {
    const std::string wrong = CheckpointStore::check(entry.path);
    context.result["checkpoints"].push_back(
        Json{{"step", entry.step}, {"path", entry.path}, {"whole", wrong.empty()}, {"problem", wrong}});
    whole = whole && wrong.empty();
    context.say(cat("  step ", entry.step, wrong.empty() ? ": whole" : ": DAMAGED: " + wrong));
  }
  context.result["whole"] = whole;
  if (fs::exists(path + "/result.json")) context.result["result"] = read_json(path + "/result.json");
  context.say(cat(
      "run ", path, ": ", context.result["checkpoints"].size(), " checkpoints",
      context.result.contains("result") ? ", result: " + context.result["result"].dump() : ", not finished"));
}

void inspect_model(Context& context, const std::string& path) {
  const Bundle bundle = read_bundle(path);
  context.result["family"] = bundle.family->name;
  context.result["parameters"] = parameter_count(bundle.spec);
  context.result["config"] = bundle.config;
  context.say(cat(
      "model folder: ", bundle.family->name, ", ", parameter_count(bundle.spec), " parameters, ",
      bundle.tensors.size(), " tensors of ", dtype_name(bundle.tensors.front().dtype),
      bundle.tokenizer ? cat(", tokenizer of ", bundle.tokenizer->vocab_size(), " ids") : ", no tokenizer"));
}

std::size_t value_count(const std::vector<BundleTensor>& tensors) {
  std::size_t count = 0;
  for (const BundleTensor& tensor : tensors) count += tensor.element_count();
  return count;
}

void inspect_by_class(Context& context, const PictureModel& model, const std::string& path) {
  const char* part = model.unet ? "unet" : "transformer";
  const std::size_t parameters = value_count(model.unet ? model.unet_tensors : model.transformer_tensors);
  context.result[part] = model.unet ? unet_2d_config(*model.unet) : dit_config(*model.dit);
  context.result["scheduler"] = scheduler_config(model.noise());
  context.result["classes"] = model.classes;
  context.result["parameters"] = Json{{part, parameters}};
  context.say(cat("pipeline folder: pictures of ", model.sample_size(), " points a side and ",
                  model.channels(), " channels; ", model.unet ? "UNet " : "DiT ", parameters, " parameters, ",
                  model.classes.empty() ? std::string("no classes")
                                        : cat(model.classes.size(), " classes: ", Json(model.classes).dump()),
                  ", ", written_scheduler(path, model.noise())));
}

void inspect_stable_diffusion(Context& context, const PictureModel& model, const std::string& path) {
  const std::size_t network = value_count(model.unet_tensors), texts = value_count(model.text_tensors),
                    vae = value_count(model.vae_tensors);
  context.result["unet"] = unet_2d_config(*model.unet);
  context.result["vae"] = autoencoder_config(*model.vae);
  context.result["text_encoder"] = clip_text_config(model.text_encoder);
  context.result["scheduler"] = scheduler_config(model.noise());
  context.result["parameters"] = Json{{"unet", network}, {"vae", vae}, {"text_encoder", texts}};
  context.say(cat("pipeline folder: pictures of ", model.sample_size(), " points a side and ",
                  model.channels(), " channels, latents of ", model.unet->sample_size, "; UNet ", network,
                  " parameters, VAE ", vae, ", text encoder ", texts, ", tokenizer of ",
                  model.tokenizer->vocab_size(), " ids, texts of ", model.text_encoder.max_positions,
                  " tokens, ", written_scheduler(path, model.noise())));
}

void inspect_pipeline(Context& context, const std::string& path) {
  const PictureModel model = read_pipeline(path);
  if (model.vae) return inspect_stable_diffusion(context, model, path);
  if (!model.by_text()) return inspect_by_class(context, model, path);
  const JointTransformerSpec& network = model.transformer;
  const std::size_t pictures = value_count(model.transformer_tensors),
                    texts = value_count(model.text_tensors);
  context.result["transformer"] = joint_transformer_config(network);
  context.result["text_encoder"] = clip_text_config(model.text_encoder);
  context.result["scheduler"] = scheduler_config(model.noise());
  context.result["parameters"] = Json{{"transformer", pictures}, {"text_encoder", texts}};
  context.say(cat("pipeline folder: pictures of ", network.sample_size, " points a side and ",
                  network.in_channels, " channels; transformer ", pictures, " parameters, text encoder ",
                  texts, ", tokenizer of ", model.tokenizer->vocab_size(), " ids, texts of ",
                  model.text_encoder.max_positions, " tokens, ", written_scheduler(path, model.noise())));
}

// An adapter of pictures or a new word: what else its files say.
void inspect_picture_adapter(Context& context, const std::string& path) {
  if (fs::exists(path + "/" + kManifestName)) check_whole(path);
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    if (entry.path().extension() != ".safetensors") continue;
    context.say(entry.path().filename().string() + ":");
    for (const auto& [key, value] : read_safetensors(entry.path().string()).metadata)
      context.say(cat("  ", key, " = ", value.size() > 120 ? value.substr(0, 120) + "..." : value));
    inspect_safetensors(context, entry.path().string());
  }
  if (!fs::exists(path + "/" + kPeftConfig)) return;
  const PeftAdapter settings = read_peft_config(path);
  context.result["base"] = settings.base;
  context.say(cat("adapter: ", settings.kind, " of rank ", settings.rank, ", alpha ", settings.alpha,
                  ", on the base ", settings.base));
}

Json config_of(const std::string& path) {
  const std::string file = path + "/config.json";
  const Json config = fs::exists(file) ? read_json(file) : Json::object();
  return config.is_object() ? config : Json::object();
}

// A folder inside a pipeline's.
void inspect_part(Context& context, const std::string& path, const Json& config) {
  const std::string name = config["_class_name"].dump();
  context.result["config"] = config;
  context.say(cat("part of a pipeline: ", name, "; the folder above it tells of the whole"));
  for (const fs::directory_entry& entry : fs::directory_iterator(path))
    if (entry.path().extension() == ".safetensors") inspect_safetensors(context, entry.path().string());
}

// An export in GGUF: its one file, and whether all are whole.
void inspect_gguf_folder(Context& context, const std::string& path) {
  check_whole(path);
  context.say(cat(path, ": an export, whole (every file's SHA-256 is right)"));
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    if (entry.path().extension() != ".gguf") continue;
    context.say(entry.path().filename().string() + ":");
    inspect_gguf(context, entry.path().string());
  }
}

ExitCode inspect(Context& context, const std::string& path) {
  if (!fs::exists(path)) fail_usage("'", path, "' does not exist");
  context.result["path"] = path;
  if (fs::is_directory(path)) {
    if (fs::exists(path + "/run.json"))
      inspect_run(context, path);
    else if (is_pipeline(path)) {
      if (fs::exists(path + "/state.json"))
        inspect_checkpoint(context, path);
      else if (fs::exists(path + "/MANIFEST.json"))
        check_whole(path);
      inspect_pipeline(context, path);
    } else if (fs::exists(path + "/MANIFEST.json") && fs::exists(path + "/state.json"))
      inspect_checkpoint(context, path);
    else if (is_picture_adapter(path) || is_textual_inversion(path) || fs::exists(path + "/" + kSpelledLora))
      inspect_picture_adapter(context, path);
    else if (const Json config = config_of(path); config.contains("_class_name"))
      inspect_part(context, path, config);
    else if (fs::exists(path + "/config.json")) {
      if (fs::exists(path + "/MANIFEST.json")) check_whole(path);
      inspect_model(context, path);
    } else if (fs::exists(path + "/MANIFEST.json"))
      inspect_gguf_folder(context, path);
    else
      fail("'", path,
           "' is no run, checkpoint or model folder (run.json, MANIFEST.json, config.json and "
           "model_index.json are not there)");
  } else if (path.ends_with(".safetensors")) {
    inspect_safetensors(context, path);
  } else if (path.ends_with(".gguf")) {
    inspect_gguf(context, path);
  } else if (path.ends_with(".h5") || path.ends_with(".hdf5")) {
    const std::string format = probe_shard_format(path);
    if (format == kPictureShardFormat)
      inspect_picture_shard(context, path);
    else if (format == kEncodingShardFormat)
      inspect_encoding_shard(context, path);
    else
      inspect_shard(context, path);
  } else {
    fail("'", path, "': wanted .safetensors, .gguf, .h5, or a folder of a run, checkpoint or model");
  }
  if (!context.result.contains("whole")) context.result["whole"] = true;
  return context.result["whole"].get<bool>() ? ExitCode::Done : ExitCode::Failed;
}

}  // namespace

void add_inspect(const Command& program) {
  const Command command = program.command("inspect", "what is in a file or folder, and is it whole");
  auto path = std::make_shared<std::string>();
  command.option("PATH", *path, "safetensors, GGUF, shard, checkpoint, run or model folder").required();
  command.runs([=](Context& context) { return inspect(context, *path); });
}

}  // namespace lathe
