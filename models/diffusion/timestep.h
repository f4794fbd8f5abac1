#pragma once
// The embedding of a time (Ho et al., arXiv 2006.11239, after arXiv 1706.03762) in diffusers' order: cosines,
// then sines.
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lathe {

// times (B) -> (B, channels) fp32: [cos(t w_k), sin(t w_k)], w_k = 10000^(-k / (channels / 2)).
// channels is even.
at::Tensor timestep_embedding(const at::Tensor& times, std::int64_t channels);

}  // namespace lathe
