#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full_like.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "data/random/philox.h"
#include "tests/catch.h"
#include "tests/unit/models/decoder/tiny.h"

using namespace lathe;

namespace {

std::vector<at::Tensor> initialised(const DecoderSpec& spec, std::uint64_t seed, at::ScalarType dtype) {
  Decoder decoder(spec, dtype);
  decoder.initialise(seed);
  std::vector<at::Tensor> values;
  for (const at::Tensor& p : decoder.parameters()) values.push_back(p.detach().clone());
  return values;
}

}  // namespace

TEST_CASE("initial values are a function of seed and parameter") {
  DecoderSpec spec = tiny::gpt2_spec();
  spec.vocab_size = 3000;  // several pieces of work
  const auto a = initialised(spec, 17, at::kFloat), b = initialised(spec, 17, at::kFloat);
  const auto other = initialised(spec, 18, at::kFloat), narrow = initialised(spec, 17, at::kBFloat16);
  for (std::size_t i = 0; i < a.size(); ++i) {
    CHECK(at::equal(a[i], b[i]));
    CHECK(at::equal(a[i].to(at::kBFloat16), narrow[i]));
    if (a[i].dim() == 2) CHECK_FALSE(at::equal(a[i], other[i]));
  }
  CHECK_FALSE(at::equal(a[4], a[6]));  // q and k of the first layer have the same shape
}

TEST_CASE("an element is the draw of its own counter") {
  const DecoderSpec spec = tiny::llama_spec();
  Decoder decoder(spec, at::kFloat);
  decoder.initialise(5);
  const auto parameters = decoder.parameters();
  const RandomStream stream({5, Purpose::Initialise, /*site=*/2, 0, 0});
  const at::Tensor q = parameters[2].detach().flatten();
  for (const int i : {0, 1, 7, 3000}) CHECK(q[i].item<float>() == Approx(0.02F * stream.normal(i)));
}

TEST_CASE("deviations are those published") {
  DecoderSpec spec = tiny::gpt2_spec();
  spec.hidden_size = 192;
  spec.head_size = 48;
  spec.num_layers = 8;
  spec.initializer_range = 0.05;
  Decoder decoder(spec, at::kFloat);
  decoder.initialise(1);
  for (const auto& item : decoder.named_parameters()) {
    const std::string& name = item.name;
    const at::Tensor value = item.tensor.detach();
    if (value.dim() == 1) {
      const bool norm = name.find("norm.weight") != std::string::npos;
      CHECK(at::equal(value, at::full_like(value, norm ? 1.0 : 0.0)));
      continue;
    }
    const bool residual =
        name.find("o_proj") != std::string::npos || name.find("down_proj") != std::string::npos;
    const double wanted = residual ? 0.05 / std::sqrt(16.0) : 0.05;  // two additions a layer
    const double count = static_cast<double>(value.numel());
    CHECK(value.std().item<double>() == Approx(wanted).epsilon(5 / std::sqrt(2 * count)));
    CHECK(std::abs(value.mean().item<double>()) < 5 * wanted / std::sqrt(count));
  }
}
