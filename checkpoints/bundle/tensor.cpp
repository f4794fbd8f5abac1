#include "checkpoints/bundle/tensor.h"

#include <array>
#include <utility>

#include "recipes/schema/error.h"

namespace lathe {

namespace {

struct DTypeRow {
  DType dtype;
  std::size_t size;
  std::string_view name;
};

constexpr std::array kDTypes = {
    DTypeRow{DType::F64, 8, "F64"},   DTypeRow{DType::F32, 4, "F32"}, DTypeRow{DType::F16, 2, "F16"},
    DTypeRow{DType::BF16, 2, "BF16"}, DTypeRow{DType::I64, 8, "I64"}, DTypeRow{DType::I32, 4, "I32"},
    DTypeRow{DType::I16, 2, "I16"},   DTypeRow{DType::I8, 1, "I8"},   DTypeRow{DType::U8, 1, "U8"},
    DTypeRow{DType::Bool, 1, "BOOL"},
};

// torch's names as config.json has them, and the short ones of recipes.
constexpr std::array<std::pair<std::string_view, DType>, 16> kOtherNames = {{
    {"float64", DType::F64},
    {"double", DType::F64},
    {"float32", DType::F32},
    {"float", DType::F32},
    {"fp32", DType::F32},
    {"float16", DType::F16},
    {"half", DType::F16},
    {"fp16", DType::F16},
    {"bfloat16", DType::BF16},
    {"bf16", DType::BF16},
    {"int64", DType::I64},
    {"int32", DType::I32},
    {"int16", DType::I16},
    {"int8", DType::I8},
    {"uint8", DType::U8},
    {"bool", DType::Bool},
}};

const DTypeRow& row(DType dtype) {
  for (const DTypeRow& r : kDTypes)
    if (r.dtype == dtype) return r;
  return kDTypes[0];
}

}  // namespace

std::size_t dtype_size(DType dtype) { return row(dtype).size; }

std::string_view dtype_name(DType dtype) { return row(dtype).name; }

std::string_view torch_dtype_name(DType dtype) {
  for (const auto& [name, value] : kOtherNames)
    if (value == dtype) return name;
  return {};
}

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const DTypeRow& r : kDTypes)
    if (r.name == name) return r.dtype;
  for (const auto& [other, dtype] : kOtherNames)
    if (other == name) return dtype;
  return std::nullopt;
}

std::size_t BundleTensor::element_count() const {
  std::size_t count = 1;
  for (const std::int64_t size : shape) count *= static_cast<std::size_t>(size);
  return count;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + ")";
}

BundleTensor memory_tensor(std::string name, DType dtype, std::vector<std::int64_t> shape, ByteBlock block) {
  BundleTensor tensor{std::move(name), dtype, std::move(shape), nullptr};
  require(block.bytes.size() == tensor.byte_size(), "tensor '", tensor.name, "': ", dtype_name(dtype), " ",
          shape_text(tensor.shape), " needs ", tensor.byte_size(), " bytes, ", block.bytes.size(),
          " were given");
  tensor.bytes = [block = std::move(block)] { return block; };
  return tensor;
}

}  // namespace lathe
