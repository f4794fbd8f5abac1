#pragma once
// A model as one streamable thing: config, spec, tensors under internal names, tokenizer. Read from a Hugging
// Face folder or from a checkpoint; exporters write it. Tensors stay where they are until read.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoints/bundle/family.h"
#include "checkpoints/bundle/tensor.h"
#include "data/tokenizers/tokenizer.h"

namespace lathe {

struct Bundle {
  const Family* family = nullptr;
  Json config;  // complete config.json
  DecoderSpec spec;
  std::vector<BundleTensor> tensors;           // internal names, order of decoder_parameters(spec)
  std::shared_ptr<const Tokenizer> tokenizer;  // may be null
  Json generation_config;                      // may be null
  std::string origin;                          // path it was read from
};

// A folder with config.json and model.safetensors or model.safetensors.index.json. Shapes are checked against
// the spec; a missing, surplus or misshapen tensor is an Error by name. A missing lm_head with
// tie_word_embeddings is tied.
Bundle read_bundle(const std::string& folder);

// On-disk tensors of a bundle under the family's names (fused and transposed as it stores them), tied ones
// once.
std::vector<BundleTensor> disk_tensors(const Bundle& bundle);
// The inverse: internal tensors from on-disk ones.
std::vector<BundleTensor> internal_tensors(const Family& family, const DecoderSpec& spec,
                                           std::map<std::string, BundleTensor> on_disk,
                                           const std::string& where);

}  // namespace lathe
