#include "models/adapters/adapted.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "models/adapters/attach.h"
#include "models/decoder/weights.h"

namespace lathe {
namespace {

// "model.layers.0.self_attn.q_proj.lora_A.weight" -> "q_proj"
std::string module_of(const std::string& tensor) {
  const std::string path = tensor.substr(0, tensor.rfind(".lora_"));
  return path.substr(path.rfind('.') + 1);
}

std::vector<std::string> targets_of(const PeftAdapter& adapter) {
  std::set<std::string> names;
  for (const BundleTensor& tensor : adapter.tensors) names.insert(module_of(tensor.name));
  return {names.begin(), names.end()};
}

}  // namespace

std::shared_ptr<Decoder> build_adapted_decoder(const Bundle& base, const PeftAdapter& adapter,
                                               const LinearStorage& storage) {
  if (!adapter.token_rows.empty()) return nullptr;
  auto decoder = build_decoder(base, storage);
  AdapterSpec spec = adapter_spec(adapter);
  spec.targets = targets_of(adapter);
  attach_adapters(*decoder, spec, /*seed=*/0);
  const at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> trained;
  for (const auto& item : decoder->named_parameters())
    if (item.tensor.requires_grad()) trained.emplace(item.name, item.tensor);
  if (trained.size() != adapter.tensors.size()) return nullptr;
  for (const BundleTensor& tensor : adapter.tensors) {
    const auto found = trained.find(tensor.name);
    if (found == trained.end() || found->second.sizes() != at::IntArrayRef(tensor.shape)) return nullptr;
    found->second.copy_(to_tensor(tensor));
  }
  return decoder;
}

}  // namespace lathe
