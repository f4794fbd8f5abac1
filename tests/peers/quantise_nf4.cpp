// Quantises for tests/peers/test_nf4.py: every tensor of a safetensors file to NF4, doubly quantised, as
// NAME.packed, .scale_codes, .scales, .offset and the dense values .fp32 and .bf16.
//   quantise_nf4 FROM.safetensors TO.safetensors
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>

#include <iostream>

#include "checkpoints/formats/safetensors.h"
#include "models/decoder/weights.h"
#include "models/ops/nf4.h"

namespace {

using namespace lathe;

void append(std::vector<BundleTensor>& out, const std::string& name, const at::Tensor& weight) {
  const Nf4Matrix matrix = nf4_quantise(weight, /*double_quantised=*/true);
  const auto add = [&](const char* part, const at::Tensor& tensor) {
    out.push_back(from_tensor(name + part, tensor));
  };
  add(".packed", matrix.packed);
  add(".scale_codes", matrix.scale_codes);
  add(".scales", matrix.scales);
  add(".offset", at::full({1}, matrix.offset, at::kFloat));
  add(".plain_scales", nf4_quantise(weight, /*double_quantised=*/false).scales);
  add(".fp32", nf4_dequantised(matrix, at::kFloat));
  add(".bf16", nf4_dequantised(matrix, at::kBFloat16));
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    std::cerr << "usage: quantise_nf4 FROM.safetensors TO.safetensors\n";
    return 2;
  }
  try {
    std::vector<BundleTensor> out{from_tensor("map", dynamic_map())};
    for (const BundleTensor& tensor : read_safetensors(arguments[1]).tensors)
      append(out, tensor.name, to_tensor(tensor));
    write_safetensors(arguments[2], out);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
