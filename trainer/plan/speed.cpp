#include "trainer/plan/speed.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>

#include "data/random/philox.h"
#include "models/adapters/attach.h"
#include "models/objectives/causal_lm.h"
#include "trainer/machine.h"
#include "trainer/optim/optimizer.h"

namespace lathe {

namespace {

constexpr double kSeconds = 2;

double seconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Rows of one document each; their tokens are drawn evenly from the vocabulary, which costs what text costs.
Batch random_batch(const DecoderSpec& spec, std::int64_t rows, std::int64_t length) {
  Batch batch;
  batch.rows = rows;
  batch.length = length;
  const RandomStream stream({.seed = 1, .purpose = Purpose::Initialise});
  for (std::int64_t row = 0; row < rows; ++row) {
    batch.stretches.push_back({static_cast<std::int32_t>(row * length), static_cast<std::int32_t>(length),
                               static_cast<std::uint64_t>(row), 0});
    for (std::int64_t i = 0; i < length; ++i) {
      const double draw = stream.uniform(static_cast<std::uint64_t>(row * length + i));
      batch.tokens.push_back(static_cast<std::int32_t>(draw * static_cast<double>(spec.vocab_size - 1)));
      batch.targets.push_back(batch.tokens.back());
      batch.positions.push_back(static_cast<std::int32_t>(i));
    }
  }
  batch.target_count = batch.token_count = rows * length;
  return batch;
}

LinearStorage storage_of(const PlanSettings& settings) {
  LinearStorage storage(settings.bf16 ? at::kBFloat16 : at::kFloat);
  storage.nf4 = settings.nf4;
  storage.double_quantised = settings.double_quantised;
  return storage;
}

class Trial {
 public:
  Trial(const DecoderSpec& spec, const PlanSettings& settings, const Recipe& recipe)
      : model_(std::make_shared<Decoder>(spec, storage_of(settings))) {
    model_->initialise(1);
    for (const auto& [path, part] : model_->named_modules()) {
      const auto linear = std::dynamic_pointer_cast<Linear>(part);
      if (linear && linear->quantised())
        linear->hold(at::randn(linear->weight.sizes()) * spec.initializer_range);
    }
    if (settings.adapter_rank > 0) attach_adapters(*model_, adapter_spec(recipe.adapter), /*seed=*/1);
    std::vector<std::pair<std::string, at::Tensor>> named;
    for (const auto& item : model_->named_parameters())
      if (item.tensor.requires_grad()) named.emplace_back(item.name, item.tensor);
    parameters_ = make_parameters(named);
    optimizer_ = make_optimizer(recipe.optimizer, parameters_, 0);
    run_.training = true;
    run_.activation_checkpointing = settings.activation_checkpointing;
    run_.dropout = recipe.train.dropout;
    std::int64_t rows = settings.micro_batch_size, length = settings.sequence_length;
    if (!settings.batch_tokens.empty()) {  // rows as long as they are: a batch of the middle size
      std::vector<std::int64_t> tokens = settings.batch_tokens;
      std::nth_element(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(tokens.size() / 2),
                       tokens.end());
      length = std::max<std::int64_t>(1, tokens[tokens.size() / 2] / rows);
    }
    batch_ = random_batch(spec, rows, length);
  }

  double pass_seconds() {
    return seconds_of([&] {
      clear_gradients(parameters_);
      causal_lm_loss(*model_, batch_, run_).sum.backward();
    });
  }
  double update_seconds() {
    return seconds_of([&] { optimizer_->step(parameters_, {}); });
  }
  double tokens() const { return static_cast<double>(batch_.token_count); }

