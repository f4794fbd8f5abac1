#pragma once
// Export and its proof: what was measured is what ships. reference.json holds prompts, ids, logits and greedy tokens that
// the exported tensors gave in the exporter's process, computed in fp32; verify builds model and tokenizer from the
// exported files alone and compares.
#include <optional>
#include <string>

#include "checkpoints/exporters/exporter.h"
#include "trainer/model_source.h"
#include "trainer/session.h"
#include "trainer/text/text_task.h"

namespace lathe {

struct Verification {
  double max_error = 0;        // largest absolute difference of a logit
  double largest_logit = 0;
  bool same_ids = true, same_tokens = true;
  std::optional<double> rounding_error;   // of a quantised export: largest change of a logit against the weights before
  std::optional<double> quantization_error;  // base trained in 4 bits: largest change of a logit against that base with its adapter
  std::string damaged;                    // a file that is not as MANIFEST.json says, if one was looked for
  bool passed() const { return damaged.empty() && same_ids && same_tokens && max_error <= 1e-4 * std::max(1.0, largest_logit); }
  Json to_json() const;
};

struct ExportRequest {
  std::string format = "huggingface";   // huggingface, gguf (an adapter is merged) | peft (the adapter alone)
  std::string dtype = "auto";           // bf16, fp16, fp32; auto: bf16, and fp32 for an adapter alone
  std::vector<std::string> prompts;     // texts of the reference
  std::string heading;                  // the card up to its part on use, which follows the format
  std::string quantize = {};            // gguf: f32, f16, bf16, q8_0, q4_k_m; empty: dtype's
};
// Writes the model to options.directory with its card and reference. A merged model that equals its base once rounded, or
// `peft` of a model without adapter, is an Error before anything is written.
Verification export_model(const ModelSource& source, const ExportRequest& request, ExportOptions options);
// An export of any format; an adapter's base is found by its adapter_config.json.
Verification verify_export(const std::string& directory);

// What is wrong with the files by the folder's MANIFEST.json; empty: nothing, or there is none.
std::string damaged_file(const std::string& directory);

// Every target of `export:` in a finished run, from the best checkpoint; [{format, directory, max_error}].
Json export_run(Session& session, TextTask& task, const Say& say);

}  // namespace lathe
