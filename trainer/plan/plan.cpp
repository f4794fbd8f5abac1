#include "trainer/plan/plan.h"

#include <algorithm>
#include <filesystem>

#include "data/io/threads.h"
#include "models/ops/kernels.h"
#include "recipes/schema/error.h"
#include "trainer/model_source.h"
#include "trainer/plan/rehearsal.h"
#include "trainer/report/metrics.h"

namespace lathe {

namespace {

// What a process needs before its first tensor and beside them, measured on models of 0.1 M weights: pages of LibTorch's
// code that a run touches, and the heap with oneDNN's and MKL's buffers. Pages of mapped shards come on top as long as
// nobody else wants the memory; the kernel takes them back first, so they are not counted.
constexpr std::int64_t kCodeBytes = 92 << 20, kHeapBytes = 60 << 20;
constexpr std::int64_t kVocabularyBytes = 600;   // of a token in the tokenizer's tables, merges included

std::int64_t thread_memory_bytes(const DecoderSpec& spec, const PlanSettings& settings) {
  const kernels::OpKernels& table = kernels::op_kernels(true);
  if (!settings.tiled_attention || table.attention_memory == nullptr) return 0;
  return settings.threads * table.attention_memory(settings.sequence_length, spec.head_size);
}

std::int64_t safetensors_bytes(const std::string& folder) {
  std::int64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".safetensors" && entry.path().filename() != "optimizer.safetensors")
      bytes += static_cast<std::int64_t>(entry.file_size());
  return bytes;
}

double flops_per_token(const DecoderSpec& spec, const PlanSettings& settings, std::int64_t parameters) {
  const std::int64_t head = spec.vocab_size * spec.hidden_size;
  const std::int64_t products = parameters - (spec.tie_embeddings ? 0 : head);   // looking up an embedding costs nothing
  const double attention = 12.0 * static_cast<double>(spec.num_layers * spec.num_heads * spec.head_size) *
                           static_cast<double>(settings.sequence_length) / 2;
  return 6.0 * static_cast<double>(products) + attention;
}

}  // namespace

PlanSettings plan_settings(const Recipe& recipe, const std::string& precision, std::int64_t micro_batch_size,
                           int world_size) {
  PlanSettings settings;
  settings.sequence_length = recipe.data.sequence_length;
  settings.micro_batch_size = micro_batch_size;
  settings.global_batch_size = recipe.train.global_batch_size;
  settings.world_size = world_size;
  settings.threads = recipe.train.threads > 0 ? static_cast<int>(recipe.train.threads)
                                              : std::max(1, hardware_threads() / world_size);
  settings.bf16 = precision == "bf16";
  settings.activation_checkpointing = recipe.train.activation_checkpointing;
  settings.muon = recipe.optimizer.name == "muon";
  settings.tiled_attention = settings.bf16 && kernels::op_kernels(true).attention_forward != nullptr;
  if (!recipe.adapter.kind.empty()) {
    settings.adapter_rank = recipe.adapter.rank;
    settings.adapter_targets = recipe.adapter.targets;
  }
  if (!recipe.model.path.empty()) settings.base_bytes = safetensors_bytes(resolve_model(recipe.model.path).folder);
  return settings;
}

std::vector<std::int64_t> tuning_batches(Loader& loader, std::int64_t micro_batch_size, std::uint64_t rows) {
  constexpr std::uint64_t kFirst = 24, kMost = 20000;   // batches rehearsed; rows looked at for the largest
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
  const auto of = [&](Use use) { return peak.in_use[static_cast<std::size_t>(use)]; };
  plan.parts = {{"program", kCodeBytes + kHeapBytes + thread_memory_bytes(spec, settings)},
                {"tokenizer", spec.vocab_size * kVocabularyBytes},
                {"weights", of(Use::Weights)},
                {"gradients", of(Use::Gradients)},
                {"optimizer", of(Use::Optimizer)},
                {"activations", of(Use::Activations)},
                {"loss", of(Use::Loss)},
                {"checkpoint copy", of(Use::CheckpointCopy)},
                {"base file", peak.outside},
                {"kept for reuse", peak.cached}};
  for (const PlanPart& part : plan.parts) plan.peak_bytes += part.bytes;
  plan.flops_per_token = flops_per_token(spec, settings, plan.parameters);
  return plan;
}

void refuse_what_cannot_fit(const DecoderSpec& spec, const PlanSettings& settings, std::int64_t limit) {
  const Plan plan = make_plan(spec, settings);
  if (plan.peak_bytes <= limit) return;
  const std::string found = cat("this run needs about ", format_bytes(static_cast<double>(plan.peak_bytes)), " and ",
                                format_bytes(static_cast<double>(limit)), " are there; ");
  const std::int64_t share = settings.global_batch_size / settings.world_size;
  for (std::int64_t micro = settings.micro_batch_size; micro >= 1; --micro) {
    if (share % micro != 0) continue;
    PlanSettings smaller = settings;
    smaller.micro_batch_size = micro;
    const auto fewer = [&](std::int64_t& tokens) { tokens = (tokens * micro + settings.micro_batch_size - 1) / settings.micro_batch_size; };
    std::ranges::for_each(smaller.batch_tokens, fewer);
    if (make_plan(spec, smaller).peak_bytes <= limit) fail_usage(found, "train.micro_batch_size: ", micro, " would fit");
    smaller.activation_checkpointing = true;
    if (make_plan(spec, smaller).peak_bytes <= limit)
      fail_usage(found, "train.activation_checkpointing: true",
                 micro == settings.micro_batch_size ? "" : cat(" with train.micro_batch_size: ", micro), " would fit");
  }
  fail_usage(found, "no micro-batch fits: choose a smaller model or a shorter data.sequence_length");
}

void refuse_what_cannot_fit(const DecoderSpec& spec, const PlanSettings& settings) {
  refuse_what_cannot_fit(spec, settings, memory_limit());
}

}  // namespace lathe
