#include "recipes/schema/rules.h"

namespace lathe {
namespace {

std::set<std::string> changed_keys(const Recipe& recipe) {
  std::set<std::string> keys;
  for (const RecipeDifference& difference : compare_recipes(Recipe{}, recipe)) keys.insert(difference.key);
  return keys;
}

// Values that are read but change nothing; only a note, because a base may well carry them.
class IdleRules : public Rules {
 public:
  using Rules::Rules;

  void run() {
    const OptimizerSection defaults;
    const OptimizerSection& o = r_.optimizer;
    const bool adamw = o.name == "adamw";
    no_effect(adamw && o.muon_learning_rate != defaults.muon_learning_rate, "optimizer.muon_learning_rate",
              "with adamw");
    no_effect(adamw && o.muon_momentum != defaults.muon_momentum, "optimizer.muon_momentum", "with adamw");
    const ScheduleSection usual;
    const ScheduleSection& s = r_.schedule;
    no_effect(s.name != "wsd" && s.decay_ratio != usual.decay_ratio, "schedule.decay_ratio",
              "without 'name: wsd'");
    no_effect(s.name == "constant" && s.min_lr_ratio != usual.min_lr_ratio, "schedule.min_lr_ratio",
              "with 'constant'");
    for (const char* key : {"diffusion.prediction", "diffusion.schedule", "diffusion.timesteps",
                            "diffusion.shift", "diffusion.condition_dropout", "diffusion.min_snr_gamma"})
      no_effect(r_.task != "diffusion", key, "without 'task: diffusion'");
    for (const char* key : {"data.resolution", "data.channels", "data.background", "data.flip", "data.crops",
                            "data.bucket_step", "data.masks", "data.trigger", "data.cache_encodings",
                            "adapter.text_encoder", "prior.weight", "textual_inversion.token"})
      no_effect(r_.task != "diffusion", key, "without 'task: diffusion'");
    for (const char* key : {"data.columns.text", "data.columns.prompt", "data.columns.completion",
                            "data.columns.messages", "data.template.text", "data.template.prompt",
                            "data.template.completion", "data.format", "data.loss_on"})
      no_effect(r_.task == "pretrain", key,
                "in pretraining, which reads texts (data.train[].field names them)");
    if (r_.task == "sft") {
      no_effect(true, "data.deduplicate", "in tuning: every example counts (the data report names copies)");
      for (std::size_t i = 0; i < r_.data.train.size(); ++i)
        for (const char* key : {"glob", "field", "exclude", "weight"})
          no_effect(true, cat("data.train[", i, "].", key),
                    "in tuning, which reads each file whole (data.columns names columns)");
    }
    for (const char* key : {"tokenizer.train", "tokenizer.path", "tokenizer.vocab_size"})
      no_effect(!r_.model.path.empty(), key, "beside 'model.path', which brings its own tokenizer");
    for (const char* key : {"data.fill_in_middle.rate", "data.sequence_length", "data.packing",
                            "data.loss_on", "data.format", "data.columns", "data.template", "data.overlength",
                            "evaluate.metrics", "evaluate.probe", "evaluate.sample_tokens"})
      no_effect(r_.task == "diffusion", key, "with 'task: diffusion'");
    if (r_.task == "diffusion") pictures();
    for (std::size_t i = 0; i < r_.exports.size(); ++i) {
      const ExportSection& target = r_.exports[i];
      const std::string key = cat("export[", i, "].max_shard_bytes");
      if (target.format != "huggingface" && given(key) &&
          target.max_shard_bytes != ExportSection{}.max_shard_bytes)
        note(key, cat("has no effect with '", target.format, "', whose tensors are in one file"));
    }
    if (r_.task == "diffusion" && r_.train.max_tokens && given("train.max_tokens"))
      note("train.max_tokens", "counts pictures with 'task: diffusion'");
    const TokenizerSection plain;
    const TokenizerSection& t = r_.tokenizer;
    const bool trained = !t.train.empty();
    no_effect(!trained && t.vocab_size != plain.vocab_size, "tokenizer.vocab_size", "without 'train'");
    no_effect(t.train != "byte_bpe" && t.pattern != plain.pattern, "tokenizer.pattern",
              "without 'train: byte_bpe'");
  }

 private:
  void pictures() {
    for (std::size_t i = 0; i < r_.data.train.size(); ++i) {
      no_effect(true, cat("data.train[", i, "].weight"),
                "with 'task: diffusion' (repeats shows a source oftener)");
      no_effect(r_.data.train[i].generate.empty(), cat("data.train[", i, "].count"), "without 'generate'");
    }
    for (const char* key : {"diffusion.logit_mean", "diffusion.logit_std"})
      no_effect(r_.diffusion.timesteps == "uniform", key, "with 'timesteps: uniform'");
    no_effect(r_.prior.weight <= 0, "prior.per_picture", "without a 'prior.weight' above 0");
  }

  // A default that is written out, as a run's own recipe.yaml does, asks for nothing.
  void no_effect(bool idle, const std::string& key, const std::string& why) {
    if (idle && given(key) && changed_.contains(key)) note(key, cat("has no effect ", why));
  }

  std::set<std::string> changed_ = changed_keys(r_);
};

}  // namespace

void note_keys_without_effect(const RuleInput& input) { IdleRules(input).run(); }

}  // namespace lathe
