// The published initialisation: normal(0, initializer_range), norms 1, biases 0. A value is a function of
// (seed, parameter, element) alone, and bf16 weights are the rounded fp32 ones.
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "data/io/threads.h"
#include "data/random/philox.h"
#include "models/decoder/decoder.h"

namespace lathe {
namespace {

constexpr std::int64_t kPiece = std::int64_t{1} << 16;

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

void fill_normal(at::Tensor parameter, const RandomStream& stream, double deviation) {
  // In fp32 the values are made where they stay; other types are rounded from a piece at a time.
  const at::Tensor flat = parameter.view({-1});
  const bool direct = flat.scalar_type() == at::kFloat;
  const std::int64_t count = flat.size(0);
  const auto pieces = static_cast<std::size_t>((count + kPiece - 1) / kPiece);
  const auto scale = static_cast<float>(deviation);
  parallel_for(pieces, 0, [&](std::size_t piece) {
    const at::NoGradGuard no_grad;
    const std::int64_t begin = static_cast<std::int64_t>(piece) * kPiece,
                       length = std::min(kPiece, count - begin);
    std::vector<float> rounded(direct ? 0 : static_cast<std::size_t>(length));
    const std::span<float> values =
        direct ? std::span(flat.data_ptr<float>() + begin, static_cast<std::size_t>(length))
               : std::span(rounded);
    stream.fill_normal(static_cast<std::uint64_t>(begin), values);
    for (float& value : values) value *= scale;
    if (!direct) flat.narrow(0, begin, length).copy_(at::from_blob(rounded.data(), {length}, at::kFloat));
  });
}

}  // namespace

void Decoder::initialise(std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  auto parameters = named_parameters();
  const double residual_scale =
      1 / std::sqrt(2.0 * static_cast<double>(std::max<std::int64_t>(spec().num_layers, 1)));
  std::uint32_t site = 0;
  for (const ParameterInfo& info : decoder_parameters(spec())) {
    at::Tensor& parameter = parameters[info.name];
    const std::uint32_t place = site++;
    if (parameter.is_meta()) continue;  // frozen, by Linear::hold
    if (info.shape.size() == 1) {
      parameter.fill_(ends_with(info.name, ".weight") ? 1.0 - spec().norm_offset : 0.0);
      continue;
    }
    const bool residual = ends_with(info.name, "o_proj.weight") || ends_with(info.name, "down_proj.weight");
    const double deviation =
        spec().initializer_range * (spec().scaled_residual_init && residual ? residual_scale : 1);
    fill_normal(parameter, RandomStream({seed, Purpose::Initialise, place, 0, 0}), deviation);
  }
}

}  // namespace lathe
