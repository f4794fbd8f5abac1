#include "recipes/schema/validate.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "recipes/schema/load.h"
#include "recipes/schema/scalars.h"

namespace lathe {

namespace {

// Pictures that have a class instead of a text, and so no tokenizer.
bool draws_by_class(const std::string& family) { return family == "unet2d" || family == "dit"; }

std::set<std::string> changed_keys(const Recipe& recipe) {
  std::set<std::string> keys;
  for (const RecipeDifference& difference : compare_recipes(Recipe{}, recipe)) keys.insert(difference.key);
  return keys;
}

class Validator {
 public:
  Validator(const Recipe& recipe, std::string file, ReadContext& context, std::vector<std::string>& notes)
      : r_(recipe), file_(std::move(file)), context_(context), notes_(notes) {}

  void run() {
    names();
    model();
    data();
    stopping();
    schedule();
    batches();
    stopping_early();
    exports();
    tuning();
    diffusion();
    without_effect();
  }

 private:
  // A rule speaks only where the keys it reads were read well.
  bool sound(std::initializer_list<const char*> keys) const {
    return std::none_of(keys.begin(), keys.end(), [&](const char* key) {
      const std::string below = std::string(key);
      return std::any_of(context_.broken.begin(), context_.broken.end(), [&](const std::string& broken) {
        return broken.empty() || broken == below || broken.starts_with(below + ".") ||
               broken.starts_with(below + "[") || below.starts_with(broken + ".");
      });
    });
  }

  bool given(const std::string& key) const { return context_.places.count(key) > 0; }

  Place place(const std::string& key) const {
    const auto found = context_.places.find(key);
    return found == context_.places.end() ? Place{file_, 1, 1} : found->second;
  }
  // The first of the keys that the recipe gives.
  Place place(std::initializer_list<const char*> keys) const {
    for (const char* key : keys) {
      if (given(key)) return place(key);
    }
    return {file_, 1, 1};
  }

  void wrong(const Place& where, const std::string& text) {
    context_.problems.push_back({where, printable(text)});
  }

  void names() {
    if (!sound({"name"})) return;
    const std::string& name = r_.name;
    const bool bad =
        name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos ||
        std::any_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
    if (bad)
      wrong(place("name"), cat("'name' wants a plain name, found '", name, "' ('directory' takes a path)"));
  }

  void model() {
    const ModelSection& m = r_.model;
    if (sound({"model"})) {
      if (m.path.empty() && m.family.empty()) {
        wrong(place({"model"}),
              "'model' wants 'family' (llama, gpt2) to train from scratch, or 'path' to start from a model");
      }
      for (const char* key : {"family", "size"}) {
        const std::string& value = std::string(key) == "family" ? m.family : m.size;
        if (m.path.empty() || value.empty()) continue;
        wrong(place(cat("model.", key)),
              cat("'model.", key, "' contradicts 'model.path', which brings its own; keep one"));
      }
    }
    for (const RawSection::Entry& entry : m.config.entries) {  // the family's keys: a base brings its own
      if (!m.path.empty())
        wrong(entry.key_place,
              cat("'", entry.key, "' has no meaning beside 'model.path': the base brings its own config",
                  did_you_mean(entry.key, {"path", "freeze", "quantization"})));
    }
    const TokenizerSection& t = r_.tokenizer;
    if (!sound({"tokenizer", "model"})) return;
    for (const auto* names : {&t.add_tokens, &t.add_special_tokens}) {
      const char* key = names == &t.add_tokens ? "tokenizer.add_tokens" : "tokenizer.add_special_tokens";
      if (std::any_of(names->begin(), names->end(), [](const std::string& name) { return name.empty(); }))
        wrong(place(key), cat("'", key, "' has an empty token"));
    }
    if (!t.path.empty() && !t.train.empty()) {
      wrong(place("tokenizer.train"), "'tokenizer.train' contradicts 'tokenizer.path'; keep one");
    }
    if (t.train == "clip_bpe" && sound({"task"}) && (r_.task == "pretrain" || r_.task == "sft")) {
      wrong(place("tokenizer.train"),
            "'clip_bpe' loses capitals and white space: it is for the text encoder of pictures, not for a "
            "model that "
            "writes text; take byte_bpe");
    }
    constexpr int kClipSmallest = 514;  // two alphabets of bytes, begin and end of text
    if (t.train == "clip_bpe" && t.vocab_size < kClipSmallest)
      wrong(place("tokenizer.vocab_size"),
            cat("'clip_bpe' needs 'vocab_size' of at least ", kClipSmallest, ", found ", t.vocab_size));
    if (m.path.empty() && !m.family.empty() && !draws_by_class(m.family) && t.path.empty() &&
        t.train.empty()) {
      wrong(place({"tokenizer", "model"}),
            "a model from scratch wants a tokenizer: 'tokenizer.train: byte_bpe', or 'tokenizer.path'");
    }
  }

