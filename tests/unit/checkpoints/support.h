#pragma once
// Small tensors for the tests of checkpoints.
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "checkpoints/bundle/bundle.h"
#include "tests/catch.h"
#include "tests/temporary_folder.h"

namespace lathe {

template <class T>
ByteBlock block_of(const std::vector<T>& values) {
  const auto copy = std::make_shared<std::vector<T>>(values);
  return {std::as_bytes(std::span(*copy)), copy};
}
inline BundleTensor floats(const std::string& name, std::vector<std::int64_t> shape,
                           const std::vector<float>& values) {
  return memory_tensor(name, DType::F32, std::move(shape), block_of(values));
}
// 0, 1, 2 ... plus start
inline BundleTensor counting(const std::string& name, std::vector<std::int64_t> shape, float start = 0) {
  std::size_t count = 1;
  for (const auto size : shape) count *= static_cast<std::size_t>(size);
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = start + static_cast<float>(i);
  return floats(name, std::move(shape), values);
}
template <class T = float>
std::vector<T> values_of(const BundleTensor& tensor) {
  const ByteBlock block = tensor.bytes();
  std::vector<T> values(block.bytes.size() / sizeof(T));
  std::memcpy(values.data(), block.bytes.data(), values.size() * sizeof(T));
  return values;
}
inline const BundleTensor& find_tensor(const std::vector<BundleTensor>& tensors, const std::string& name) {
  for (const BundleTensor& tensor : tensors)
    if (tensor.name == name) return tensor;
  FAIL("no tensor " << name);
  return tensors.front();
}

// The text of the Error that body throws; fails when it throws none.
template <class Body>
std::string error_of(Body&& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  FAIL("no error was thrown");
  return {};
}

// u64 length, header, data
inline std::string safetensors_bytes(const std::string& header, const std::string& data = "") {
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

}  // namespace lathe
