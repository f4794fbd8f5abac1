#pragma once
// Export and its proof: what was measured is what ships. reference.json holds prompts, ids, logits and greedy
// tokens that the exported tensors gave in the exporter's process, computed in fp32; verify builds model and
// tokenizer from the exported files alone and compares.
#include <string>

#include "checkpoints/exporters/exporter.h"
#include "trainer/export_reference.h"
#include "trainer/model_source.h"
#include "trainer/session.h"
#include "trainer/text/text_task.h"

namespace lathe {

struct ExportRequest {
  std::string format = "huggingface";  // huggingface, gguf (an adapter is merged) | peft (the adapter alone)
  std::string dtype = "auto";          // bf16, fp16, fp32; auto: bf16, and fp32 for an adapter alone
  std::vector<std::string> prompts;    // texts of the reference
  std::string heading;                 // the card up to its part on use, which follows the format
  std::string quantize = {};           // gguf: f32, f16, bf16, q8_0, q4_k_m; empty: dtype's
};
// Writes the model to options.directory with its card and reference. A merged model that equals its base once
// rounded, or `peft` of a model without adapter, is an Error before anything is written.
Verification export_model(const ModelSource& source, const ExportRequest& request, ExportOptions options);
// An export of any format; an adapter's base is found by its adapter_config.json.
Verification verify_export(const std::string& directory);

// What is wrong with the files by the folder's MANIFEST.json; empty: nothing, or there is none.
std::string damaged_file(const std::string& directory);

// Every target of `export:` in a finished run, from the best checkpoint; [{format, directory, max_error}].
Json export_run(Session& session, TextTask& task, const Say& say);

}  // namespace lathe
