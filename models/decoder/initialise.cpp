// The published initialisation: normal(0, initializer_range), norms 1, biases 0. A value is a function of
// (seed, parameter, element) alone, and bf16 weights are the rounded fp32 ones.
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "data/random/philox.h"
#include "models/decoder/decoder.h"
#include "models/ops/parallel.h"

namespace lathe {
namespace {

constexpr std::int64_t kPiece = std::int64_t{1} << 16;

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// A matrix whose values are to be drawn, and its stream.
struct Drawn {
  at::Tensor flat;
  RandomStream stream;
  float deviation;
};

// Values `begin` to `begin` + kPiece. In fp32 they are made where they stay; other types are rounded from.
void fill_piece(const Drawn& drawn, std::int64_t begin) {
  const at::NoGradGuard no_grad;
  const bool direct = drawn.flat.scalar_type() == at::kFloat;
  const std::int64_t length = std::min(kPiece, drawn.flat.size(0) - begin);
  std::vector<float> rounded(direct ? 0 : static_cast<std::size_t>(length));
  const std::span<float> values =
      direct ? std::span(drawn.flat.data_ptr<float>() + begin, static_cast<std::size_t>(length))
             : std::span(rounded);
  drawn.stream.fill_normal(static_cast<std::uint64_t>(begin), values);
  for (float& value : values) value *= drawn.deviation;
  if (!direct) drawn.flat.narrow(0, begin, length).copy_(at::from_blob(rounded.data(), {length}, at::kFloat));
}

// The pieces of all matrices at once: most matrices of a small model are too small to share.
void fill_normal(const std::vector<Drawn>& matrices) {
  std::vector<std::pair<std::size_t, std::int64_t>> pieces;
  for (std::size_t i = 0; i < matrices.size(); ++i)
    for (std::int64_t begin = 0; begin < matrices[i].flat.size(0); begin += kPiece)
      pieces.emplace_back(i, begin);
  parallel_tasks(static_cast<std::int64_t>(pieces.size()), [&](std::int64_t i) {
    const auto [matrix, begin] = pieces[static_cast<std::size_t>(i)];
    fill_piece(matrices[matrix], begin);
  });
}

}  // namespace

void Decoder::initialise(std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  auto parameters = named_parameters();
  const double residual_scale =
      1 / std::sqrt(2.0 * static_cast<double>(std::max<std::int64_t>(spec().num_layers, 1)));
  std::vector<Drawn> drawn;
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
    drawn.push_back({parameter.view({-1}), RandomStream({seed, Purpose::Initialise, place, 0, 0}),
                     static_cast<float>(deviation)});
  }
  fill_normal(drawn);
}

}  // namespace lathe
