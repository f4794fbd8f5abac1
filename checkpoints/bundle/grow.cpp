#include "checkpoints/bundle/grow.h"

#include <algorithm>
#include <cstring>

#include "recipes/schema/error.h"

namespace lathe {
namespace {

// The mean of the first rows as one row of the tensor's own dtype.
std::vector<std::byte> mean_row(const BundleTensor& table, std::int64_t rows) {
  const ByteBlock block = convert_tensor(table, DType::F32).bytes();
  const auto* values = reinterpret_cast<const float*>(block.bytes.data());
  const auto width = static_cast<std::size_t>(table.shape[1]);
  std::vector<double> sum(width);
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::size_t c = 0; c < width; ++c)
      sum[c] += static_cast<double>(values[static_cast<std::size_t>(row) * width + c]);
  const auto mean = std::make_shared<std::vector<float>>(width);
  for (std::size_t c = 0; c < width; ++c) (*mean)[c] = static_cast<float>(sum[c] / static_cast<double>(rows));
  const BundleTensor row =
      memory_tensor("mean", DType::F32, {1, table.shape[1]}, {std::as_bytes(std::span(*mean)), mean});
  const ByteBlock rounded = convert_tensor(row, table.dtype).bytes();
  return {rounded.bytes.begin(), rounded.bytes.end()};
}

BundleTensor grown_table(const BundleTensor& table, std::int64_t first, std::int64_t count) {
  require(first > 0 && first <= table.shape[0], "tensor '", table.name, "' has ", table.shape[0],
          " rows; new tokens cannot begin at ", first);
  BundleTensor grown = table;
  grown.shape[0] = std::max(table.shape[0], first + count);
  grown.bytes = [table, first, count, size = grown.byte_size()] {
    const auto bytes = std::make_shared<std::vector<std::byte>>(size);
    const ByteBlock old = table.bytes();
    std::copy(old.bytes.begin(), old.bytes.end(), bytes->begin());
    const std::vector<std::byte> mean = mean_row(table, first);
    for (std::int64_t row = first; row < first + count; ++row)
      std::copy(mean.begin(), mean.end(),
                bytes->begin() + static_cast<std::ptrdiff_t>(row) * static_cast<std::ptrdiff_t>(mean.size()));
    return ByteBlock{*bytes, bytes};
  };
  return grown;
}

}  // namespace

Bundle grow_vocabulary(const Bundle& bundle, std::int64_t first, std::int64_t count) {
  if (count == 0) return bundle;
  Bundle grown = bundle;
  for (BundleTensor& tensor : grown.tensors)
    if (tensor.name == "model.embed_tokens.weight" || tensor.name == "lm_head.weight")
      tensor = grown_table(tensor, first, count);
  grown.spec.vocab_size = std::max(bundle.spec.vocab_size, first + count);
  grown.config["vocab_size"] = grown.spec.vocab_size;
  return grown;
}

}  // namespace lathe