  void data() {
    const DataSection& d = r_.data;
    if (sound({"data.fill_in_middle", "task"}) && d.fill_in_middle.rate > 0 && r_.task == "sft") {
      wrong(place("data.fill_in_middle"),
            "'data.fill_in_middle' is for plain texts: 'task: pretrain', with 'model.path' to go on from a "
            "base");
    }
    if (sound({"data.train"}) && d.train.empty()) {
      wrong(place({"data.train", "data"}),
            "'data.train' is missing: a path, or a list of sources {path, glob}");
    }
    if (sound({"data.encoding", "task"})) encoding(d.encoding);
    sources("data.train", d.train);
    sources("data.validation", d.validation.sets);
    if (given("data.validation") && sound({"data.validation"}) && d.validation.sets.empty() &&
        d.validation.share == 0 && d.validation.folds.folds == 0) {
      wrong(place("data.validation"),
            "'data.validation' is empty; give a share, a path or sets, or remove the key");
    }
    pictures(d);
    std::set<std::string> names;
    for (std::size_t i = 0; i < d.validation.sets.size(); ++i) {
      const std::string& name = d.validation.sets[i].name;
      if (name.empty() || names.insert(name).second) continue;
      wrong(place(cat("data.validation[", i, "].name")),
            cat("two validation sets have the name '", name, "'"));
    }
  }

  // Examples may come in any charset; a corpus is UTF-8.
  void encoding(const std::string& name) {
    const std::vector<std::string> rules = r_.task == "sft"
                                               ? std::vector<std::string>{"error", "replace"}
                                               : std::vector<std::string>{"error", "replace", "skip"};
    if (std::find(rules.begin(), rules.end(), name) != rules.end()) return;
    if (r_.task == "sft" && name != "skip" && !name.empty()) return;
    wrong(place("data.encoding"), cat("'data.encoding' wants ", one_of(rules),
                                      r_.task == "sft" ? " or a charset's name, found '" : ", found '", name,
                                      "'", did_you_mean(name, rules)));
  }

  void pictures(const DataSection& d) {
    if (sound({"data.resolution"}) && (d.resolution.empty() || d.resolution.size() > 2))
      wrong(place({"data.resolution"}), "'data.resolution' wants one number, or [width, height]");
    if (sound({"data.channels"}) && d.channels == 2)
      wrong(place({"data.channels"}), "'data.channels' wants 3 for colour or 1 for grey, found '2'");
  }

  void sources(const std::string& key, const std::vector<SourceSection>& list) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      const std::string item = cat(key, "[", i, "]");
      if (!sound({item.c_str()})) continue;
      const Place where = place(given(item) ? item : key);
      if (list[i].path.empty() && list[i].generate.empty()) wrong(where, cat("'", item, "' wants 'path'"));
      if (!list[i].path.empty() && !list[i].generate.empty())
        wrong(where, cat("'", item, "' has 'path' and 'generate'; keep one"));
    }
  }

  bool has_validation() const {
    const ValidationSection& v = r_.data.validation;
    return v.share > 0 || v.folds.folds > 0 || !v.sets.empty();
  }

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

