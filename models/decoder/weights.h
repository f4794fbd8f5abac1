#pragma once
// Bundle tensors <-> a decoder's parameters.
#include <memory>

#include "checkpoints/bundle/bundle.h"
#include "models/decoder/decoder.h"

namespace lathe {

at::ScalarType scalar_type(DType dtype);
DType dtype_of(at::ScalarType type);
// A tensor over the block's bytes without a copy (unaligned and read-only mappings are copied when asked by
// `clone`).
at::Tensor to_tensor(const BundleTensor& tensor);
BundleTensor from_tensor(const std::string& name, const at::Tensor& tensor);  // shares storage

// A tensor at a time; matrices that are stored in 4 bits are never all there in another type.
std::shared_ptr<Decoder> build_decoder(const Bundle& bundle, const LinearStorage& storage);
// The bundle with the blocks' matrices as NF4 says them, fp32, lazily: what a decoder that keeps them in 4 bits computes with.
Bundle nf4_rounded(Bundle bundle, bool double_quantised);
void load_parameters(Decoder& decoder, const std::vector<BundleTensor>& tensors);

}  // namespace lathe
