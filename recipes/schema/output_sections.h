#pragma once
// The recipe's sections on what a run measures and writes: evaluation, checkpoints, exports, report
// (recipes/schema/recipe.h).
#include <cstdint>
#include <string>
#include <vector>

#include "recipes/schema/constraints.h"

namespace lathe {

struct EarlyStoppingSection {
  std::int64_t patience = 0;  // evaluations without improvement; 0: off
  double min_delta = 0;
  static void fields(auto& f, auto& c) {
    f("patience", c.patience, "stop after so many evaluations without improvement; 0 for off",
      range(0, 1 << 20));
    f("min_delta", c.min_delta,
      "a fall of the validation loss by less does not count as improvement here; the best step is the lowest "
      "all the same",
      range(0.0, 1e9));
  }
};

struct EvaluateSection {
  std::int64_t every = 0;            // steps; 0: only at the end
  std::int64_t max_rows = 0;         // 0: the whole validation set
  std::vector<std::string> metrics;  // tuning: of answers generated for the held-out prompts
  std::string probe;                 // of a base: a general text whose loss shows forgetting
  std::string prompts;               // a text file, one prompt a line, sampled at every evaluation
  std::int64_t sample_tokens = 48;
  static void fields(auto& f, auto& c) {
    f("every", c.every,
      "steps between evaluations; 0 for the end only, in tuning for once an epoch (or: epoch)",
      range(0, 1 << 30));
    f("max_rows", c.max_rows, "rows of validation an evaluation reads; 0 for all", range(0, 1 << 30));
    f("metrics", c.metrics, "tuning: exact_match, rouge_l, chrf ... of answers to the held-out prompts");
    f("probe", c.probe,
      "with a base: a general text whose loss shows what was forgotten; default a page of our own");
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
    f("resume", c.resume,
      "auto resumes what is there, must fails when there is nothing, never starts only in an "
      "empty directory",
      choice({"auto", "never", "must"}));
  }
};

// The format of a new word alone, and what its recipe section is called.
inline constexpr const char* kTextualInversion = "textual_inversion";
// Stable Diffusion under its original names.
inline constexpr const char* kSingleFileFormat = "single_file";

struct ExportSection {
  std::string format;          // huggingface | peft | gguf | diffusers | single_file | kohya | comfyui
  std::string dtype = "auto";  // auto | bf16 | fp32 | fp16
  std::string quantize;        // gguf: f32 | f16 | bf16 | q8_0 | q4_k_m; empty: dtype's
  std::string directory;       // default <run>/export/<format>
  std::int64_t max_shard_bytes = 5'000'000'000;
  static void fields(auto& f, auto& c) {
    f("format", c.format,
      "huggingface or gguf (an adapter is merged), peft: the adapter alone; pictures: diffusers (merged), "
      "single_file (merged; Stable Diffusion under its original names), and an adapter alone as peft (what "
      "diffusers loads), kohya or comfyui; textual_inversion: the new word alone",
      choice({"huggingface", "peft", "gguf", "diffusers", kSingleFileFormat, "kohya", "comfyui",
              kTextualInversion}));
    f("dtype", c.dtype, "of the exported tensors; auto: bf16, and fp32 for an adapter alone",
      choice({"auto", "bf16", "fp32", "fp16"}));
    f("quantize", c.quantize, "gguf: the type of the file; default dtype's",
      choice({"", "f32", "f16", "bf16", "q8_0", "q4_k_m"}));
    f("directory", c.directory, "default export/<format> in the run");
    f("max_shard_bytes", c.max_shard_bytes, "split into files above this size",
      range(1 << 10, std::int64_t{1} << 50));
  }
};

// Whether an export of this format holds the adapter alone.
inline bool is_adapter_format(const std::string& format) {
  return format == "peft" || format == "kohya" || format == "comfyui";
}

struct ReportSection {
  std::string examples = "all";
  bool shows() const { return examples != "none"; }
  static void fields(auto& f, auto& c) {
    f("examples", c.examples,
      "all shows held-out prompts and answers; none keeps texts of the data out of report, run and exports",
      choice({"all", "none"}));
  }
};

}  // namespace lathe