  void tuning() {
    const AdapterSection& a = r_.adapter;
    if (sound({"adapter", "model"})) {
      const AdapterSection untouched;
      const bool meant = a.rank != untouched.rank || a.alpha != untouched.alpha ||
                         a.dropout != untouched.dropout || a.targets != untouched.targets;
      if (meant && a.kind.empty()) {
        wrong(place("adapter"), "'adapter' wants 'kind': lora, rslora or dora");
      } else if (!a.kind.empty() && r_.model.path.empty()) {
        wrong(place("adapter"), "'adapter' wants 'model.path': it adapts a base that stays as it is");
      }
      if (!a.kind.empty() && a.targets.empty())
        wrong(place({"adapter.targets", "adapter"}),
              "'adapter.targets' is empty; leave it out for all-linear");
      if (!a.kind.empty() && sound({"optimizer.name"}) && r_.optimizer.name == "muon")
        wrong(place({"optimizer.name"}), "'muon' is for whole matrices; adapters are trained with adamw");
    }
    if (sound({"model", "adapter"}) && !r_.model.freeze.empty()) {
      if (r_.model.path.empty())
        wrong(place("model.freeze"),
              "'model.freeze' wants 'model.path': random weights that never learn help nobody");
      if (!a.kind.empty())
        wrong(place("model.freeze"),
              "'model.freeze' has no place beside an adapter, which freezes the whole base");
    }
    if (r_.task != "sft" && sound({"task", "data.validation"}) && r_.data.validation.folds.folds > 0)
      wrong(place("data.validation"), "'folds' are for tuning (task: sft); hold out a share of a corpus");
    if (r_.task != "sft" && sound({"task", "train.seeds"}) && r_.train.seeds > 1)
      wrong(place("train.seeds"), "'train.seeds' is for tuning (task: sft)");
    if (r_.task == "sft" && sound({"data.validation", "train.seeds"}) && r_.train.seeds > 1 &&
        !has_validation())
      wrong(place("train.seeds"),
            "'train.seeds' wants 'data.validation': seeds are compared by what they answer to held-out "
            "prompts");
    if (sound({"model", "adapter"})) quantization();
    if (r_.task != "sft" || !sound({"task", "model"})) return;
    if (r_.model.path.empty() && !given("model.path"))
      wrong(place({"model", "task"}), "'task: sft' wants 'model.path': the base that is tuned");
    const TemplateSection& t = r_.data.template_;
    if (!t.text.empty() && (!t.prompt.empty() || !t.completion.empty()))
      wrong(place({"data.template"}), "'data.template' wants one string, or prompt and completion; not both");
    if (t.prompt.empty() != t.completion.empty())
      wrong(place({"data.template"}), "'data.template' wants both 'prompt' and 'completion'");
  }

