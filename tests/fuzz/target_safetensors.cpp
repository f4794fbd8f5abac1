// A safetensors file: what its header declares must cover the data exactly, and every tensor must be
// readable.
#include <cstdint>
#include <cstring>

#include "checkpoints/formats/safetensors.h"
#include "checkpoints/formats/safetensors_header.h"
#include "tests/fuzz/target.h"

namespace lathe::fuzz {
namespace {

void check_accepted(const SafetensorsHeader& header, std::uint64_t data_bytes) {
  std::uint64_t at = 0;
  for (const HeaderTensor& tensor : header.tensors) {
    std::uint64_t bytes = dtype_size(tensor.dtype);
    bool empty = false;
    for (const std::int64_t size : tensor.shape) {
      promise(size >= 0);
      empty = empty || size == 0;
    }
    for (const std::int64_t size : tensor.shape)
      promise(empty || !__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes));
    promise(tensor.begin == at && tensor.end - tensor.begin == (empty ? 0 : bytes));
    at = tensor.end;
  }
  promise(at == data_bytes);
}

void run(std::string_view bytes) {
  static const InputFolder folder;
  std::uint64_t length = 0;
  if (bytes.size() >= 8) std::memcpy(&length, bytes.data(), 8);
  if (bytes.size() >= 8 && length <= bytes.size() - 8) {
    const std::uint64_t data_bytes = bytes.size() - 8 - length;
    check_accepted(parse_safetensors_header(bytes.substr(8, length), data_bytes, "fuzz"), data_bytes);
  }
  for (const BundleTensor& tensor : read_safetensors(folder.put("x.safetensors", bytes)).tensors)
    promise(tensor.bytes().bytes.size() == tensor.byte_size());
}

std::string file_of(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + std::string(data_bytes, '\x3f');
}

std::vector<std::string> seeds() {
  const std::string two =
      R"({"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"BF16","shape":[],"data_offsets":[8,10]},"__metadata__":{"format":"pt"}})";
  std::string many = "{";
  for (int i = 0; i < 40; ++i)
    many += (i ? ",\"t" : "\"t") + std::to_string(i) + R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" +
            std::to_string(i) + "," + std::to_string(i + 1) + "]}";
  return {file_of(two, 10),
          file_of(many + "}", 40),
          file_of("{}   ", 0),
          file_of(R"({"e":{"dtype":"F64","shape":[0,9223372036854775807],"data_offsets":[0,0]}})", 0),
          file_of(two, 9),
          file_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12),
          file_of(R"({"a":{"shape":[4294967296,4294967296],"dtype":"F32","data_offsets":[0,0]}})", 0),
          std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10),
          std::string(8, '\xff')};
}

}  // namespace

Target safetensors_target() {
  return {
      "safetensors",
      run,
      seeds,
      {"\"dtype\"", "\"shape\"", "\"data_offsets\"", "__metadata__", "\"F32\"", "\"BF16\"", "[0,8]", "[8,10]",
       "9223372036854775807", "18446744073709551615", "-1", "[]", "{}", "\\u0000", std::string(8, '\0')},
      50000};
}

}  // namespace lathe::fuzz
