#pragma once
// An adapter folder as PEFT writes and reads it: adapter_config.json and adapter_model.safetensors, keys
// "base_model.model.<module on disk>.lora_A.weight" (huggingface.co/docs/peft, "PEFT checkpoint format").
// Internal names are those of the decoder's modules. Torch-free.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "checkpoints/bundle/bundle.h"

namespace lathe {

struct PeftAdapter {
  std::string kind = "lora";  // lora | dora
  std::int64_t rank = 0;
  double alpha = 0, dropout = 0;
  bool rank_stabilised = false;
  std::vector<std::string> targets;   // module names
  std::string base;                   // base_model_name_or_path
  std::vector<BundleTensor> tensors;  // "model.layers.0.self_attn.q_proj.lora_A.weight", .lora_B.weight,
                                      // .lora_magnitude_vector.weight; "model.embed_tokens.trainable_tokens"
  // Rows of tables that are trained whole (trainable_token_indices): "embed_tokens" and, where the head is no
  // copy of it, "lm_head" -> the ids; their tensors are (ids, C), the rows' new values.
  std::map<std::string, std::vector<std::int64_t>> token_rows = {};
};

constexpr const char* kPeftConfig = "adapter_config.json";
constexpr const char* kPeftTensors = "adapter_model.safetensors";

bool is_adapter_folder(const std::string& folder);
// The key of token_rows for a module as PEFT or the family calls it; "" when it is no table of tokens.
std::string token_table(const std::string& module);
// adapter_config.json alone. What would change the maths and is not supported (bias, layer patterns ...) is
// an Error.
PeftAdapter read_peft_config(const std::string& folder);
// With the tensors, under the internal names of `family`; a name that is no module of the model is an Error.
PeftAdapter read_peft(const std::string& folder, const Family& family, const DecoderSpec& spec);

Json peft_config(const PeftAdapter& adapter);
// As PEFT must read it with this family: whether matrices are stored (in, out), the rank of fused ones
// (peft_fused.h).
Json peft_config(const PeftAdapter& adapter, const Family& family, const DecoderSpec& spec);
// What `target_modules` must say for PEFT to put its layers exactly where the adapter's tensors are: the
// modules' last names on disk, or their full names when only some layers have one. "all-linear" and the like
// are resolved so.
std::vector<std::string> peft_targets(const PeftAdapter& adapter, const Family& family,
                                      const DecoderSpec& spec);
// Under PEFT's names. With `exact`, modules that the family stores fused (GPT-2's c_attn) are joined
// (peft_fused.h); else they keep internal names, which only Lathe reads.
std::vector<BundleTensor> peft_tensors(const PeftAdapter& adapter, const Family& family,
                                       const DecoderSpec& spec, bool exact);

}  // namespace lathe
