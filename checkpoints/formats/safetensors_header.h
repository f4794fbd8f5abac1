#pragma once
// The JSON header of a safetensors file, parsed strictly and in one pass: memory stays in proportion to the
// text, and every refusal names the file and, where there is one, the tensor.
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoints/bundle/tensor.h"

namespace lathe {

inline constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the reference reader's cap
inline constexpr std::size_t kMaxHeaderTensors = 200'000, kMaxNameBytes = 1024, kMaxDimensions = 32;

struct HeaderTensor {
  std::string name;
  DType dtype = DType::F32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;  // in the data section
};

struct SafetensorsHeader {
  std::vector<HeaderTensor> tensors;  // sorted by place; they fill the data section without hole or overlap
  std::map<std::string, std::string> metadata;
};

// `data_bytes`: what follows the header in the file. `where` names the file.
SafetensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t data_bytes,
                                           const std::string& where);

// Error when a name is empty, longer than kMaxNameBytes or holds control characters.
void check_tensor_name(const std::string& name, const std::string& where);

}  // namespace lathe
