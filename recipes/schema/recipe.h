#pragma once
// The typed recipe. Keys equal members, letter for letter. Every section has one description, `fields(f, c)`, used by
// strict reading, unknown-key errors, the resolved dump (`lathe check`), the reference table and the JSON Schema.
//   f(key, member, help)             a value, a section, an optional, a list
//   f(key, member, help, constraint) with a Constraint from recipes/schema/constraints.h (range, choice)
// Plain data; no torch, no I/O.
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "recipes/schema/constraints.h"
#include "recipes/schema/raw.h"

namespace lathe {

// How the frozen base of an adapter is kept in memory (QLoRA, arXiv 2305.14314); kind empty: in the run's precision.
struct QuantizationSection {
  std::string kind;      // nf4
  bool double_ = true;   // key `double`
  static void fields(auto& f, auto& c) {
    f("kind", c.kind, "nf4: the blocks' matrices in 4 bits, bitsandbytes' NF4; absent keeps them as they are",
      choice({"", "nf4"}));
    f("double", c.double_, "the scales of the 4 bits in 8 bits too: 4.13 bits a weight instead of 4.5");
  }
};

struct ModelSection {
  std::string path;    // a run, a Hugging Face folder; empty: from scratch
  std::string family;  // llama, gpt2 ...; required when path is empty
  std::string size;    // 1m 5m 15m 60m 125m 350m 1b; fills what is not set below
  std::vector<std::string> freeze;  // parts whose weights stay: embed_tokens, layers.0 ...
  QuantizationSection quantization;  // with an adapter: of its frozen base
  RawSection config;   // every other key of the section, unread: the family decodes it (trainer/checks)
  static void fields(auto& f, auto& c) {
    f("path", c.path, "a run or a Hugging Face folder to start from; empty trains from scratch");
    f("family", c.family, "model family when training from scratch: gpt2, llama");
    f("size", c.size, "a preset of widths and depths; keys of the family written here win",
      choice({"", "1m", "5m", "15m", "60m", "125m", "350m", "1b"}));
    f("freeze", c.freeze, "with path: parts of the model that are not trained, e.g. [embed_tokens, layers.0]");
    f("quantization", c.quantization, "with an adapter: the frozen base in fewer bits (QLoRA)");
    f.rest(c.config);  // remaining keys belong to the family
  }
};

struct TokenizerSection {
  std::string path;                  // tokenizer.json, a folder that has one, or a SentencePiece .model
  std::string train;                 // byte_bpe | bpe | unigram | clip_bpe
  std::int64_t vocab_size = 8192;
  std::string pattern = "gpt2";      // byte_bpe: gpt2 | llama3
  std::vector<std::string> add_tokens, add_special_tokens;  // put behind the vocabulary
  static void fields(auto& f, auto& c) {
    f("path", c.path, "a tokenizer.json, a folder that holds one, or a SentencePiece .model");
    f("train", c.train, "train one on the training data: byte_bpe, SentencePiece bpe or unigram; clip_bpe on captions, lossy by design",
      choice({"", "byte_bpe", "bpe", "unigram", "clip_bpe"}));
    f("vocab_size", c.vocab_size, "size of a trained vocabulary, special tokens included", range(258, 1 << 20));
    f("pattern", c.pattern, "pre-tokenizer of byte_bpe", choice({"gpt2", "llama3"}));
    f("add_tokens", c.add_tokens,
      "tokens to add, found in any text; a base's tables grow, and under an adapter only the "
      "new rows of them are trained");
    f("add_special_tokens", c.add_special_tokens,
      "the same for control tokens: only templates and fill-in-the-middle "
      "write them, never a user's text");
  }
};

// One source of documents or pictures.
struct SourceSection {
  std::string path;        // a file or a folder
  std::string glob;        // in a folder: default every file of a known text type ("**/*")
  std::string field = "text";  // jsonl: the key whose text is the document
  double weight = 0;       // share of training tokens; 0: as large as it is
  std::string name;        // validation sets: shown in reports
  std::vector<std::string> exclude;  // folder names or globs left out
  std::string generate;    // pictures: a procedural world instead of files; shapes
  std::int64_t count = 3000;   // of generated pictures
  std::int64_t repeats = 1;    // pictures: how often each is seen in an epoch
  std::string caption;         // pictures: of those that bring none
  static void fields(auto& f, auto& c) {
    f("path", c.path, "a file (.txt, .jsonl, source code, each also .gz) or a folder; pictures: a folder");
    f("glob", c.glob, "which files of a folder, e.g. '**/*.py'");
    f("field", c.field, "the key of a jsonl record that holds the document");
    f("weight", c.weight, "share of training tokens drawn from this source; 0 for its natural share",
      range(0.0, 1e9));
    f("name", c.name, "name in reports");
    f("exclude", c.exclude, "folder names or globs to leave out");
    f("generate", c.generate, "pictures: draw them instead of reading files; shapes: coloured shapes with captions",
      choice({"", "shapes"}));
    f("count", c.count, "with generate: how many pictures", range(1, std::int64_t{1} << 32));
    f("repeats", c.repeats, "pictures: how often each is seen in an epoch", range(1, 1 << 20));
    f("caption", c.caption, "pictures: the caption of those that have none of their own");
  }
};

// Which keys of a tuning record mean what; empty: found from the records (`lathe preview` shows how).
struct ColumnsSection {
  std::string prompt, completion, input, system, messages, tools, text, choices, answer;
  static void fields(auto& f, auto& c) {
    f("prompt", c.prompt, "key of the prompt");
    f("completion", c.completion, "key of the answer");
    f("input", c.input, "key of a text that follows the prompt");
    f("system", c.system, "key of the system text");
    f("messages", c.messages, "key of a conversation");
    f("tools", c.tools, "key of the tools a conversation may call");
    f("text", c.text, "key of a plain document");
    f("choices", c.choices, "key of the list of possible answers");
    f("answer", c.answer, "with choices: key of the right one, as text, index from 0, label or letter");
  }
};

// `data.template`: one string with {column} slots, or {prompt, completion} of them.
struct TemplateSection {
  std::string text, prompt, completion;
  static void fields(auto& f, auto& c) {
    f("text", c.text, "a plain document made of a record, with {column} slots");
    f("prompt", c.prompt, "the prompt made of a record, with {column} slots");
    f("completion", c.completion, "the answer made of a record, with {column} slots");
  }
};

// Fill-in-the-middle for code (arXiv 2207.14255): documents cut in three, the middle moved to the end.
struct FillInMiddleSection {
  double rate = 0;        // share of the documents; 0: off
  double spm_rate = 0.5;  // of those, suffix first
  static void fields(auto& f, auto& c) {
    f("rate", c.rate, "share of the documents whose middle is moved to the end; 0 for off", range(0.0, 1.0));
    f("spm_rate", c.spm_rate, "of those, the share written suffix first (SPM) instead of prefix first (PSM)",
      range(0.0, 1.0));
  }
};

// `data.validation: {folds: 5}`: every example is held out once, in one run of five; `fold` names one of them.
struct FoldsSection {
  std::int64_t folds = 0;  // 0: none
  std::int64_t fold = 0;   // 1 ... folds; 0: all of them, one run after another, then one on all examples
  static void fields(auto& f, auto& c) {
    f("folds", c.folds, "tuning: runs that each hold out another part, before one on all", range(2, 1000));
    f("fold", c.fold, "this one alone; 0 for all and the run on all examples", range(0, 1000));
  }
};

// `data.validation`: a share in (0, 1), a path, named sets, or folds.
struct ValidationSection {
  double share = 0;
  FoldsSection folds;
  std::vector<SourceSection> sets;
};

struct DataSection {
  std::vector<SourceSection> train;  // a single path is accepted and becomes one source
  ValidationSection validation;
  std::optional<std::int64_t> split_seed;  // of what is held out; absent: train.seed
  std::int64_t sequence_length = 512;
  bool packing = true;
  bool deduplicate = true;
  std::string overlength;          // split | error | drop | truncate; empty: split when pretraining, else error
  std::string encoding = "error";  // error | replace | skip: what invalid UTF-8 does
  std::string cache;               // folder of shards; default .lathe/cache beside `directory`'s parent
  std::int64_t workers = 0;        // 0: threads
  std::string format;              // tuning: of the records; empty: detected from all of them
  std::string loss_on = "completion";  // tuning: completion | assistant | last_assistant | all
  ColumnsSection columns;
  TemplateSection template_;       // key `template`
  FillInMiddleSection fill_in_middle;
  std::vector<std::int64_t> resolution = {64};  // pictures: width and height, or one number for both
  std::int64_t channels = 3;                    // pictures: 1 or 3
  double background = 1;                        // pictures: what shows through alpha, 0 black to 1 white
  bool flip = false;                            // pictures: each also mirrored
  std::int64_t crops = 1;                       // pictures: places along the longer side
  std::int64_t bucket_step = 0;                 // pictures: sizes of the aspect buckets are multiples; 0: one size
  std::string masks = "none";                   // pictures: none | file | alpha
  std::string trigger;                          // pictures: a word that every caption has
  static void fields(auto& f, auto& c) {
    f.sources("train", c.train, "a path, or a list of sources {path, glob, field, weight}");
    f.validation("validation", c.validation,
                 "a share of the documents, a path, named sets [{name, path}], or for tuning {folds: 5}");
    f("split_seed", c.split_seed, "tuning: which examples are held out; default train.seed",
      range(0, std::int64_t{1} << 62));
    f("sequence_length", c.sequence_length, "tokens in the row that the model sees", range(8, 1 << 20));
    f("packing", c.packing, "several documents in one row, each seeing only itself");
    f("deduplicate", c.deduplicate, "drop exact duplicates");
    f("overlength", c.overlength, "documents longer than a row; default split when pretraining",
      choice({"", "split", "error", "drop", "truncate"}));
    f("encoding", c.encoding, "invalid UTF-8: stop, replace the bytes, or skip the document (counted)",
      choice({"error", "replace", "skip"}));
    f("cache", c.cache, "where shards live; default .lathe_cache in the run directory's parent");
    f("workers", c.workers, "threads of preparation; 0 for all", range(0, 1024));
    f("format", c.format, "tuning: shape of the records (prompt_completion, alpaca, chat ...); default: detected");
    f("loss_on", c.loss_on, "tuning: what is learned: the completion, every assistant turn, the last one, or all",
      choice({"completion", "assistant", "last_assistant", "all"}));
    f("columns", c.columns, "tuning: which keys of a record mean what");
    f("fill_in_middle", c.fill_in_middle, "code: learn to insert; plain texts only");
    f("template", c.template_, "tuning: a string with {column} slots, or {prompt, completion} of them");
    f("resolution", c.resolution, "pictures: one number, or [width, height]", range(8, 1 << 14));
    f("channels", c.channels, "pictures: 3 for colour, 1 for grey", range(1, 3));
    f("background", c.background, "pictures: what shows through alpha, 0 for black to 1 for white", range(0.0, 1.0));
    f("flip", c.flip, "pictures: each is also seen mirrored, as a picture of its own");
    f("crops", c.crops, "pictures: so many crops along the longer side, each a picture of its own; 1: the middle",
      range(1, 16));
    f("bucket_step", c.bucket_step, "pictures: keep their shape, in sizes of about `resolution` whose sides are "
      "multiples of this; 0: all of one size", range(0, 1 << 10));
    f("masks", c.masks, "pictures: where the loss counts: everywhere, as <name>-mask.png says, or where alpha is",
      choice({"none", "file", "alpha"}));
    f("trigger", c.trigger, "pictures: a word put before every caption that lacks it; {trigger} in a caption is it");
  }
};

// Low-rank adapters on a frozen base; kind empty: all weights are trained.
struct AdapterSection {
  std::string kind;  // lora | rslora | dora
  std::int64_t rank = 16;
  double alpha = 32, dropout = 0;
  std::vector<std::string> targets = {"all-linear"};
  bool text_encoder = false;  // pictures: its layers too
  static void fields(auto& f, auto& c) {
    f("kind", c.kind, "lora, rslora (alpha / sqrt(rank)) or dora; absent trains all weights",
      choice({"", "lora", "rslora", "dora"}));
    f("rank", c.rank, "of the two factors", range(1, 4096));
    f("alpha", c.alpha, "the product of the factors counts alpha / rank times", range(0.0, 1e6));
    f("dropout", c.dropout, "on the adapters' input", range(0.0, 0.99));
    f("targets", c.targets, "names of linear layers (q_proj, v_proj, attn.to_out.0 ...), or all-linear: every one of the blocks");
    f("text_encoder", c.text_encoder, "pictures: adapters on the text encoder's layers too");
  }
};

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
  std::int64_t global_batch_size = 16;            // rows an optimizer step
  std::optional<std::int64_t> micro_batch_size;   // rows a forward pass and rank; `auto`: empty
  std::string precision = "auto";                 // auto | bf16 | fp32
  double max_grad_norm = 1.0;                     // 0: off
  std::int64_t seed = 17;
  std::int64_t seeds = 1;                         // tuning: runs with seed, seed + 1 ...
  std::int64_t threads = 0;                       // 0: all cores
  bool activation_checkpointing = false;
  double dropout = 0;                             // residual and embedding dropout
  double z_loss = 0;
  std::string on_spike = "skip";                  // skip | rollback | ignore
  double spike_sigma = 6;
  static void fields(auto& f, auto& c) {
    f("max_steps", c.max_steps, "stop after so many optimizer steps", range(1, std::int64_t{1} << 40));
    f("max_tokens", c.max_tokens, "stop after so many tokens", range(1, std::int64_t{1} << 60));
    f("epochs", c.epochs, "stop after so many passes over the data", range(0.0, 1e6));
    f("max_minutes", c.max_minutes, "stop after so many minutes of training; does not shape the schedule",
      range(0.0, 1e7));
    f("global_batch_size", c.global_batch_size, "rows an optimizer step, over all ranks", range(1, 1 << 24));
    f.automatic("micro_batch_size", c.micro_batch_size, "rows a forward pass; auto picks one that fits", range(1, 1 << 20));
    f("precision", c.precision, "auto is bf16 where the processor has it natively, else fp32",
      choice({"auto", "bf16", "fp32"}));
    f("max_grad_norm", c.max_grad_norm, "clip the global gradient norm; 0 for off", range(0.0, 1e9));
    f("seed", c.seed, "of initialisation, order and dropout", range(0, std::int64_t{1} << 62));
    f("seeds", c.seeds, "tuning: so many runs, with seed, seed + 1 ...; the report shows their spread", range(1, 1000));
    f("threads", c.threads, "compute threads a rank; 0 for all cores", range(0, 4096));
    f("activation_checkpointing", c.activation_checkpointing, "recompute blocks in backward: less memory, a third more compute");
    f("dropout", c.dropout, "on embeddings and residual branches", range(0.0, 0.99));
    f("z_loss", c.z_loss, "weight of the squared log-normaliser (PaLM); 0 for off", range(0.0, 1.0));
    f("on_spike", c.on_spike, "a step whose loss or gradient norm is not finite or far out: skip it, roll back to the "
      "last checkpoint, or ignore", choice({"skip", "rollback", "ignore"}));
    f("spike_sigma", c.spike_sigma, "how many deviations count as a spike", range(1.0, 1e6));
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

// Tuning of pictures: the frozen base says what prompts of the old world must still give (prior preservation without class
// pictures; the base's own output is the target, as in distillation). Weight 0: none.
struct PriorSection {
  double weight = 0;
  std::string prompts;           // a text file, one a line
  std::int64_t pictures = 256;   // drawn by the base at the start, from the prompts in turn
  std::int64_t per_picture = 1;
  static void fields(auto& f, auto& c) {
    f("weight", c.weight, "of the difference between the tuned model and the frozen base on old prompts, beside the loss of "
      "the pictures; 0 for none", range(0.0, 1e4));
    f("prompts", c.prompts, "file of prompts, one a line, whose pictures must stay as they are");
    f("pictures", c.pictures, "how many the base draws of them before the first step", range(1, 1 << 20));
    f("per_picture", c.per_picture, "of them seen beside each training picture", range(1, 64));
  }
};

// The text encoder of a diffusion model from scratch, of CLIP's kind.
struct TextEncoderSection {
  std::int64_t hidden_size = 64, num_hidden_layers = 2, num_attention_heads = 2;
  std::int64_t max_length = 16;
  static void fields(auto& f, auto& c) {
    f("hidden_size", c.hidden_size, "channels of a text token", range(8, 8192));
    f("num_hidden_layers", c.num_hidden_layers, "layers", range(1, 64));
    f("num_attention_heads", c.num_attention_heads, "attention heads", range(1, 128));
    f("max_length", c.max_length, "tokens of a caption, its two ends included; longer ones are cut and counted",
      range(3, 512));
  }
};

// How the samples of a diffusion run are drawn.
struct SamplingSection {
  std::string sampler;   // empty: flow_euler for flow, else ddim
  std::int64_t steps = 20, count = 16;
  double guidance = 3;
  static void fields(auto& f, auto& c) {
    f("sampler", c.sampler, "flow_euler for flow matching; ddpm, ddim, euler, heun, dpm++_2m for the others",
      choice({"", "ddpm", "ddim", "euler", "heun", "dpm++_2m", "flow_euler"}));
    f("steps", c.steps, "network evaluations of a picture", range(1, 1000));
    f("count", c.count, "pictures of a grid", range(1, 1024));
    f("guidance", c.guidance, "how far to go beyond the prediction without text; 1 for not at all", range(0.0, 100.0));
  }
};

// task: diffusion. What the network is asked for, and at which times.
struct DiffusionSection {
  std::string prediction = "flow", schedule = "flow";
  double shift = 1;
  bool zero_terminal_snr = false;
  std::string timesteps = "logit_normal";
  double logit_mean = 0, logit_std = 1;
  double min_snr_gamma = 0, offset_noise = 0, condition_dropout = 0.1;
  TextEncoderSection text_encoder;
  SamplingSection sampling;
  static void fields(auto& f, auto& c) {
    f("prediction", c.prediction, "what the network says: flow (noise - picture), epsilon, sample, or velocity",
      choice({"flow", "epsilon", "sample", "velocity"}));
    f("schedule", c.schedule, "noise over time: flow (a straight path), linear, scaled_linear, cosine",
      choice({"flow", "linear", "scaled_linear", "cosine"}));
    f("shift", c.shift, "flow: more noise for large pictures, sigma' = s sigma / (1 + (s - 1) sigma)", range(0.01, 100.0));
    f("zero_terminal_snr", c.zero_terminal_snr, "the last step is noise alone; not with epsilon");
    f("timesteps", c.timesteps, "which times are trained: uniform, or logit_normal (the middle more often)",
      choice({"uniform", "logit_normal"}));
    f("logit_mean", c.logit_mean, "of logit_normal", range(-10.0, 10.0));
    f("logit_std", c.logit_std, "of logit_normal", range(0.01, 10.0));
    f("min_snr_gamma", c.min_snr_gamma, "limits the weight of clean times (arXiv 2303.09556), often 5; 0 for off",
      range(0.0, 1000.0));
    f("offset_noise", c.offset_noise, "noise that is the same over a whole channel; 0 for off", range(0.0, 10.0));
    f("condition_dropout", c.condition_dropout, "share of pictures shown without their text, which guidance needs",
      range(0.0, 1.0));
    f("text_encoder", c.text_encoder, "of a model from scratch");
    f("sampling", c.sampling, "how samples are drawn");
  }
};

struct EarlyStoppingSection {
  std::int64_t patience = 0;  // evaluations without improvement; 0: off
  double min_delta = 0;
  static void fields(auto& f, auto& c) {
    f("patience", c.patience, "stop after so many evaluations without improvement; 0 for off", range(0, 1 << 20));
    f("min_delta", c.min_delta, "what counts as improvement of the validation loss", range(0.0, 1e9));
  }
};

struct EvaluateSection {
  std::int64_t every = 0;          // steps; 0: only at the end
  std::int64_t max_rows = 0;       // 0: the whole validation set
  std::vector<std::string> metrics;  // tuning: of answers generated for the held-out prompts
  std::string probe;               // tuning: a general text whose loss shows forgetting
  std::string prompts;             // a text file, one prompt a line, sampled at every evaluation
  std::int64_t sample_tokens = 48;
  static void fields(auto& f, auto& c) {
    f("every", c.every, "steps between evaluations; 0 for the end only, in tuning for once an epoch (or: epoch)",
      range(0, 1 << 30));
    f("max_rows", c.max_rows, "rows of validation an evaluation reads; 0 for all", range(0, 1 << 30));
    f("metrics", c.metrics, "tuning: exact_match, rouge_l, chrf ... of answers to the held-out prompts");
    f("probe", c.probe, "tuning: a general text whose loss shows what was forgotten; default a page of our own");
    f("prompts", c.prompts, "file of prompts, one a line, completed at every evaluation");
    f("sample_tokens", c.sample_tokens, "tokens of each sample", range(1, 1 << 16));
  }
};

struct CheckpointSection {
  std::int64_t every = 0;  // steps; 0: at the end only
  std::int64_t keep_last = 2;
  bool keep_best = true;
  std::string resume = "auto";  // auto | never | must
  static void fields(auto& f, auto& c) {
    f("every", c.every, "steps between checkpoints; 0 for the end only", range(0, 1 << 30));
    f("keep_last", c.keep_last, "checkpoints kept beside the best", range(1, 1 << 20));
    f("keep_best", c.keep_best, "keep the checkpoint with the lowest validation loss");
    f("resume", c.resume, "auto resumes what is there, must fails when there is nothing, never starts only in an "
      "empty directory", choice({"auto", "never", "must"}));
  }
};

struct ExportSection {
  std::string format;        // huggingface | peft | gguf | diffusers | kohya | comfyui
  std::string dtype = "auto";  // auto | bf16 | fp32 | fp16
  std::string quantize;        // gguf: f32 | f16 | bf16 | q8_0 | q4_k_m; empty: dtype's
  std::string directory;     // default <run>/export/<format>
  std::int64_t max_shard_bytes = 5'000'000'000;
  static void fields(auto& f, auto& c) {
    f("format", c.format, "huggingface or gguf (an adapter is merged), peft: the adapter alone; pictures: diffusers (merged), and an "
      "adapter alone as peft (what diffusers loads), kohya or comfyui",
      choice({"huggingface", "peft", "gguf", "diffusers", "kohya", "comfyui"}));
    f("dtype", c.dtype, "of the exported tensors; auto: bf16, and fp32 for an adapter alone",
      choice({"auto", "bf16", "fp32", "fp16"}));
    f("quantize", c.quantize, "gguf: the type of the file; default dtype's",
      choice({"", "f32", "f16", "bf16", "q8_0", "q4_k_m"}));
    f("directory", c.directory, "default export/<format> in the run");
    f("max_shard_bytes", c.max_shard_bytes, "split into files above this size", range(1 << 10, std::int64_t{1} << 50));
  }
};

struct ReportSection {
  std::string examples = "all";
  static void fields(auto& f, auto& c) {
    f("examples", c.examples, "all shows held-out prompts and answers; none keeps texts out of the report",
      choice({"all", "none"}));
  }
};

struct ParallelSection {
  std::string strategy = "auto";  // auto | replicate
  static void fields(auto& f, auto& c) {
    f("strategy", c.strategy, "how ranks share the work", choice({"auto", "replicate"}));
  }
};

struct Recipe {
  std::string base;       // another recipe this one starts from (one level)
  std::string name;       // default: the file's name
  std::string directory;  // default runs/<name>
  std::string task = "pretrain";
  std::string device = "auto";
  ModelSection model;
  AdapterSection adapter;
  TokenizerSection tokenizer;
  DataSection data;
  OptimizerSection optimizer;
  ScheduleSection schedule;
  TrainSection train;
  EmaSection ema;
  PriorSection prior;
  DiffusionSection diffusion;
  EarlyStoppingSection early_stopping;
  EvaluateSection evaluate;
  CheckpointSection checkpoint;
  ReportSection report;
  ParallelSection parallel;
  std::vector<ExportSection> exports;  // key `export`
  static void fields(auto& f, auto& c) {
    f("base", c.base, "another recipe whose values this one starts from, one level; name and directory are not taken");
    f("name", c.name, "of the run; default the file's name");
    f("directory", c.directory, "of the run; default runs/<name>");
    f("task", c.task, "what is trained", choice({"pretrain", "sft", "diffusion"}));
    f("device", c.device, "auto, cpu", choice({"auto", "cpu"}));
    f("model", c.model, "what is trained, or what it starts from");
    f("adapter", c.adapter, "low-rank adapters on a frozen base");
    f("tokenizer", c.tokenizer, "given or trained");
    f("data", c.data, "what it reads");
    f("optimizer", c.optimizer, "how it steps");
    f("schedule", c.schedule, "the learning rate over the steps");
    f("train", c.train, "how long, how large, how precise");
    f("ema", c.ema, "moving averages of the weights");
    f("prior", c.prior, "tuning of pictures: the frozen base keeps what the tuned model must not forget");
    f("diffusion", c.diffusion, "task diffusion: what the network learns and how samples are drawn");
    f("early_stopping", c.early_stopping, "when to give up");
    f("evaluate", c.evaluate, "held-out loss and samples");
    f("checkpoint", c.checkpoint, "what is kept");
    f("report", c.report, "what the report shows");
    f("parallel", c.parallel, "ranks");
    f("export", c.exports, "what is written at the end");
  }
};

}  // namespace lathe
