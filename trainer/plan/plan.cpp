#include "trainer/plan/plan.h"

#include <algorithm>

#include "recipes/schema/error.h"
#include "trainer/report/metrics.h"

namespace lathe {

namespace {

constexpr std::int64_t kRuntimeBytes = 150 << 20;   // LibTorch, oneDNN's primitives and code after the first step

// Bytes that one block keeps for its backward pass, a token.
std::int64_t block_activation_bytes(const DecoderSpec& spec, std::int64_t element) {
  const std::int64_t hidden = spec.hidden_size, query = spec.num_heads * spec.head_size;
  const std::int64_t key_value = spec.num_kv_heads * spec.head_size, inner = spec.intermediate_size;
  const std::int64_t norms = (spec.sandwich_norms ? 8 : 4) * hidden;   // two sums, two normed inputs; the branches' norms
  const std::int64_t heads = spec.qk_norm ? 2 * (query + key_value) : 0;   // before and after their norms
  const std::int64_t attention = 2 * query + 2 * key_value + hidden + heads;   // rotated q and k, v, output, projection
  const bool fused = spec.activation == Activation::SiLU;
  const std::int64_t mlp = spec.mlp == MlpKind::Gated ? (fused ? 3 : 4) * inner : 2 * inner;
  return (norms + attention + mlp) * element + 4 * (2 + spec.num_heads);   // and fp32 inverse norms, log-sum-exps
}

}  // namespace

PlanSettings plan_settings(const Recipe& recipe, const std::string& precision, std::int64_t micro_batch_size,
                           int world_size) {
  PlanSettings settings;
  settings.sequence_length = recipe.data.sequence_length;
  settings.micro_batch_size = micro_batch_size;
  settings.global_batch_size = recipe.train.global_batch_size;
  settings.world_size = world_size;
  settings.bf16 = precision == "bf16";
  settings.activation_checkpointing = recipe.train.activation_checkpointing;
  settings.muon = recipe.optimizer.name == "muon";
  return settings;
}

Plan make_plan(const DecoderSpec& spec, const PlanSettings& settings) {
  Plan plan;
  plan.parameters = parameter_count(spec);
  const std::int64_t parameters = plan.parameters, element = settings.bf16 ? 2 : 4;
  const std::int64_t tokens = settings.micro_batch_size * settings.sequence_length;
  const std::int64_t head = spec.vocab_size * spec.hidden_size;
  const std::int64_t matrices = parameters - head * (spec.tie_embeddings ? 1 : 2);
  const bool accumulates = settings.global_batch_size / settings.world_size > settings.micro_batch_size;
  const std::int64_t moments = settings.muon ? 4 * matrices + 8 * (parameters - matrices) : 8 * parameters;
  const std::int64_t block = block_activation_bytes(spec, element) * tokens;
  const std::int64_t kept = settings.activation_checkpointing
                                ? spec.num_layers * 2 * spec.hidden_size * element * tokens + block
                                : spec.num_layers * block;
  const std::int64_t chunk = std::min<std::int64_t>(tokens, 1024) * spec.vocab_size * (element + 4) + head * 4;
  plan.parts = {{"runtime", kRuntimeBytes},
                {"weights", parameters * (settings.bf16 ? 6 : 4)},
                {"gradients", parameters * element + (accumulates || settings.world_size > 1 ? parameters * 4 : 0)},
                {"optimizer", moments},
                {"activations", kept + 6 * tokens * spec.hidden_size * element},
                {"loss", chunk},
                {"checkpoint copy", settings.checkpoints ? 4 * parameters + moments : 0}};
  // The checkpoint's copy is alive while activations are not at their peak only by luck; both are counted.
  for (const PlanPart& part : plan.parts) plan.peak_bytes += part.bytes;
  const double attention = 12.0 * static_cast<double>(spec.num_layers * spec.num_heads * spec.head_size) *
                           static_cast<double>(settings.sequence_length) / 2;
  plan.flops_per_token = 6.0 * static_cast<double>(matrices + head) + attention;
  return plan;
}

void refuse_what_cannot_fit(const DecoderSpec& spec, const PlanSettings& settings) {
  const std::int64_t limit = memory_limit();
  const Plan plan = make_plan(spec, settings);
  if (plan.peak_bytes <= limit) return;
  const std::string found = cat("this run needs about ", format_bytes(static_cast<double>(plan.peak_bytes)), " and ",
                                format_bytes(static_cast<double>(limit)), " are there; ");
  for (std::int64_t micro = settings.micro_batch_size; micro >= 1; --micro) {
    if (settings.global_batch_size / settings.world_size % micro != 0) continue;
    PlanSettings smaller = settings;
    smaller.micro_batch_size = micro;
    if (make_plan(spec, smaller).peak_bytes <= limit) fail_usage(found, "train.micro_batch_size: ", micro, " would fit");
    smaller.activation_checkpointing = true;
    if (make_plan(spec, smaller).peak_bytes <= limit)
      fail_usage(found, "train.activation_checkpointing: true",
                 micro == settings.micro_batch_size ? "" : cat(" with train.micro_batch_size: ", micro), " would fit");
  }
  fail_usage(found, "no micro-batch fits: choose a smaller model or a shorter data.sequence_length");
}

}  // namespace lathe
