// Any bytes as a safetensors header and as a file: either they are read or an Error is thrown, nothing else.
// With libFuzzer (clang -fsanitize=fuzzer,address,undefined), or compiled with -DLATHE_FUZZ_MAIN to replay
// the files given as arguments.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "checkpoints/formats/safetensors_header.h"
#include "recipes/schema/error.h"

namespace {

// A header that was accepted must cover its data exactly; anything else is a hole in the checks.
void check_accepted(const lathe::SafetensorsHeader& header, std::uint64_t data_bytes) {
  std::uint64_t at = 0;
  for (const lathe::HeaderTensor& tensor : header.tensors) {
    std::uint64_t bytes = lathe::dtype_size(tensor.dtype);
    for (const std::int64_t size : tensor.shape)
      if (size < 0 || __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes)) std::abort();
    if (tensor.begin != at || tensor.end - tensor.begin != bytes) std::abort();
    at = tensor.end;
  }
  if (at != data_bytes) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 8) return 0;
  std::uint64_t length = 0;
  std::memcpy(&length, data, 8);
  const std::string_view rest(reinterpret_cast<const char*>(data) + 8, size - 8);
  if (length > rest.size()) length = rest.size();  // headers longer than the file are refused before parsing
  const std::uint64_t data_bytes = rest.size() - length;
  try {
    check_accepted(lathe::parse_safetensors_header(rest.substr(0, length), data_bytes, "fuzz"), data_bytes);
  } catch (const lathe::Error&) {
    return 0;
  }
  return 0;
}

#ifdef LATHE_FUZZ_MAIN
int main(int count, char** names) {
  for (int i = 1; i < count; ++i) {
    std::ifstream in(names[i], std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  }
  std::printf("%d files replayed\n", count - 1);
  return 0;
}
#endif
