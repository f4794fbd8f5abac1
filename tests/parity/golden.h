#pragma once
// One folder of tests/parity/golden (scripts/make_golden.py): a tiny model and what transformers computes
// with it.
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoints/bundle/bundle.h"
#include "checkpoints/formats/safetensors.h"
#include "models/decoder/decoder.h"
#include "models/decoder/weights.h"
#include "tests/places.h"

namespace lathe::golden {

inline std::vector<std::string> names() {
  return {"llama_gqa",
          "llama_tied_llama3",
          "llama_biases",
          "llama_linear",
          "llama_dynamic",
          "llama_yarn",
          "llama_yarn_exact",
          "llama_longrope",
          "gpt2",
          "mistral",
          "qwen2",
          "qwen3",
          "gemma2",
          "gemma3"};
}

struct Golden {
  std::string folder;
  Bundle bundle;
  std::map<std::string, BundleTensor> file;  // golden.safetensors

  at::Tensor tensor(const std::string& name) const { return to_tensor(file.at(name)).clone(); }
  // Tensors "prefix.<name on disk>" under the decoder's names.
  std::map<std::string, at::Tensor> internal(const std::string& prefix) const {
    std::map<std::string, BundleTensor> on_disk;
    for (const auto& [name, value] : file) {
      if (name.rfind(prefix + ".", 0) == 0) on_disk[name.substr(prefix.size() + 1)] = value;
    }
    std::map<std::string, at::Tensor> result;
    for (const BundleTensor& t : internal_tensors(*bundle.family, bundle.spec, on_disk, folder)) {
      result[t.name] = to_tensor(t).clone();
    }
    return result;
  }
  Batch batch() const;
};

inline Golden load(const std::string& name) {
  Golden golden;
  golden.folder = cat(test::source_folder(), "/tests/parity/golden/", name);
  golden.bundle = read_bundle(golden.folder);
  for (BundleTensor& t : read_safetensors(golden.folder + "/golden.safetensors").tensors) {
    golden.file[t.name] = t;
  }
  return golden;
}

// Rows of one document each; targets are the labels one to the left.
inline Batch Golden::batch() const {
  const at::Tensor ids = tensor("input_ids"), labels = tensor("labels");
  Batch batch;
  batch.rows = ids.size(0);
  batch.length = ids.size(1);
  for (std::int64_t row = 0; row < batch.rows; ++row) {
    const auto begin = static_cast<std::int32_t>(row * batch.length);
    batch.stretches.push_back(
        {begin, static_cast<std::int32_t>(batch.length), static_cast<std::uint64_t>(row), 0});
    for (std::int64_t i = 0; i < batch.length; ++i) {
      const bool last = i + 1 == batch.length;
      batch.tokens.push_back(static_cast<std::int32_t>(ids[row][i].item<std::int64_t>()));
      batch.positions.push_back(static_cast<std::int32_t>(i));
      batch.targets.push_back(last ? kIgnoreTarget
                                   : static_cast<std::int32_t>(labels[row][i + 1].item<std::int64_t>()));
      batch.target_count += batch.targets.back() != kIgnoreTarget;
    }
  }
  batch.token_count = batch.rows * batch.length;
  return batch;
}

// (B, T, V) fp32.
inline at::Tensor logits_of(Decoder& decoder, const Batch& batch) {
  const at::NoGradGuard no_grad;
  const at::Tensor hidden = decoder.forward(decoder_input(batch));
  return decoder.logits(hidden).unflatten(0, {batch.rows, batch.length});
}

// Largest difference, relative to the largest value (at least 1).
inline double error_of(const at::Tensor& found, const at::Tensor& wanted) {
  const double scale = std::max(1.0, wanted.abs().max().item<double>());
  return (found.to(at::kDouble) - wanted.to(at::kDouble)).abs().max().item<double>() / scale;
}

constexpr double kTolerance = 1e-5;
// Of gradients, whose sums cancel: MKL's products on processors without AMX left 1.7e-5 in two networks.
constexpr double kGradientTolerance = 3e-5;

}  // namespace lathe::golden
