#include "recipes/schema/rules.h"

namespace lathe {
namespace {

// train, schedule, early_stopping and export.
class TrainingRules : public Rules {
 public:
  using Rules::Rules;

  void run() {
    stopping();
    schedule();
    batches();
    stopping_early();
    exports();
  }

 private:
  void stopping() {
    const TrainSection& t = r_.train;
    if (!sound({"train.max_steps", "train.epochs", "train.max_tokens", "train.max_minutes"})) return;
    if (t.epochs && *t.epochs <= 0) wrong(place("train.epochs"), "'train.epochs' wants more than 0");
    if (t.max_minutes && *t.max_minutes <= 0)
      wrong(place("train.max_minutes"), "'train.max_minutes' wants more than 0");
    if (r_.task != "sft" && !t.max_steps && !t.epochs && !t.max_tokens && !t.max_minutes) {
      wrong(place({"train"}),
            "nothing ends the run: give 'train' one of max_steps, epochs, max_tokens or max_minutes");
    }
  }

  void schedule() {
    const TrainSection& t = r_.train;
    const ScheduleSection& s = r_.schedule;
    if (sound({"optimizer.learning_rate"}) && r_.optimizer.learning_rate <= 0) {
      wrong(place("optimizer.learning_rate"), "'optimizer.learning_rate' wants more than 0");
    }
    if (!sound({"schedule", "train.max_steps", "train.epochs", "train.max_tokens", "train.max_minutes"}))
      return;
    const bool counted = t.max_steps || t.epochs || t.max_tokens;
    if (t.max_minutes && !counted && s.name != "constant") {
      wrong(place("train.max_minutes"),
            cat("'train.max_minutes' stops a run but never shapes a schedule: '", s.name,
                "' also wants max_steps, epochs or max_tokens (or write 'schedule: {name: constant}')"));
    }
    if (!t.max_steps) return;
    const std::int64_t steps = *t.max_steps;
    if (s.warmup_steps >= steps) {
      wrong(place({"schedule.warmup_steps", "train.max_steps"}),
            cat("'schedule.warmup_steps' is ", s.warmup_steps, ", but the run has ", steps,
                " steps (train.max_steps)"));
    } else if (s.name == "wsd" &&
               static_cast<double>(s.warmup_steps) + s.decay_ratio * static_cast<double>(steps) >
                   static_cast<double>(steps)) {
      wrong(place({"schedule.decay_ratio", "schedule.warmup_steps"}),
            cat("'schedule.decay_ratio' is ", number_text(s.decay_ratio), ": with ", s.warmup_steps,
                " steps of warm-up that is more than the ", steps, " steps of the run"));
    }
  }

  void batches() {
    const TrainSection& t = r_.train;
    if (!sound({"train.global_batch_size", "train.micro_batch_size"}) || !t.micro_batch_size) return;
    if (t.global_batch_size % *t.micro_batch_size == 0) return;
    wrong(place({"train.micro_batch_size"}),
          cat("'train.global_batch_size' ", t.global_batch_size,
              " is not a multiple of 'train.micro_batch_size' ", *t.micro_batch_size));
  }

  void stopping_early() {
    if (!sound({"early_stopping", "data.validation", "evaluate.every"}) || r_.early_stopping.patience == 0)
      return;
    if (!has_validation()) {
      wrong(place("early_stopping.patience"),
            "'early_stopping' wants 'data.validation': it watches the validation loss");
    } else if (r_.evaluate.every == 0 && r_.task != "sft") {  // tuning evaluates every epoch
      wrong(place("early_stopping.patience"),
            "'early_stopping' wants 'evaluate.every': without it nothing is "
            "evaluated before the end");
    }
  }

  void exports() {
    std::set<std::string> targets;
    for (std::size_t i = 0; i < r_.exports.size(); ++i) {
      const ExportSection& e = r_.exports[i];
      const std::string key = cat("export[", i, "]");
      if (!sound({key.c_str()})) continue;
      if (is_adapter_format(e.format) && r_.adapter.kind.empty()) {
        wrong(place(cat(key, ".format")),
              cat("'", e.format, "' exports an adapter, and this recipe trains none (adapter.kind)"));
      }
      if (!e.quantize.empty() && e.format != "gguf")
        wrong(place(cat(key, ".quantize")), cat("'", key, ".quantize' goes with format gguf"));
      if (e.format.empty())
        wrong(place({"export"}),
              cat("'", key,
                  "' wants 'format' (huggingface, peft, gguf, diffusers, single_file, kohya or comfyui)"));
      const std::string target = e.directory.empty() ? e.format : e.directory;
      if (!targets.insert(target).second) {
        wrong(place(cat(key, ".format")),
              cat("'", key, "' writes to the same folder as another; give it a 'directory'"));
      }
    }
  }
};

}  // namespace

void check_training(const RuleInput& input) { TrainingRules(input).run(); }

}  // namespace lathe