  void diffusion() {
    if (!sound({"task"})) return;
    const bool pictures = r_.task == "diffusion";
    for (std::size_t i = 0; i < r_.exports.size(); ++i) {
      const std::string key = cat("export[", i, "]");
      if (!sound({key.c_str()}) || r_.exports[i].format.empty()) continue;
      const std::string& format = r_.exports[i].format;
      const bool word = format == kTextualInversion, single = format == kSingleFileFormat;
      if (!pictures && (format == "diffusers" || single || format == "kohya" || format == "comfyui" || word))
        wrong(place(cat(key, ".format")), cat("'", format, "' is for pictures (task: diffusion)"));
      if (pictures && word && r_.textual_inversion.token.empty())
        wrong(
            place(cat(key, ".format")),
            cat("'", format, "' exports a new word, and this recipe trains none (textual_inversion.token)"));
      if (pictures && !is_adapter_format(format) && format != "diffusers" && !single && !word)
        wrong(place(cat(key, ".format")),
              "a diffusion model is exported as 'diffusers' or 'single_file', its adapter as 'peft', 'kohya' "
              "or 'comfyui'");
      if (pictures && single && r_.model.path.empty() && sound({"model"}))
        wrong(place(cat(key, ".format")),
              "'single_file' is Stable Diffusion's, and this recipe starts from no such base (model.path); "
              "export 'diffusers'");
      if (pictures && single && !r_.textual_inversion.token.empty())
        wrong(place(cat(key, ".format")),
              "'single_file' cannot hold a new word: its readers bring CLIP's own tokens; export "
              "'textual_inversion' or 'diffusers'");
      if (pictures && (format == "kohya" || format == "comfyui") && r_.adapter.kind == "dora")
        wrong(place(cat(key, ".format")),
              cat("'", format, "' has no DoRA here; export 'peft', or 'diffusers' with the adapter merged"));
    }
    if (!pictures) return;
    if (sound({"model"}) && r_.model.path.empty() && !r_.model.family.empty() && r_.model.family != "sd3" &&
        !draws_by_class(r_.model.family))
      wrong(
          place({"model.family"}),
          cat("'model.family' of 'task: diffusion' wants sd3, dit or unet2d, found '", r_.model.family, "'"));
    if (sound({"model", "tokenizer"}) && draws_by_class(r_.model.family) &&
        !(r_.tokenizer.train.empty() && r_.tokenizer.path.empty()))
      wrong(place({"tokenizer"}),
            cat("'tokenizer' has no place beside ", r_.model.family, ", which reads classes, not texts"));
    if (sound({"model"}) && !r_.model.size.empty())
      wrong(place({"model.size"}),
            "'model.size' is for text models; give num_layers, num_attention_heads, attention_head_dim");
    if (sound({"adapter"}) && r_.adapter.dropout > 0)
      wrong(place({"adapter.dropout"}),
            "'adapter.dropout' is for text models; 'task: diffusion' has no dropout");
    if (sound({"model"}) && !r_.model.quantization.kind.empty())
      wrong(place("model.quantization"),
            "'model.quantization' is for text models; the base of a diffusion model stays in the run's "
            "precision");
    prior();
    textual_inversion();
    if (sound({"train"}) && (r_.train.activation_checkpointing || r_.train.dropout > 0))
      wrong(place({r_.train.dropout > 0 ? "train.dropout" : "train.activation_checkpointing"}),
            "'task: diffusion' has neither dropout nor activation checkpointing");
    if (sound({"diffusion"}) && r_.diffusion.condition_dropout >= 1)
      wrong(place({"diffusion.condition_dropout"}),
            "'diffusion.condition_dropout' is 1: no picture would be shown with its text; 0.1 is usual");
    if (!sound({"diffusion", "model"}) || !r_.model.path.empty()) return;  // a base brings its own
    for (const auto& [key, text] : noise_contradictions(r_.diffusion))
      wrong(key == "diffusion.prediction" ? place({"diffusion.prediction", "diffusion.schedule"})
                                          : place({key.c_str()}),
            text);
  }

  void prior() {
    const PriorSection& p = r_.prior;
    if (!sound({"prior", "model"})) return;
    if (p.weight > 0 && r_.model.path.empty())
      wrong(place({"prior.weight"}), "'prior' wants 'model.path': it keeps what a base can do");
    if (p.weight > 0 && p.prompts.empty())
      wrong(place({"prior.weight"}),
            "'prior' wants 'prompts': a file of texts, one a line, that the base draws well");
  }

  void textual_inversion() {
    const TextualInversionSection& t = r_.textual_inversion;
    if (!sound({"textual_inversion", "model", "adapter", "prior", "tokenizer"})) return;
    if (!r_.tokenizer.add_tokens.empty() || !r_.tokenizer.add_special_tokens.empty())
      wrong(place({"tokenizer"}),
            "'tokenizer.add_tokens' is for text models; a new word of a picture model is "
            "'textual_inversion.token'");
    if (t.token.empty()) {
      if (!t.initialise_from.empty() || t.vectors != 1)
        wrong(place({"textual_inversion.initialise_from", "textual_inversion.vectors"}),
              "'textual_inversion' wants 'token': the new word, such as <wug>");
      return;
    }
    if (std::any_of(t.token.begin(), t.token.end(), [](unsigned char c) { return std::isspace(c); }))
      wrong(place("textual_inversion.token"),
            "'textual_inversion.token' is one word, without white space, such as <wug>");
    if (r_.model.path.empty())
      wrong(place("textual_inversion.token"),
            "'textual_inversion' wants 'model.path': the base that gets a new word");
    if (!r_.adapter.kind.empty() || !r_.model.freeze.empty())
      wrong(place("textual_inversion.token"),
            cat("'textual_inversion' trains the new word's vectors and nothing else; leave '",
                r_.adapter.kind.empty() ? "model.freeze" : "adapter", "' out"));
    if (r_.prior.weight > 0)
      wrong(place("textual_inversion.token"),
            "'textual_inversion' changes nothing that 'prior' could keep; leave 'prior' out");
  }

