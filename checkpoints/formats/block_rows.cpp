#include "checkpoints/formats/block_rows.h"

#include <vector>

namespace lathe {

ByteBlock BlockRows::operator()() const {
  const auto values = std::make_shared<std::vector<float>>(static_cast<std::size_t>(rows * columns));
  if (from)
    reader()(0, rows, values->data());
  else
    ggml_dequantize(type, blocks().bytes.data(), *values);
  return ByteBlock{std::as_bytes(std::span(*values)), values};
}

RowReader BlockRows::reader() const {
  const auto width = static_cast<std::uint64_t>(columns);
  const auto one = [type = type, width, size = ggml_bytes(type, width), kept = blocks()](
                       std::int64_t begin, std::int64_t count, float* out) {
    ggml_dequantize(type, kept.bytes.data() + static_cast<std::uint64_t>(begin) * size,
                    {out, static_cast<std::uint64_t>(count) * width}, /*threads=*/1);
  };
  if (!from) return one;
  return [one, from = from, width](std::int64_t begin, std::int64_t count, float* out) {
    for (std::int64_t i = 0; i < count; ++i)
      one(from(begin + i), 1, out + static_cast<std::uint64_t>(i) * width);
  };
}

const BlockRows* block_rows(const BundleTensor& tensor) { return tensor.bytes.target<BlockRows>(); }

}  // namespace lathe
