#include "models/decoder/weights.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>

#include "recipes/schema/error.h"
#include "tests/catch.h"
#include "tests/unit/models/decoder/tiny.h"

using namespace lathe;

namespace {

std::vector<BundleTensor> tensors_of(const Decoder& decoder) {
  std::vector<BundleTensor> tensors;
  for (const auto& item : decoder.named_parameters()) tensors.push_back(from_tensor(item.name, item.tensor));
  return tensors;
}

}  // namespace

TEST_CASE("dtypes map both ways") {
  for (const DType dtype : {DType::F64, DType::F32, DType::F16, DType::BF16, DType::I64, DType::I32,
                            DType::I16, DType::I8, DType::U8, DType::Bool}) {
    CHECK(dtype_of(scalar_type(dtype)) == dtype);
    CHECK(c10::elementSize(scalar_type(dtype)) == dtype_size(dtype));
  }
  CHECK_THROWS_AS(dtype_of(at::kComplexFloat), Error);
}

TEST_CASE("tensors share their bytes") {
  at::Tensor source = at::arange(6, at::kFloat).view({2, 3});
  const BundleTensor stored = from_tensor("x", source);
  CHECK(stored.name == "x");
  CHECK(stored.shape == std::vector<std::int64_t>{2, 3});
  CHECK(stored.dtype == DType::F32);
  const at::Tensor view = to_tensor(stored);
  CHECK(view.const_data_ptr() == source.const_data_ptr());
  source[1][2] = 42;
  CHECK(view[1][2].item<float>() == 42);
  CHECK(at::equal(to_tensor(from_tensor("y", source.t())), source.t()));  // a view is made dense
  CHECK(to_tensor(from_tensor("z", at::empty({0, 4}))).sizes() == at::IntArrayRef({0, 4}));
}

TEST_CASE("loading copies, converts and names what does not fit") {
  const auto source = tiny::random_decoder(tiny::llama_spec());
  auto tensors = tensors_of(*source);
  Decoder target(tiny::llama_spec(), at::kBFloat16);
  load_parameters(target, tensors);
  const auto a = source->parameters(), b = target.parameters();
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(at::equal(a[i].to(at::kBFloat16), b[i]));

  const auto check_error = [&](const std::vector<BundleTensor>& given, const std::string& text) {
    CHECK_THROWS_WITH(load_parameters(target, given), lathe::testing::contains_text(text));
  };
  auto missing = tensors;
  missing.erase(missing.begin() + 2);
  check_error(missing, "'" + tensors[2].name + "' is missing");
  auto surplus = tensors;
  surplus.push_back(from_tensor("model.extra", at::ones({1})));
  check_error(surplus, "'model.extra' is not a parameter");
  auto twice = tensors;
  twice.push_back(tensors[0]);
  check_error(twice, "appears twice");
  auto shape = tensors;
  shape[0] = from_tensor(tensors[0].name, at::ones({61, 47}));
  check_error(shape, "wanted shape (61, 48), found (61, 47)");
}
