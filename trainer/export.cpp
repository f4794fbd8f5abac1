#include "trainer/export.h"

#include <ATen/ATen.h>

#include <cmath>
#include <filesystem>

#include "checkpoints/exporters/gguf_model.h"
#include "checkpoints/exporters/gguf_tokenizer.h"
#include "checkpoints/store/manifest.h"
#include "models/adapters/attach.h"
#include "models/decoder/weights.h"
#include "models/generation/generate.h"
#include "trainer/allocator.h"
#include "trainer/read_model.h"
#include "trainer/text/samples.h"
#include "trainer/export_card.h"

namespace lathe {

namespace {

constexpr std::int64_t kPositions = 32, kTop = 20, kGreedy = 16;

Batch row_of(const std::vector<TokenId>& ids) {
  Batch batch;
  batch.rows = 1;
  batch.length = static_cast<std::int64_t>(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    batch.tokens.push_back(static_cast<std::int32_t>(ids[i]));
    batch.targets.push_back(kIgnoreTarget);
    batch.positions.push_back(static_cast<std::int32_t>(i));
  }
  batch.stretches.push_back({0, static_cast<std::int32_t>(ids.size()), 0, 0});
  return batch;
}

at::Tensor logits_of(Decoder& decoder, const std::vector<TokenId>& ids) {   // (T, V) fp32
  at::NoGradGuard no_grad;
  return decoder.logits(decoder.forward(decoder_input(row_of(ids))));
}

std::vector<TokenId> greedy(Decoder& decoder, const std::vector<TokenId>& ids) {
  GenerationOptions options;
  options.max_tokens = std::min(kGreedy, decoder.spec().max_positions - static_cast<std::int64_t>(ids.size()));
  return generate_tokens(decoder, ids, options).tokens;
}

// Prompts in ids, the first kPositions tokens of each.
std::vector<TokenId> prompt_ids(const Bundle& bundle, const std::string& prompt) {
  std::vector<TokenId> ids = bundle.tokenizer->ids(prompt);
  const auto most = static_cast<std::size_t>(std::min(kPositions, bundle.spec.max_positions / 2));
  if (ids.size() > most) ids.resize(most);
  return ids;
}

Json make_reference(const Bundle& bundle, Decoder& decoder, const std::string& dtype, const std::vector<std::string>& prompts) {
  Json reference = Json{{"format", "lathe-reference"}, {"version", 1}, {"dtype", dtype}, {"computed_in", "F32"}};
  reference["prompts"] = Json::array();
  for (const std::string& prompt : prompts) {
    const std::vector<TokenId> ids = prompt_ids(bundle, prompt);
    if (ids.empty()) continue;
    const at::Tensor logits = logits_of(decoder, ids);
    const auto [values, indices] = at::topk(logits, std::min(kTop, logits.size(1)), 1);
    Json entry = Json{{"text", bundle.tokenizer->decode(ids, true)}, {"ids", ids}};
    entry["whole_text"] = prompt;
    entry["whole_ids"] = bundle.tokenizer->ids(prompt);
    entry["largest_logit"] = logits.abs().max().item<double>();
    entry["top"] = Json::array();
    for (std::int64_t position = 0; position < logits.size(0); ++position) {
      Json row = Json::array();
      for (std::int64_t k = 0; k < values.size(1); ++k)
        row.push_back(Json::array({indices[position][k].item<std::int64_t>(), values[position][k].item<double>()}));
      entry["top"].push_back(row);
    }
    entry["greedy"] = greedy(decoder, ids);
    reference["prompts"].push_back(entry);
  }
  return reference;
}

// The model with the values that will be exported; both sides of the comparison compute with them in fp32.
std::shared_ptr<Decoder> exported_decoder(Bundle model, const ExportRequest& request, const ExportOptions& options) {
  if (request.format == "gguf") {
    model.tensors = gguf_values(model, gguf_mix(options.quantize));
  } else {
    for (BundleTensor& tensor : model.tensors) tensor = convert_tensor(std::move(tensor), options.dtype);
  }
  return build_decoder(model, frozen_storage(at::kFloat));
}

std::vector<at::Tensor> logits_of_prompts(const Bundle& bundle, Decoder& decoder, const std::vector<std::string>& prompts) {
  std::vector<at::Tensor> logits;
  for (const std::string& prompt : prompts) {
    const std::vector<TokenId> ids = prompt_ids(bundle, prompt);
    if (!ids.empty()) logits.push_back(logits_of(decoder, ids));
  }
  return logits;
}

double largest_difference(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, (a[i] - b[i]).abs().max().item<double>());
  return largest;
}

void compare_prompt(const Json& entry, const Bundle& bundle, Decoder& decoder, const std::string& where,
                    Verification& verification) {
  const auto ids = json_get<std::vector<TokenId>>(entry, "ids", where);
  for (TokenId id : ids)
    require(static_cast<std::int64_t>(id) < bundle.spec.vocab_size, where, ": token id ", id, " is beyond the vocabulary");
  if (bundle.tokenizer->ids(json_get<std::string>(entry, "whole_text", where)) !=
      json_get<std::vector<TokenId>>(entry, "whole_ids", where))
    verification.same_ids = false;
  const at::Tensor logits = logits_of(decoder, ids);
  verification.largest_logit = std::max(verification.largest_logit, logits.abs().max().item<double>());
  const Json& top = entry.at("top");
  require(top.size() == ids.size(), where, ": as many rows of logits as ids are wanted, found ", top.size());
  for (std::size_t position = 0; position < top.size(); ++position)
    for (const Json& pair : top.at(position)) {
      const auto id = pair.at(0).get<std::int64_t>();
      require(id >= 0 && id < bundle.spec.vocab_size, where, ": token id ", id, " is beyond the vocabulary");
      const double found = logits[static_cast<std::int64_t>(position)][id].item<double>();
      const double difference = std::abs(found - pair.at(1).get<double>());
      verification.max_error = std::isfinite(difference) ? std::max(verification.max_error, difference) : INFINITY;
    }
  if (greedy(decoder, ids) != json_get<std::vector<TokenId>>(entry, "greedy", where)) verification.same_tokens = false;
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
                   const std::string& quantize) {
  if (format == "gguf") return gguf_commands(model, quantize);
  if (format != "peft") return model_commands(model);
  const bool fused = model.family->gguf.fused_qkv;
  return peft_commands(adapted->adapter, !chat_template_of(*model.tokenizer).empty(), fused);
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

std::vector<std::string> reference_prompts(const TextTask& task) {
  std::vector<std::string> prompts = {"The", "def main():\n    \"\"\"", "1 + 1 ="};
  if (task.data.validation.empty()) return prompts;
  const TokenShard shard(task.data.validation.front().shards.front());
  for (std::uint64_t document = 0; document < shard.documents() && prompts.size() < 6; ++document) {
    std::vector<std::int32_t> tokens(std::min<std::uint64_t>(kPositions, shard.document_length(document)));
    shard.read(document, 0, tokens);
    prompts.push_back(task.data.tokenizer->decode({tokens.begin(), tokens.end()}));
  }
  return prompts;
}

}  // namespace

Json Verification::to_json() const {
  Json json{{"passed", passed()},   {"max_error", max_error},     {"largest_logit", largest_logit},
            {"same_ids", same_ids}, {"same_tokens", same_tokens}, {"tolerance", 1e-4 * std::max(1.0, largest_logit)}};
  if (rounding_error) json["rounding_error"] = *rounding_error;
  if (quantization_error) json["quantization_error"] = *quantization_error;
  if (!damaged.empty()) json["damaged"] = damaged;
  return json;
}

Verification export_model(const ModelSource& source, const ExportRequest& request, ExportOptions options) {
  options.dtype = export_dtype(request);
  options.quantize = export_quantize(request, options.dtype);
  const bool alone = request.format == "peft", gguf = request.format == "gguf";
  const bool quantised = gguf && options.quantize.starts_with("q");
  std::optional<AdaptedModel> adapted;
  if (is_adapter_folder(source.folder)) adapted = load_adapted(source);
  if (alone && !adapted)
    fail_usage("format peft exports an adapter, and ", source.description, " has none; use --format huggingface");
  if (alone) round_adapter(*adapted, options.dtype);
  const Bundle model = adapted ? merge_adapter(adapted->base, adapted->adapter) : load_model(source);
  require(model.tokenizer != nullptr, model.origin, " has no tokenizer, so its export could not be verified");
  if (adapted && !alone) require_visible_change(adapted->base, model, quantised ? DType::F32 : options.dtype);
  options.card = request.heading + use_of(model, adapted, request.format, options.quantize);
  const std::optional<bool> nf4 = adapted ? trained_in_nf4(source) : std::nullopt;
  // One decoder at a time: their weights may be most of the machine's memory.
  std::vector<at::Tensor> exported;
  {
    // An adapter's base stays what it is.
    const auto decoder = alone ? read_adapted(*adapted, frozen_storage(at::kFloat)) : exported_decoder(model, request, options);
    const std::string type = gguf ? gguf_mix_name(gguf_mix(options.quantize)) : std::string(dtype_name(options.dtype));
    options.reference = make_reference(model, *decoder, type, request.prompts);
    if (quantised || nf4) exported = logits_of_prompts(model, *decoder, request.prompts);
  }
  const auto difference_from = [&](const std::shared_ptr<Decoder>& decoder) {
    return largest_difference(exported, logits_of_prompts(model, *decoder, request.prompts));
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
  if (alone) export_peft(adapted->base, adapted->adapter, options);
  else if (gguf) export_gguf(model, options);
  else export_huggingface(model, options);
  Verification verification = verify_export(options.directory);
  verification.rounding_error = rounding;
  verification.quantization_error = quantisation;
  write_file_atomically(options.directory + "/verification.json", verification.to_json().dump(2) + "\n");
  require(verification.passed(), "export '", options.directory, "' was written but does not give what was trained: ",
          verification.to_json().dump());
  return verification;
}

Verification verify_export(const std::string& directory) {
  const std::string path = directory + "/reference.json";
  require(std::filesystem::exists(path), "'", directory, "' has no reference.json, so there is nothing to compare with; "
          "only exports of lathe carry one");
  const Json reference = read_json(path);
  const auto [bundle, decoder] = read_model({directory, "", -1, directory}, frozen_storage(at::kFloat));
  require(bundle.tokenizer != nullptr, directory, ": tokenizer.json is missing");
  Verification verification;
  for (const Json& entry : json_get<Json>(reference, "prompts", path))
    compare_prompt(entry, bundle, *decoder, path, verification);
  return verification;
}

std::string damaged_file(const std::string& directory) {
  if (!std::filesystem::exists(directory + "/" + kManifestName)) return "";
  return check_manifest(directory, read_checkpoint_manifest(directory), ManifestCheck::Hashes);
}

Json export_run(Session& session, TextTask& task, const Say& say) {
  session.parameters.clear();   // what is exported stands in a checkpoint
  session.optimizer.reset();
  session.averages.reset();
  task.model.reset();
  release_free_blocks();
  Json results = Json::array();
  const ModelSource source = resolve_model(session.run.path);
  for (const ExportSection& target : session.recipe().exports) {
    ExportOptions options;
    options.directory = target.directory.empty() ? session.run.path + "/export/" + target.format : target.directory;
    options.max_shard_bytes = static_cast<std::uint64_t>(target.max_shard_bytes);
    options.overwrite = true;
    say(cat("export: ", target.format, " from ", source.description));
    const ExportRequest request{target.format, target.dtype, reference_prompts(task), card_heading(session, task, source, target),
                                target.quantize};
    release_free_blocks();
    const Verification verification = export_model(source, request, options);
    Json entry = Json{{"format", target.format}, {"directory", options.directory}, {"dtype", dtype_name(export_dtype(request))}};
    entry.update(verification.to_json());
    results.push_back(entry);
  }
  return results;
}

}  // namespace lathe
