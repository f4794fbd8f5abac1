#include "trainer/plan/plan.h"

#include <algorithm>
#include <filesystem>

#include "data/io/threads.h"
#include "models/ops/kernels.h"
#include "recipes/schema/error.h"
#include "trainer/export_reference.h"
#include "trainer/model_source.h"
#include "trainer/plan/rehearsal.h"
#include "trainer/report/metrics.h"

namespace lathe {

namespace {

// What a process needs before its first tensor and beside them, measured on models of 0.1 M weights: pages of
// LibTorch's code that a run touches, and the heap with oneDNN's and MKL's buffers. Pages of mapped shards
// come on top as long as nobody else wants the memory; the kernel takes them back first, so they are not
// counted.
constexpr std::int64_t kCodeBytes = 92 << 20, kHeapBytes = 60 << 20;
constexpr std::int64_t kVocabularyBytes = 600;  // of a token in the tokenizer's tables, merges included

std::int64_t thread_memory_bytes(const DecoderSpec& spec, const PlanSettings& settings) {
  const kernels::OpKernels& table = kernels::op_kernels(true);
  if (!settings.tiled_attention || table.attention_memory == nullptr) return 0;
  return settings.threads * table.attention_memory(settings.sequence_length, spec.head_size);
}

// Of oneDNN, which keeps half a megabyte for each shape of a bf16 product where no kernel of ours takes those
// of uneven batches (models/ops/matrix.cpp): the shapes of a layer are those of all, so depth does not count.
std::int64_t generated_code_bytes(const PlanSettings& settings) {
  const bool uneven = settings.bf16 && !settings.batch_tokens.empty();
  if (!uneven || kernels::op_kernels(true).product != nullptr) return 0;
  return (settings.adapter_rank == 0 ? 28 : settings.dora ? 70 : 40) << 20;
}

std::int64_t safetensors_bytes(const std::string& folder) {
  std::int64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".safetensors" && entry.path().filename() != "optimizer.safetensors")
      bytes += static_cast<std::int64_t>(entry.file_size());
  return bytes;
}

constexpr std::int64_t kWidened =
    1 << 23;  // values of a matrix that are made dense at once (models/layers/frozen_product.cpp)

// Of a parameter while an export is compared with what it came from (trainer/export.cpp): kept in the file's
// types; an adapter's base stays mapped. Q4_K_M has blocks of 4.5 and 6.6 bits, of 5.5 and 8.5 where rows are
// no multiples of 256.
double export_bytes(const ExportSection& target) {
  if (target.format == "peft") return 0;
  if (target.quantize == "q8_0") return 34.0 / 32;
  if (target.quantize == "q4_k_m") return 0.75;
  return target.quantize == "f32" || (target.quantize.empty() && target.dtype == "fp32") ? 4 : 2;
}

// trainer/export_reference.cpp: a prompt's logits twice, of a quantised file all prompts' beside what they
// came from.
std::int64_t export_logits(const ExportSection& target) {
  return kReferencePositions * (2 + (target.quantize.starts_with("q") ? kReferencePrompts : 0));
}

double flops_per_token(const DecoderSpec& spec, const PlanSettings& settings, std::int64_t parameters) {
  const std::int64_t head = spec.vocab_size * spec.hidden_size;
  const std::int64_t products =
      parameters - (spec.tie_embeddings ? 0 : head);  // looking up an embedding costs nothing
  const double attention = 12.0 * static_cast<double>(spec.num_layers * spec.num_heads * spec.head_size) *
                           static_cast<double>(settings.sequence_length) / 2;
  return 6.0 * static_cast<double>(products) + attention;
}

}  // namespace

std::int64_t program_bytes() { return kCodeBytes + kHeapBytes; }

RunSettings run_settings(const Recipe& recipe, const std::string& precision, std::int64_t micro_batch_size,
                         int world_size) {
  RunSettings settings;
  settings.micro_batch_size = micro_batch_size;
  settings.global_batch_size = recipe.train.global_batch_size;
  settings.world_size = world_size;
  settings.threads = recipe.train.threads > 0 ? static_cast<int>(recipe.train.threads)
                                              : std::max(1, hardware_threads() / world_size);
  settings.bf16 = precision == "bf16";
  settings.muon = recipe.optimizer.name == "muon";
  settings.averages = recipe.ema.decay > 0;
  settings.saves_between =
      recipe.checkpoint.every > 0 ||
      (recipe.checkpoint.keep_best && (recipe.evaluate.every > 0 || recipe.task == "sft"));
  settings.tiled_attention = settings.bf16 && kernels::op_kernels(true).attention_forward != nullptr;
  if (!recipe.adapter.kind.empty()) settings.adapter_rank = recipe.adapter.rank;
  return settings;
}

PlanSettings plan_settings(const Recipe& recipe, const std::string& precision, std::int64_t micro_batch_size,
                           int world_size) {
  PlanSettings settings;
  static_cast<RunSettings&>(settings) = run_settings(recipe, precision, micro_batch_size, world_size);
  settings.sequence_length = recipe.data.sequence_length;
  settings.activation_checkpointing = recipe.train.activation_checkpointing;
  if (!recipe.adapter.kind.empty()) {
    settings.dora = recipe.adapter.kind == "dora";
    settings.adapter_targets = recipe.adapter.targets;
    settings.nf4 = recipe.model.quantization.kind == "nf4";
    settings.double_quantised = recipe.model.quantization.double_;
  }
  settings.frozen = recipe.model.freeze;
  for (const ExportSection& target : recipe.exports) {
    settings.export_bytes = std::max(settings.export_bytes, export_bytes(target));
    settings.export_logits = std::max(settings.export_logits, export_logits(target));
  }
  if (!recipe.model.path.empty())
    settings.base_bytes = safetensors_bytes(resolve_model(recipe.model.path).folder);
  return settings;
}

