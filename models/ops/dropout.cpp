#include <ATen/ATen.h>

#include "data/random/philox.h"
#include "models/ops/ops.h"

namespace lathe {

at::Tensor counter_dropout(const at::Tensor& x, double probability, const DropoutKey& key,
                           const std::vector<Stretch>& stretches) {
  if (probability <= 0) return x;
  const std::int64_t channels = x.size(1);
  at::Tensor mask = at::zeros({x.size(0), channels}, at::kFloat);
  float* values = mask.data_ptr<float>();
  const float keep = static_cast<float>(1 / (1 - probability));
  for (const Stretch& stretch : stretches) {
    const RandomStream stream({key.seed, Purpose::Dropout, key.site, key.step, stretch.document});
    for (std::int64_t row = 0; row < stretch.length; ++row) {
      for (std::int64_t c = 0; c < channels; ++c) {
        const auto element = static_cast<std::uint64_t>((stretch.position + row) * channels + c);
        values[(stretch.begin + row) * channels + c] = stream.uniform(element) < probability ? 0.0F : keep;
      }
    }
  }
  return (x.to(at::kFloat) * mask).to(x.scalar_type());
}

}  // namespace lathe
