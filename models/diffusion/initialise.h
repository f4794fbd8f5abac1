#pragma once
// First values of networks: functions of a stream and an element's number alone.
#include <ATen/core/Tensor.h>

#include "data/random/philox.h"

namespace lathe {

// Uniform in +- bound; of any float type.
void fill_uniform(at::Tensor& parameter, const RandomStream& stream, double bound);
// sqrt(6 / (in + out)) (Glorot and Bengio, AISTATS 2010), of a matrix (out, in) or a kernel (out, in, h, w),
// whose places count for both.
double xavier_bound(const at::Tensor& parameter);

}  // namespace lathe
