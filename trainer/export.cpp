#include "trainer/export.h"

#include <ATen/core/Tensor.h>

#include <filesystem>

#include "checkpoints/bundle/fingerprint.h"
#include "checkpoints/bundle/stop_tokens.h"
#include "checkpoints/exporters/export_folder.h"
#include "checkpoints/exporters/gguf_model.h"
#include "checkpoints/exporters/gguf_tokenizer.h"
#include "checkpoints/store/manifest.h"
#include "models/adapters/attach.h"
#include "models/decoder/weights.h"
#include "trainer/allocator.h"
#include "trainer/read_model.h"
#include "trainer/text/samples.h"
#include "trainer/export_card.h"
#include "trainer/export_targets.h"
#include "trainer/notices.h"
#include "trainer/text/asked_form.h"

namespace lathe {

namespace {

// The model with the values that will be exported; both sides of the comparison compute with them in fp32.
std::shared_ptr<Decoder> exported_decoder(Bundle model, const ExportRequest& request,
                                          const ExportOptions& options) {
  if (request.format == "gguf") {
    model.tensors = gguf_values(model, gguf_mix(options.quantize));
  } else {
    for (BundleTensor& tensor : model.tensors) tensor = convert_tensor(std::move(tensor), options.dtype);
  }
  return build_decoder(model, frozen_storage(at::kFloat));
}

// A file of one type says it as dtype does.
std::string export_quantize(const ExportRequest& request, DType dtype) {
  if (!request.quantize.empty()) return request.quantize;
  return dtype == DType::F32 ? "f32" : dtype == DType::F16 ? "f16" : "bf16";
}

DType export_dtype(const ExportRequest& request) {
  const std::string& name = request.dtype;
  if (name == "auto") return request.format == "peft" ? DType::F32 : DType::BF16;
  return *dtype_from_name(name == "bf16" ? "BF16" : name == "fp16" ? "F16" : "F32");
}

// The card's part on use.
std::string use_of(const Bundle& model, const std::optional<AdaptedModel>& adapted, const std::string& format,
                   const std::string& quantize, const CardPrompt& prompt) {
  if (format == "gguf") return gguf_commands(model, prompt, quantize);
  if (format != "peft") return model_commands(model, prompt);
  const bool fused = model.family->gguf.fused_qkv;
  return peft_commands(adapted->adapter, prompt, fused);
}

// The adapter as its file will hold it, and its base as other programs find it.
void round_adapter(AdaptedModel& model, DType dtype) {
  for (BundleTensor& tensor : model.adapter.tensors) tensor = convert_tensor(std::move(tensor), dtype);
  model.adapter.base = portable_base(model.adapter.base);
}

// Of a run's checkpoint whose base was kept in 4 bits: whether the scales were, too.
std::optional<bool> trained_in_nf4(const ModelSource& source) {
  const std::string path = source.folder + "/recipe.yaml";
  if (!std::filesystem::exists(path)) return std::nullopt;
  const QuantizationSection quantization = load_recipe(path).recipe.model.quantization;
  return quantization.kind == "nf4" ? std::optional(quantization.double_) : std::nullopt;
}

std::vector<std::string> reference_prompts(const Recipe& recipe, const TextTask& task) {
  std::vector<std::string> prompts = {"The", "def main():\n    \"\"\"", "1 + 1 ="};
  if (task.data.validation.empty() || !recipe.report.shows()) return prompts;
  const TokenShard shard(task.data.validation.front().shards.front());
  const std::uint64_t more = std::min<std::uint64_t>(shard.documents(), kReferencePrompts - prompts.size());
  for (std::uint64_t document = 0; document < more; ++document) {
    std::vector<std::int32_t> tokens(
        std::min<std::uint64_t>(kReferencePositions, shard.document_length(document)));
    shard.read(document, 0, tokens);
    prompts.push_back(task.data.tokenizer->decode({tokens.begin(), tokens.end()}));
  }
  return prompts;
}

}  // namespace

Verification export_model(const ModelSource& source, const ExportRequest& request, ExportOptions options) {
  options.dtype = export_dtype(request);
  options.quantize = export_quantize(request, options.dtype);
  const bool alone = request.format == "peft", gguf = request.format == "gguf";
  const bool quantised = gguf && options.quantize.starts_with("q");
  std::optional<AdaptedModel> adapted;
  if (is_adapter_folder(source.folder)) adapted = load_adapted(source);
  if (alone && !adapted)
    fail_usage("format peft exports an adapter, and ", source.description,
               " has none; use --format huggingface");
  if (alone) round_adapter(*adapted, options.dtype);
  const Bundle model = adapted ? merge_adapter(adapted->base, adapted->adapter) : load_model(source);
  require_tokenizer(model);
  if (adapted && !alone) require_visible_change(adapted->base, model, quantised ? DType::F32 : options.dtype);
  const std::optional<AskedForm> form = asked_form(source);
  if (form && gguf) options.ollama_template = form->ollama_template();
  options.notices = notices_of(source);
  options.card =
      request.heading + use_of(model, adapted, request.format, options.quantize, card_prompt(model, form));
  const std::optional<bool> nf4 = adapted ? trained_in_nf4(source) : std::nullopt;
  // One decoder at a time: their weights may be most of the machine's memory.
  const Prompts prompts = prompts_of(model, request.prompts);
  std::vector<at::Tensor> exported;
  {
    // An adapter's base stays what it is.
    const auto decoder = alone ? read_adapted(*adapted, frozen_storage(at::kFloat))
                               : exported_decoder(model, request, options);
    const std::string type =
        gguf ? gguf_mix_name(gguf_mix(options.quantize)) : std::string(dtype_name(options.dtype));
    options.reference = make_reference(model, *decoder, type, prompts);
    if (form) options.reference["asked"] = form->to_json();
    if (alone)
      options.reference["base_sha256"] = model_fingerprint(resolve_model(adapted->adapter.base).folder);
    if (quantised || nf4)
      each_logits(*decoder, prompts.ids,
                  [&](std::size_t, const at::Tensor& logits) { exported.push_back(logits); });
  }
  const auto difference_from = [&](const std::shared_ptr<Decoder>& decoder) {
    double largest = 0;
    each_logits(*decoder, prompts.ids, [&](std::size_t i, const at::Tensor& logits) {
      largest = std::max(largest, (exported[i] - logits).abs().max().item<double>());
    });
    return largest;
  };
  std::optional<double> rounding, quantisation;
  if (quantised) {
    const LinearStorage storage = frozen_storage(at::kFloat);
    rounding = difference_from(adapted ? read_adapted(*adapted, storage) : build_decoder(model, storage));
  }
  if (nf4) {
    LinearStorage storage = frozen_storage(at::kFloat);
    storage.nf4 = true;
    storage.double_quantised = *nf4;
    quantisation = difference_from(read_adapted(*adapted, storage));
  }
  if (alone)
    export_peft(adapted->base, adapted->adapter, options);
  else if (gguf)
    export_gguf(model, options);
  else
    export_huggingface(model, options);
  Verification verification = verify_export(options.directory);
  verification.rounding_error = rounding;
  verification.quantization_error = quantisation;
  write_file_atomically(options.directory + "/verification.json", verification.to_json().dump(2) + "\n");
  follow_umask(options.directory);
  require(verification.passed(), "export '", options.directory,
          "' was written but does not give what was trained: ", verification.to_json().dump());
  return verification;
}

Verification verify_export(const std::string& directory) {
  const std::string path = directory + "/reference.json";
  require(std::filesystem::exists(path), "'", directory,
          "' has no reference.json, so there is nothing to compare with; "
          "only exports of lathe carry one");
  const Json reference = read_json(path);
  const auto [bundle, decoder] = read_model({directory, "", -1, directory}, frozen_storage(at::kFloat));
  require(bundle.tokenizer != nullptr, directory, ": tokenizer.json is missing");
  Verification verification = compare_reference(reference, bundle, *decoder, path);
  if (!is_adapter_folder(directory)) verification.endless = stop_objection(bundle);  // its base is not ours
  return verification;
}

std::string damaged_file(const std::string& directory) {
  if (!std::filesystem::exists(directory + "/" + kManifestName)) return "";
  const CheckpointManifest manifest = read_checkpoint_manifest(directory);
  const std::string damaged = check_manifest(directory, manifest, ManifestCheck::Hashes);
  if (!damaged.empty()) return damaged;
  const std::string added = added_file(directory, manifest);
  return added.empty() ? "" : added + ": is not part of the export, and engines may read it; move it away";
}

Json export_run(Session& session, TextTask& task, const Say& say) {
  session.parameters.clear();  // what is exported stands in a checkpoint
  session.optimizer.reset();
  session.averages.reset();
  task.model.reset();
  release_free_blocks();
  const ModelSource source = resolve_model(session.run.path);
  const auto write = [&](const ExportSection& target, const ExportOptions& options) {
    say(cat("export: ", target.format, " from ", source.description));
    const ExportRequest request{target.format, target.dtype, reference_prompts(session.recipe(), task),
                                card_heading(source, target.format), target.quantize};
    release_free_blocks();
    Json entry = export_model(source, request, options).to_json();
    entry["dtype"] = dtype_name(export_dtype(request));
    return entry;
  };
  return write_exports(session.run, session.recipe(), write);
}

}  // namespace lathe
