#include "models/ops/nf4.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/tensor.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "models/ops/launch.h"

namespace lathe {
namespace {

constexpr std::int64_t kBlock = 64, kNested = 256;

std::int64_t blocks_of(std::int64_t count, std::int64_t size) { return (count + size - 1) / size; }

// Seven decades of a sign, 1, 2, 4 ... 64 values each: middles of equal parts of [0.1, 1]. Then 0 and 1.
std::array<float, 256> make_dynamic_map() {
  std::array<float, 256> map{};
  std::size_t next = 0;
  for (int power = 0; power < 7; ++power) {
    const int parts = 1 << power;
    const double step = (1.0F - 0.1F) / static_cast<float>(parts);
    const auto edge =
        [&](int i) {  // from the nearer end and rounded once, as ATen's linspace does where there is FMA
          return static_cast<float>(i < (parts + 1) / 2 ? 0.1F + step * i : 1 - step * (parts - i));
        };
    for (int i = 0; i < parts; ++i) {
      const float middle = (edge(i) + edge(i + 1)) / 2 * static_cast<float>(std::pow(10.0, power - 6));
      map[next++] = middle;
      map[next++] = -middle;
    }
  }
  map[next++] = 0;
  map[next++] = 1;
  std::sort(map.begin(), map.end());
  return map;
}

const std::array<float, 256>& scale_map() {
  static const std::array<float, 256> map = make_dynamic_map();
  return map;
}

std::uint8_t nearest_code(float value) {
  const std::array<float, 256>& map = scale_map();
  const auto right = std::lower_bound(map.begin(), map.end(), value);
  if (right == map.begin()) return 0;
  if (right == map.end()) return 255;
  const auto index = static_cast<std::uint8_t>(right - map.begin());
  return *right - value < value - *(right - 1) ? index : static_cast<std::uint8_t>(index - 1);
}

// One thread's sum: with more its order, and so its last bit, would depend on how many there are.
float mean_of(const at::Tensor& values) {
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const float mean = values.mean().item<float>();
  at::set_num_threads(threads);
  return mean;
}

void quantise_scales(Nf4Matrix& matrix) {
  matrix.offset = mean_of(matrix.scales);
  const at::Tensor centred = matrix.scales - matrix.offset;
  const std::int64_t count = centred.numel();
  matrix.scale_codes = at::empty({count}, at::kByte);
  matrix.scales = at::empty({blocks_of(count, kNested)}, at::kFloat);
  const auto* from = centred.const_data_ptr<float>();
  auto* codes = matrix.scale_codes.data_ptr<std::uint8_t>();
  auto* scales = matrix.scales.data_ptr<float>();
  parallel_ranges(blocks_of(count, kNested), 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t first = block * kNested, last = std::min(count, first + kNested);
      float largest = 0;
      for (std::int64_t i = first; i < last; ++i) largest = std::max(largest, std::abs(from[i]));
      scales[block] = largest;
      const float inverse = largest > 0 ? 1 / largest : 0;
      for (std::int64_t i = first; i < last; ++i)
        codes[i] = largest > 0 ? nearest_code(from[i] * inverse) : std::uint8_t{0};
    }
  });
}

}  // namespace

std::int64_t Nf4Matrix::bytes() const {
  return static_cast<std::int64_t>(packed.nbytes() + scales.nbytes() +
                                   (scale_codes.defined() ? scale_codes.nbytes() : 0));
}

at::Tensor dynamic_map() {
  const std::array<float, 256>& map = scale_map();
  return at::tensor(at::ArrayRef<float>(map.data(), map.size()), at::kFloat);
}

Nf4Matrix nf4_quantise(const at::Tensor& weight, bool double_quantised) {
  require(weight.dim() == 2 && weight.is_contiguous(), "nf4_quantise: a dense matrix is wanted, found ",
          weight.sizes());
  const at::Tensor x = weight.scalar_type() == at::kHalf ? weight.to(at::kFloat) : weight;
  const kernels::OpKernels& table = kernels_for(x, "nf4_quantise");
  Nf4Matrix matrix{x.size(0), x.size(1), at::empty({(x.numel() + 1) / 2}, at::kByte), {}, {}, 0};
  const std::int64_t blocks = blocks_of(x.numel(), kBlock);
  matrix.scales = at::empty({blocks}, at::kFloat);
  const kernels::Nf4Quantise args{.x = x.const_data_ptr(),
                                  .packed = matrix.packed.data_ptr<std::uint8_t>(),
                                  .largest = matrix.scales.data_ptr<float>(),
                                  .count = x.numel()};
  parallel_ranges(blocks, kElementGrain / kBlock,
                  [&](std::int64_t begin, std::int64_t end) { table.nf4_quantise(args, begin, end); });
  require(at::isfinite(matrix.scales).all().item<bool>(),
          "a weight is not finite, so it cannot be quantised");
  if (double_quantised) quantise_scales(matrix);
  return matrix;
}

void nf4_dequantise(const Nf4Matrix& matrix, const at::Tensor& out) {
  require_shape(out, {matrix.rows, matrix.columns}, "nf4_dequantise", "out");
  require(out.is_contiguous(), "nf4_dequantise: a dense output is wanted");
  const kernels::OpKernels& table = kernels_for(out, "nf4_dequantise");
  const bool nested = matrix.scale_codes.defined();
  const kernels::Nf4Dequantise args{
      .packed = matrix.packed.const_data_ptr<std::uint8_t>(),
      .scale_codes = nested ? matrix.scale_codes.const_data_ptr<std::uint8_t>() : nullptr,
      .scale_table = scale_map().data(),
      .scales = matrix.scales.const_data_ptr<float>(),
      .out = out.data_ptr(),
      .count = out.numel(),
      .offset = matrix.offset};
  parallel_ranges(blocks_of(out.numel(), kBlock), kElementGrain / kBlock,
                  [&](std::int64_t begin, std::int64_t end) { table.nf4_dequantise(args, begin, end); });
}

at::Tensor nf4_dequantised(const Nf4Matrix& matrix, at::ScalarType type) {
  const at::Tensor out = at::empty({matrix.rows, matrix.columns}, type);
  nf4_dequantise(matrix, out);
  return out;
}

}  // namespace lathe
