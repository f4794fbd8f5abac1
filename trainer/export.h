#pragma once
// Export and its proof: what was measured is what ships. reference.json holds prompts, ids, logits and greedy tokens that
// the exported tensors gave in the exporter's process, computed in fp32; verify builds model and tokenizer from the
// exported files alone and compares.
#include <functional>
#include <string>

#include "checkpoints/exporters/exporter.h"
#include "trainer/session.h"

namespace lathe {

struct Verification {
  double max_error = 0;        // largest absolute difference of a logit
  double largest_logit = 0;
  bool same_ids = true, same_tokens = true;
  bool passed() const { return same_ids && same_tokens && max_error <= 1e-4 * std::max(1.0, largest_logit); }
  Json to_json() const;
};

// Writes `bundle` to options.directory with its reference; prompts are texts.
Verification export_bundle(const Bundle& bundle, ExportOptions options, const std::vector<std::string>& prompts);
Verification verify_export(const std::string& directory);

// Every target of `export:` in a finished run, from the best checkpoint; [{format, directory, max_error}].
Json export_run(const Session& session, const std::function<void(const std::string&)>& say);

}  // namespace lathe