  void quantization() {
    const QuantizationSection& q = r_.model.quantization;
    if (q.kind.empty()) {
      if (!q.double_) wrong(place({"model.quantization"}), "'model.quantization' wants 'kind': nf4");
    } else if (r_.adapter.kind.empty()) {
      wrong(place("model.quantization"),
            "'model.quantization' wants 'adapter': weights of 4 bits are not trained, an adapter on them is");
    }
  }

  // A default that is written out, as a run's own recipe.yaml does, asks for nothing.
  void no_effect(bool idle, const std::string& key, const std::string& why) {
    if (idle && given(key) && changed_.contains(key))
      notes_.push_back(cat("note: ", source_text(place(key)), ": '", key, "' has no effect ", why));
  }

  // Values that are read but change nothing; only a note, because a base may well carry them.
  void without_effect() {
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
    if (r_.task == "sft") {
      no_effect(true, "data.deduplicate", "in tuning: every example counts (the data report names copies)");
      for (std::size_t i = 0; i < r_.data.train.size(); ++i)
        for (const char* key : {"glob", "field", "exclude", "weight"})
          no_effect(true, cat("data.train[", i, "].", key),
                    "in tuning, which reads each file whole (data.columns names columns)");
    }
    for (const char* key : {"tokenizer.train", "tokenizer.path", "tokenizer.vocab_size"})
      no_effect(r_.task == "diffusion" && !r_.model.path.empty(), key,
                "beside 'model.path', which brings its own tokenizer");
    for (const char* key :
         {"train.z_loss", "data.fill_in_middle.rate", "data.sequence_length", "data.packing"})
      no_effect(r_.task == "diffusion", key, "with 'task: diffusion'");
    if (r_.task == "diffusion" && r_.train.max_tokens && given("train.max_tokens"))
      notes_.push_back(cat("note: ", source_text(place("train.max_tokens")),
                           ": 'train.max_tokens' counts pictures with 'task: diffusion'"));
    const TokenizerSection plain;
    const TokenizerSection& t = r_.tokenizer;
    const bool trained = !t.train.empty();
    no_effect(!trained && t.vocab_size != plain.vocab_size, "tokenizer.vocab_size", "without 'train'");
    no_effect(t.train != "byte_bpe" && t.pattern != plain.pattern, "tokenizer.pattern",
              "without 'train: byte_bpe'");
  }

  const Recipe& r_;
  std::string file_;
  ReadContext& context_;
  std::vector<std::string>& notes_;
  std::set<std::string> changed_ = changed_keys(r_);
};

}  // namespace

std::vector<std::pair<std::string, std::string>> noise_contradictions(const DiffusionSection& d) {
  std::vector<std::pair<std::string, std::string>> all;
  const bool flow = d.schedule == "flow";
  if (flow != (d.prediction == "flow"))
    all.emplace_back("diffusion.prediction",
                     cat("'diffusion.prediction' ", d.prediction, " does not go with the schedule '",
                         d.schedule, "': flow goes with flow, epsilon, sample and velocity with the others"));
  if (d.zero_terminal_snr && (flow || d.prediction == "epsilon"))
    all.emplace_back(
        "diffusion.zero_terminal_snr",
        flow ? "'diffusion.zero_terminal_snr' is for linear, scaled_linear and cosine; flow ends in "
               "noise anyway"
             : "'diffusion.zero_terminal_snr' does not go with epsilon, which says nothing of a picture "
               "that is all noise; use velocity or sample");
  const std::string& sampler = d.sampling.sampler;
  if (!sampler.empty() && flow != (sampler == "flow_euler"))
    all.emplace_back("diffusion.sampling.sampler", cat("'diffusion.sampling.sampler' ", sampler,
                                                       " does not go with the schedule '", d.schedule, "'"));
  return all;
}

void validate_recipe(const Recipe& recipe, const std::string& file, ReadContext& context,
                     std::vector<std::string>& notes) {
  Validator(recipe, file, context, notes).run();
}

}  // namespace lathe
