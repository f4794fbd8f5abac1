// A folder for transformers 4 and 5, and for every engine that reads theirs.
#include <algorithm>
#include <set>

#include "checkpoints/bundle/stop_tokens.h"
#include "checkpoints/exporters/export_folder.h"
#include "checkpoints/exporters/exporter.h"
#include "checkpoints/exporters/gguf_tokenizer.h"
#include "checkpoints/formats/safetensors.h"

namespace lathe {

namespace {

// transformers 4 knows rope_theta and rope_scaling only, and rope_local_base_freq where layers with a window
// have positions of their own; 5 reads either.
void write_both_rope_spellings(Json& config) {
  if (!config.contains("rope_parameters") || !config["rope_parameters"].is_object()) return;
  Json rope = config["rope_parameters"];
  if (rope.contains("sliding_attention") && rope["sliding_attention"].is_object() &&
      rope["sliding_attention"].contains("rope_theta"))
    config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"];
  if (rope.contains("full_attention")) rope = Json(rope["full_attention"]);
  if (!rope.is_object() || rope.contains("sliding_attention")) return;
  if (rope.contains("rope_theta")) {
    config["rope_theta"] = rope["rope_theta"];
    rope.erase("rope_theta");
  }
  const bool plain = rope.value("rope_type", rope.value("type", "default")) == "default";
  config["rope_scaling"] = plain ? Json(nullptr) : rope;
}

Json exported_config(const Bundle& bundle, DType dtype) {
  Json config = bundle.config;
  if (!config.contains("architectures") || !config["architectures"].is_array() ||
      config["architectures"].empty())
    config["architectures"] = bundle.family->architectures;
  config["torch_dtype"] = config["dtype"] = std::string(torch_dtype_name(dtype));
  write_both_rope_spellings(config);
  return config;
}

void set_special(Json& generation, const char* key, const Json& config, std::optional<TokenId> token) {
  if (generation.contains(key) && !generation[key].is_null()) return;
  if (config.contains(key) && !config[key].is_null())
    generation[key] = config[key];
  else if (token)
    generation[key] = *token;
}

// Every id that ends a generation (stop_tokens.h).
Json exported_generation_config(const Bundle& bundle) {
  Json generation = bundle.generation_config.is_object() ? bundle.generation_config : Json::object();
  const std::vector<TokenId> stops = stop_ids_of(bundle);
  const SpecialTokens special = bundle.tokenizer ? bundle.tokenizer->special() : SpecialTokens{};
  if (stops.size() == 1)
    generation["eos_token_id"] = stops[0];
  else if (!stops.empty())
    generation["eos_token_id"] = stops;
  set_special(generation, "bos_token_id", bundle.config, special.bos);
  set_special(generation, "pad_token_id", bundle.config, special.pad);
  if (generation.empty()) generation["_from_model_config"] = true;
  return generation;
}

void check_bundle(const Bundle& bundle) {
  const std::string where = bundle.origin.empty() ? "export" : bundle.origin;
  require(bundle.family != nullptr && bundle.config.is_object(), where, ": the model has no config.json");
  require(bundle.spec.rotary.frequency_factors.empty(), where,
          ": its rotary frequencies have factors of their own, which config.json cannot say");
  if (bundle.tokenizer)
    require(bundle.tokenizer->vocab_size() <= static_cast<std::size_t>(bundle.spec.vocab_size), where,
            ": the tokenizer has ids up to ", bundle.tokenizer->vocab_size() - 1, ", the model only ",
            bundle.spec.vocab_size, " rows");
}

// Names, shapes and dtypes as a reader finds them, from the written files alone.
void read_back(const std::string& folder, DType dtype) {
  const Bundle bundle = read_bundle(folder);
  for (const BundleTensor& tensor : bundle.tensors)
    require(tensor.dtype == dtype, folder, ": tensor '", tensor.name, "' was read back as ",
            dtype_name(tensor.dtype));
}

}  // namespace

void export_huggingface(const Bundle& bundle, const ExportOptions& options) {
  check_bundle(bundle);
  FileSystem& fs = options.file_system ? *options.file_system : real_file_system();
  std::vector<BundleTensor> tensors = disk_tensors(bundle);
  for (BundleTensor& tensor : tensors) tensor = convert_tensor(std::move(tensor), options.dtype);

  ExportFolder folder(options.directory, options.overwrite, fs);
  folder.add_text("config.json", exported_config(bundle, options.dtype).dump(2) + "\n");
  folder.add_text("generation_config.json", exported_generation_config(bundle).dump(2) + "\n");
  for (const std::string& name : write_sharded(folder.path(), tensors, options.max_shard_bytes, fs))
    folder.add_written(name);
  if (bundle.tokenizer)
    for (const TokenizerFile& file : tokenizer_files_of(*bundle.tokenizer))
      folder.add_text(file.name, file.content);
  folder.add_card(options);
  if (!options.reference.is_null()) folder.add_text("reference.json", options.reference.dump(1) + "\n");
  read_back(folder.path(), options.dtype);
  folder.publish();
}

}  // namespace lathe
