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

// A tensor at a time; frozen matrices are not copied, those in 4 bits are never all there in another type.
std::shared_ptr<Decoder> build_decoder(const Bundle& bundle, const LinearStorage& storage);
void load_parameters(Decoder& decoder, const std::vector<BundleTensor>& tensors);

}  // namespace lathe
