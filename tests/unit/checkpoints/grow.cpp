#include "checkpoints/bundle/grow.h"

#include <cstring>

#include "support.h"
#include "tests/catch.h"

using namespace lathe;

namespace {

BundleTensor table_of(const std::string& name, DType dtype, const std::vector<std::vector<float>>& rows) {
  const auto values = std::make_shared<std::vector<float>>();
  for (const auto& row : rows) values->insert(values->end(), row.begin(), row.end());
  const auto width = static_cast<std::int64_t>(rows[0].size());
  return convert_tensor(memory_tensor(name, DType::F32, {static_cast<std::int64_t>(rows.size()), width},
                                      {std::as_bytes(std::span(*values)), values}),
                        dtype);
}

std::vector<float> floats_of(const BundleTensor& tensor) {
  const ByteBlock block = convert_tensor(tensor, DType::F32).bytes();
  std::vector<float> values(block.bytes.size() / sizeof(float));
  std::memcpy(values.data(), block.bytes.data(), block.bytes.size());
  return values;
}

Bundle bundle_of(DType dtype) {
  Bundle bundle;
  bundle.config = Json{{"vocab_size", 3}};
  bundle.spec.vocab_size = 3;
  bundle.tensors = {table_of("model.embed_tokens.weight", dtype, {{1, 2}, {3, 6}, {9, 9}}),
                    table_of("model.norm.weight", dtype, {{5, 5}}),
                    table_of("lm_head.weight", dtype, {{0, 4}, {2, 0}, {7, 7}})};
  return bundle;
}

}  // namespace

TEST_CASE(
    "new rows are the mean of those before them, padding rows are used first, and the rest keeps its bytes") {
  for (const DType dtype : {DType::F32, DType::BF16, DType::F16}) {
    const Bundle grown = grow_vocabulary(bundle_of(dtype), 2, 3);
    CHECK(grown.spec.vocab_size == 5);
    CHECK(grown.config["vocab_size"] == 5);
    CHECK(grown.tensors[0].shape == std::vector<std::int64_t>{5, 2});
    CHECK(grown.tensors[0].dtype == dtype);
    CHECK(floats_of(grown.tensors[0]) == std::vector<float>{1, 2, 3, 6, 2, 4, 2, 4, 2, 4});
    CHECK(floats_of(grown.tensors[1]) == std::vector<float>{5, 5});
    CHECK(floats_of(grown.tensors[2]) == std::vector<float>{0, 4, 2, 0, 1, 2, 1, 2, 1, 2});
  }
}

TEST_CASE("rows inside the matrix do not make it grow, none do nothing, and a gap is an error") {
  const Bundle grown = grow_vocabulary(bundle_of(DType::F32), 2, 1);
  CHECK(grown.spec.vocab_size == 3);
  CHECK(floats_of(grown.tensors[0]) == std::vector<float>{1, 2, 3, 6, 2, 4});
  CHECK(floats_of(grow_vocabulary(bundle_of(DType::F32), 3, 0).tensors[0]) ==
        floats_of(bundle_of(DType::F32).tensors[0]));
  CHECK_THROWS_AS(grow_vocabulary(bundle_of(DType::F32), 4, 1), Error);
}