std::vector<std::int64_t> tuning_batches(Loader& loader, std::int64_t micro_batch_size, std::uint64_t rows) {
  constexpr std::uint64_t kFirst = 24, kMost = 20000;  // batches rehearsed; rows looked at for the largest
  std::vector<std::int64_t> tokens;
  std::int64_t largest = 0;
  const auto micro = static_cast<std::uint64_t>(micro_batch_size);
  for (std::uint64_t row = 0; row < std::min(rows, kMost); row += micro) {
    const Batch batch = loader.read(row, static_cast<std::int64_t>(std::min(micro, rows - row)));
    const auto count = static_cast<std::int64_t>(batch.tokens.size());
    largest = std::max(largest, count);
    if (tokens.size() < kFirst) tokens.push_back(count);
  }
  if (!tokens.empty()) tokens.push_back(largest);
  return tokens;
}

Plan make_plan(const DecoderSpec& spec, const PlanSettings& settings) {
  Plan plan;
  plan.parameters = parameter_count(spec);
  plan.trained = trained_parameters(spec, settings);
  const AllocatorBooks::Totals peak = rehearse(spec, settings);
  const auto of = [&](Use use) { return peak.mapped[static_cast<std::size_t>(use)]; };
  plan.parts = {{"program", kCodeBytes + kHeapBytes + thread_memory_bytes(spec, settings)},
                {"generated code", generated_code_bytes(settings)},
                {"tokenizer", spec.vocab_size * kVocabularyBytes},
                {"weights", of(Use::Weights)},
                {"gradients", of(Use::Gradients)},
                {"optimizer", of(Use::Optimizer)},
                {"activations", of(Use::Activations)},
                {"loss", of(Use::Loss)},
                {"answers", of(Use::Answers)},
                {"checkpoint copy", of(Use::CheckpointCopy)},
                {"base file", peak.outside}};
  for (const PlanPart& part : plan.parts) plan.peak_bytes += part.bytes;
  // trainer/export.cpp: what was trained is gone by then.
  const std::int64_t exporting =
      plan.parts[0].bytes + plan.parts[1].bytes + plan.parts[2].bytes + settings.base_bytes +
      static_cast<std::int64_t>(settings.export_bytes * static_cast<double>(plan.parameters)) +
      4 * std::min(kWidened, plan.parameters) + 4 * settings.export_logits * spec.vocab_size;
  if (settings.export_bytes > 0 && exporting > plan.peak_bytes) {
    plan.parts.push_back({"export", exporting - plan.peak_bytes});
    plan.peak_bytes = exporting;
  }
  plan.flops_per_token = flops_per_token(spec, settings, plan.parameters);
  return plan;
}

namespace {

bool fits(const DecoderSpec& spec, const PlanSettings& settings, std::int64_t limit) {
  return make_plan(spec, settings).peak_bytes <= limit;
}

PlanSettings with_micro_batch(const PlanSettings& settings, std::int64_t micro) {
  PlanSettings smaller = settings;
  smaller.micro_batch_size = micro;
  for (std::int64_t& tokens : smaller.batch_tokens)
    tokens = (tokens * micro + settings.micro_batch_size - 1) / settings.micro_batch_size;
  return smaller;
}

// The largest half, quarter ... of the rows' length that fits with one row a pass; 0: none of 64 tokens and
// more.
std::int64_t fitting_length(const DecoderSpec& spec, PlanSettings settings, std::int64_t limit) {
  settings.activation_checkpointing = true;
  for (std::int64_t length = settings.sequence_length / 2; length >= 64; length /= 2) {
    settings.sequence_length = length;
    if (fits(spec, settings, limit)) return length;
  }
  return 0;
}

}  // namespace

std::string advice_to_fit(const DecoderSpec& spec, const PlanSettings& settings, std::int64_t limit) {
  const Plan plan = make_plan(spec, settings);
  if (plan.peak_bytes <= limit) return "";
  const std::string found = cat("this run needs about ", format_bytes(static_cast<double>(plan.peak_bytes)),
                                " of memory and ", format_bytes(static_cast<double>(limit)), " are there; ");
  const std::int64_t share = settings.global_batch_size / settings.world_size;
  for (std::int64_t micro = settings.micro_batch_size; micro >= 1; --micro) {
    if (share % micro != 0) continue;
    PlanSettings smaller = with_micro_batch(settings, micro);
    if (fits(spec, smaller, limit)) return cat(found, "train.micro_batch_size: ", micro, " would fit");
    smaller.activation_checkpointing = true;
    if (!fits(spec, smaller, limit)) continue;
    return cat(found, "train.activation_checkpointing: true",
               micro == settings.micro_batch_size ? "" : cat(" with train.micro_batch_size: ", micro),
               " would fit");
  }
  if (settings.batch_tokens.empty()) {
    if (const std::int64_t length = fitting_length(spec, with_micro_batch(settings, 1), limit))
      return cat(found, "data.sequence_length: ", length,
                 " with train.micro_batch_size: 1 and "
                 "train.activation_checkpointing: true would fit");
    return found + "no micro-batch and no length fits: choose a smaller model or vocabulary";
  }
  PlanSettings adapted = with_micro_batch(settings, 1);
  adapted.adapter_rank = 16;
  adapted.adapter_targets = {"all-linear"};
  if (settings.adapter_rank == 0 && fits(spec, adapted, limit))
    return found + "adapter: {kind: lora, rank: 16} with train.micro_batch_size: 1 would fit";
  return found + "no micro-batch fits: choose a smaller base or shorter examples";
}

}  // namespace lathe
