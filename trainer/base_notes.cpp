#include "trainer/base_notes.h"

namespace lathe {

std::string base_dropout_note(const Family& family, const Json& config) {
  std::string named;
  for (const char* key : {"embd_pdrop", "resid_pdrop", "attn_pdrop", "attention_dropout", "hidden_dropout"}) {
    const bool usual = family.name == "gpt2" && std::string(key).ends_with("_pdrop");
    const double rate = json_get_or<double>(config, key, usual ? 0.1 : 0.0, "config.json");
    if (rate > 0) named += cat(named.empty() ? "" : ", ", key, " ", rate);
  }
  if (named.empty()) return "";
  return cat("the base's config.json has ", named,
             ", which transformers and TRL apply when they tune; here a base is tuned "
             "without: train.dropout is for embeddings and residual branches, adapter.dropout for adapters, "
             "attention has none");
}

}  // namespace lathe
