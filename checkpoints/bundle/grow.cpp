#include "checkpoints/bundle/grow.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "recipes/schema/error.h"

namespace lathe {
namespace {

// The mean of some rows as one row of the tensor's own dtype.
std::vector<std::byte> mean_row(const BundleTensor& table, const std::vector<std::int64_t>& rows) {
  const ByteBlock block = convert_tensor(table, DType::F32).bytes();
  const auto* values = reinterpret_cast<const float*>(block.bytes.data());
  const auto width = static_cast<std::size_t>(table.shape[1]);
  std::vector<double> sum(width);
  for (const std::int64_t row : rows)
    for (std::size_t c = 0; c < width; ++c)
      sum[c] += static_cast<double>(values[static_cast<std::size_t>(row) * width + c]);
  const auto mean = std::make_shared<std::vector<float>>(width);
  for (std::size_t c = 0; c < width; ++c)
    (*mean)[c] = static_cast<float>(sum[c] / static_cast<double>(rows.size()));
  const BundleTensor row =
      memory_tensor("mean", DType::F32, {1, table.shape[1]}, {std::as_bytes(std::span(*mean)), mean});
  const ByteBlock rounded = convert_tensor(row, table.dtype).bytes();
  return {rounded.bytes.begin(), rounded.bytes.end()};
}

// `table`, grown where it is too short, with rows from `first` on whose bytes `fresh` gives when they are
// read.
BundleTensor with_fresh_rows(const BundleTensor& table, std::int64_t first, std::int64_t count,
                             const std::function<std::vector<std::byte>()>& fresh) {
  require(first > 0 && first <= table.shape[0], "tensor '", table.name, "' has ", table.shape[0],
          " rows; new tokens cannot begin at ", first);
  BundleTensor grown = table;
  grown.shape[0] = std::max(table.shape[0], first + count);
  const std::size_t width = table.byte_size() / static_cast<std::size_t>(table.shape[0]);
  grown.bytes = [table, first, fresh, width, size = grown.byte_size()] {
    const auto bytes = std::make_shared<std::vector<std::byte>>(size);
    const ByteBlock old = table.bytes();
    std::copy(old.bytes.begin(), old.bytes.end(), bytes->begin());
    const std::vector<std::byte> rows = fresh();
    std::copy(rows.begin(), rows.end(),
              bytes->begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(first) * width));
    return ByteBlock{*bytes, bytes};
  };
  return grown;
}

}  // namespace

BundleTensor grown_table(const BundleTensor& table, std::int64_t first, std::int64_t count,
                         const std::vector<std::int64_t>& like) {
  return with_fresh_rows(table, first, count, [table, first, count, like] {
    std::vector<std::int64_t> rows = like;
    if (rows.empty()) {
      rows.resize(static_cast<std::size_t>(first));
      std::iota(rows.begin(), rows.end(), std::int64_t{0});
    }
    const std::vector<std::byte> mean = mean_row(table, rows);
    std::vector<std::byte> all;
    for (std::int64_t row = 0; row < count; ++row) all.insert(all.end(), mean.begin(), mean.end());
    return all;
  });
}

BundleTensor table_with_rows(const BundleTensor& table, std::int64_t first, const BundleTensor& rows) {
  require(rows.shape.size() == 2 && rows.shape[1] == table.shape[1], "rows of shape ", shape_text(rows.shape),
          " do not fit tensor '", table.name, "' of shape ", shape_text(table.shape));
  return with_fresh_rows(table, first, rows.shape[0], [table, rows] {
    const ByteBlock block = convert_tensor(rows, table.dtype).bytes();
    return std::vector<std::byte>(block.bytes.begin(), block.bytes.end());
  });
}

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
