#pragma once
// The recipe's sections on training: optimizer, schedule, steps, averages, ranks (recipes/schema/recipe.h).
#include <cstdint>
#include <optional>
#include <string>

#include "recipes/schema/constraints.h"

namespace lathe {

struct OptimizerSection {
  std::string name = "adamw";  // adamw | muon (Muon for matrices of the blocks, AdamW for the rest)
  double learning_rate = 1e-3;
  double weight_decay = 0.1;
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double muon_learning_rate = 0.02, muon_momentum = 0.95;
  static void fields(auto& f, auto& c) {
    f("name", c.name, "adamw, or muon: Muon for the blocks' matrices and AdamW for the rest",
      choice({"adamw", "muon"}));
    f("learning_rate", c.learning_rate, "peak rate of AdamW after warm-up", range(0.0, 10.0));
    f("weight_decay", c.weight_decay, "decoupled; matrices only, never norms and biases", range(0.0, 10.0));
    f("beta1", c.beta1, "AdamW's first-moment decay", range(0.0, 0.999999));
    f("beta2", c.beta2, "AdamW's second-moment decay", range(0.0, 0.9999999));
    f("eps", c.eps, "AdamW's epsilon", range(0.0, 1.0));
    f("muon_learning_rate", c.muon_learning_rate, "peak rate of Muon after warm-up", range(0.0, 10.0));
    f("muon_momentum", c.muon_momentum, "Muon's Nesterov momentum", range(0.0, 0.9999));
  }
};

struct ScheduleSection {
  std::string name = "cosine";  // constant | linear | cosine | wsd
  std::int64_t warmup_steps = 0;
  double min_lr_ratio = 0.1;
  double decay_ratio = 0.2;  // wsd: the last share of the steps
  static void fields(auto& f, auto& c) {
    f("name", c.name, "shape after warm-up", choice({"constant", "linear", "cosine", "wsd"}));
    f("warmup_steps", c.warmup_steps, "steps of linear warm-up", range(0, 1 << 30));
    f("min_lr_ratio", c.min_lr_ratio, "last rate divided by the peak", range(0.0, 1.0));
    f("decay_ratio", c.decay_ratio, "wsd: share of the steps spent decaying", range(0.0, 1.0));
  }
};

struct TrainSection {
  std::optional<std::int64_t> max_steps, max_tokens;
  std::optional<double> epochs, max_minutes;
  std::int64_t global_batch_size = 16;           // rows an optimizer step
  std::optional<std::int64_t> micro_batch_size;  // rows a forward pass and rank; `auto`: empty
  std::string precision = "auto";                // auto | bf16 | fp32
  double max_grad_norm = 1.0;                    // 0: off
  std::int64_t seed = 17;
  std::int64_t seeds = 1;    // tuning: runs with seed, seed + 1 ...
  std::int64_t threads = 0;  // 0: all cores
  bool activation_checkpointing = false;
  double dropout = 0;             // residual and embedding dropout
  std::string on_spike = "skip";  // skip | rollback | ignore
  double spike_sigma = 6;
  static void fields(auto& f, auto& c) {
    f("max_steps", c.max_steps, "stop after so many optimizer steps", range(1, std::int64_t{1} << 40));
    f("max_tokens", c.max_tokens, "stop after so many tokens", range(1, std::int64_t{1} << 60));
    f("epochs", c.epochs, "stop after so many passes over the data", range(0.0, 1e6));
    f("max_minutes", c.max_minutes, "stop after so many minutes of training; does not shape the schedule",
      range(0.0, 1e7));
    f("global_batch_size", c.global_batch_size, "rows an optimizer step, over all ranks", range(1, 1 << 24));
    f.automatic("micro_batch_size", c.micro_batch_size, "rows a forward pass; auto picks one that fits",
                range(1, 1 << 20));
    f("precision", c.precision, "auto is bf16 where the processor has it natively, else fp32",
      choice({"auto", "bf16", "fp32"}));
    f("max_grad_norm", c.max_grad_norm, "clip the global gradient norm; 0 for off", range(0.0, 1e9));
    f("seed", c.seed, "of initialisation, order and dropout", range(0, std::int64_t{1} << 62));
    f("seeds", c.seeds, "tuning: so many runs, with seed, seed + 1 ...; the report shows their spread",
      range(1, 1000));
    f("threads", c.threads, "compute threads a rank; 0 for all cores", range(0, 4096));
    f("activation_checkpointing", c.activation_checkpointing,
      "recompute blocks in backward: less memory, a third more compute");
    f("dropout", c.dropout, "on embeddings and residual branches", range(0.0, 0.99));
    f("on_spike", c.on_spike,
      "a step whose loss or gradient norm is not finite or far above those of the last steps: skip it, roll "
      "back to the last checkpoint, or ignore",
      choice({"skip", "rollback", "ignore"}));
    f("spike_sigma", c.spike_sigma,
      "how many deviations above the median count as a spike, of the loss or the gradient norm",
      range(1.0, 1e6));
  }
};

// Moving averages of the weights: what is evaluated, sampled, kept and exported; decay 0: none.
struct EmaSection {
  double decay = 0;
  static void fields(auto& f, auto& c) {
    f("decay", c.decay, "of the moving average, reached as min(decay, (1 + step) / (10 + step)); 0 for none",
      range(0.0, 0.999999));
  }
};

struct ParallelSection {
  std::string strategy = "auto";  // auto | replicate
  static void fields(auto& f, auto& c) {
    f("strategy", c.strategy, "how ranks share the work", choice({"auto", "replicate"}));
  }
};

}  // namespace lathe