 private:
  std::shared_ptr<Decoder> model_;
  std::vector<Parameter> parameters_;
  std::unique_ptr<Optimizer> optimizer_;
  RunOptions run_;
  Batch batch_;
};

}  // namespace

double measure_tokens_per_second(const DecoderSpec& spec, const PlanSettings& settings,
                                 const Recipe& recipe) {
  set_compute_threads(settings.threads);
  Trial trial(spec, settings, recipe);
  trial.pass_seconds();  // the first makes oneDNN's primitives and faults pages in
  trial.update_seconds();
  std::vector<double> passes;
  for (double spent = 0; spent < kSeconds && passes.size() < 100; spent += passes.back())
    passes.push_back(trial.pass_seconds());
  std::sort(passes.begin(), passes.end());
  const double update = trial.update_seconds(), pass = passes[passes.size() / 2];
  const std::int64_t share = settings.global_batch_size / settings.world_size;
  const double accumulated =
      std::max(1.0, static_cast<double>(share) / static_cast<double>(settings.micro_batch_size));
  return accumulated * trial.tokens() / (accumulated * pass + update);
}

double least_seconds(const std::function<double()>& timed) {
  constexpr int kRepeats = 20;
  constexpr double kLeast = 0.02, kLongest = 0.5, kAgreement = 1.1;
  std::array<double, 3> best;  // ascending
  best.fill(std::numeric_limits<double>::infinity());
  double spent = 0;
  for (int repeats = 1;; ++repeats) {
    const double taken = timed();
    spent += taken;
    best.back() = std::min(best.back(), taken);
    std::sort(best.begin(), best.end());
    const bool agreed = best.back() <= kAgreement * best.front();
    if (agreed && repeats >= kRepeats && spent >= kLeast) return best.front();
    if (repeats >= static_cast<int>(best.size()) && spent >= kLongest) return best.front();
  }
}

double estimate_tokens_per_second(const DecoderSpec& spec, const PlanSettings& settings) {
  // A quarter of a plain product's rate is what whole steps of 5 to 58 M parameters reached; an update reads
  // and writes about 30 bytes a trained parameter.
  constexpr double kTrainingShare = 0.25, kUpdateBytes = 30, kBytesPerSecond = 10e9;
  // Rows for products of a millisecond or so: this is timed before every run.
  constexpr double kProductWork = 2e8;
  const double row_work = 2.0 * static_cast<double>(spec.hidden_size * spec.intermediate_size);
  const auto enough = std::clamp<std::int64_t>(static_cast<std::int64_t>(kProductWork / row_work), 256, 4096);
  const std::int64_t rows =
      std::clamp<std::int64_t>(settings.micro_batch_size * settings.sequence_length, 64, enough);
  const at::ScalarType type = settings.bf16 ? at::kBFloat16 : at::kFloat;
  const at::Tensor input = at::ones({rows, spec.hidden_size}, type);
  const at::Tensor weight = at::ones({spec.hidden_size, spec.intermediate_size}, type);
  const double work = static_cast<double>(rows) * row_work;
  const auto product = [&] { return seconds_of([&] { at::mm(input, weight); }); };
  product();  // makes oneDNN's primitive
  double least = least_seconds(product);
  // Where other programs hold the cores, the threads of a product wait for one another in every repeat. One
  // thread waits for none: its time is the least that all of them reach.
  if (const int threads = at::get_num_threads(); threads > 1) {
    set_compute_threads(1);
    product();
    least = std::min(least, least_seconds(product));
    set_compute_threads(threads);
  }
  const double best = work / least;
  const double trained_share = settings.adapter_rank > 0 ? 2.0 / 3 : 1;  // no gradients of the base's weights
  const Plan plan = make_plan(spec, settings);
  const std::int64_t rows_a_step =
      std::max<std::int64_t>(1, settings.global_batch_size / settings.world_size);
  const double row = settings.batch_tokens.empty() ? static_cast<double>(settings.sequence_length)
                                                   : static_cast<double>(settings.batch_tokens.front()) /
                                                         static_cast<double>(settings.micro_batch_size);
  const double tokens = static_cast<double>(rows_a_step) * row;
  const double passes = tokens * trained_share * plan.flops_per_token / (kTrainingShare * best);
  return tokens / (passes + static_cast<double>(plan.trained) * kUpdateBytes / kBytesPerSecond);
}

}  // namespace lathe
