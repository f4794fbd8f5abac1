#pragma once
// The embedding of a time (Ho et al., arXiv 2006.11239, after arXiv 1706.03762) with diffusers' options.
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lathe {

struct TimestepOrder {
  bool cosines_first = true;  // flip_sin_to_cos
  double freq_shift = 0;
};

// times (B) -> (B, channels) fp32: [cos(t w_k), sin(t w_k)], w_k = 10000^(-k / (channels / 2 - freq_shift)).
// An odd last channel is 0.
at::Tensor timestep_embedding(const at::Tensor& times, std::int64_t channels,
                              const TimestepOrder& order = {});

}  // namespace lathe
