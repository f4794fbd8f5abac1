#include "models/decoder/weights.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <array>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "checkpoints/formats/block_rows.h"
#include "models/layers/embedding.h"
#include "models/ops/nf4.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr std::array<std::pair<DType, at::ScalarType>, 10> kTypes = {{{DType::F64, at::kDouble},
                                                                      {DType::F32, at::kFloat},
                                                                      {DType::F16, at::kHalf},
                                                                      {DType::BF16, at::kBFloat16},
                                                                      {DType::I64, at::kLong},
                                                                      {DType::I32, at::kInt},
                                                                      {DType::I16, at::kShort},
                                                                      {DType::I8, at::kChar},
                                                                      {DType::U8, at::kByte},
                                                                      {DType::Bool, at::kBool}}};

using Holder = std::function<void(const BundleTensor&)>;

template <class Layer>
Holder holder(const std::shared_ptr<Layer>& layer) {
  return [layer](const BundleTensor& tensor) {
    const BlockRows* kept = block_rows(tensor);
    if (!kept) return layer->hold(to_tensor(tensor));
    layer->hold(std::make_shared<const BlockMatrix>(BlockMatrix{kept->rows, kept->columns, kept->reader()}));
  };
}

// What takes the values of a frozen matrix, by the names of the weights.
std::map<std::string, Holder> frozen_matrices(const Decoder& decoder) {
  std::map<std::string, Holder> matrices;
  for (const auto& [path, part] : decoder.named_modules()) {
    const std::string name = path + ".weight";
    if (const auto linear = std::dynamic_pointer_cast<Linear>(part); linear && linear->frozen())
      matrices[name] = holder(linear);
    if (const auto table = std::dynamic_pointer_cast<Embedding>(part); table && table->frozen())
      matrices[name] = holder(table);
  }
  return matrices;
}

std::string shape_text(at::IntArrayRef shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + ")";
}

}  // namespace

at::ScalarType scalar_type(DType dtype) {
  for (const auto& [ours, theirs] : kTypes) {
    if (ours == dtype) return theirs;
  }
  fail("dtype ", static_cast<int>(dtype), " has no tensor type");
}

DType dtype_of(at::ScalarType type) {
  for (const auto& [ours, theirs] : kTypes) {
    if (theirs == type) return ours;
  }
  fail("a tensor of type ", c10::toString(type), " cannot be stored");
}

at::Tensor to_tensor(const BundleTensor& tensor) {
  const ByteBlock block = tensor.bytes();
  require(block.bytes.size() == tensor.byte_size(), "tensor '", tensor.name, "': wanted ", tensor.byte_size(),
          " bytes, found ", block.bytes.size());
  const at::ScalarType type = scalar_type(tensor.dtype);
  if (tensor.element_count() == 0) return at::empty(tensor.shape, type);
  auto* data = const_cast<std::byte*>(block.bytes.data());
  return at::from_blob(
      data, tensor.shape, [owner = block.owner](void*) {}, at::TensorOptions(type));
}

BundleTensor from_tensor(const std::string& name, const at::Tensor& tensor) {
  const auto held = std::make_shared<const at::Tensor>(tensor.detach().cpu().contiguous());
  const std::span<const std::byte> bytes(static_cast<const std::byte*>(held->const_data_ptr()),
                                         held->nbytes());
  return memory_tensor(name, dtype_of(held->scalar_type()), held->sizes().vec(), {bytes, held});
}

std::shared_ptr<Decoder> build_decoder(const Bundle& bundle, const LinearStorage& storage) {
  auto decoder = std::make_shared<Decoder>(bundle.spec, storage);
  try {
    load_parameters(*decoder, bundle.tensors);
  } catch (const Error& e) {
    throw Error(cat(bundle.origin, ": ", e.what()), e.code());
  }
  return decoder;
}

void load_parameters(Decoder& decoder, const std::vector<BundleTensor>& tensors) {
  const at::NoGradGuard no_grad;
  auto parameters = decoder.named_parameters();
  const auto frozen = frozen_matrices(decoder);
  std::set<std::string> seen;
  for (const BundleTensor& tensor : tensors) {
    at::Tensor* parameter = parameters.find(tensor.name);
    require(parameter != nullptr, "tensor '", tensor.name, "' is not a parameter of this model");
    require(parameter->sizes() == at::IntArrayRef(tensor.shape), "tensor '", tensor.name, "': wanted shape ",
            shape_text(parameter->sizes()), ", found ", shape_text(tensor.shape));
    require(seen.insert(tensor.name).second, "tensor '", tensor.name, "' appears twice");
    const auto matrix = frozen.find(tensor.name);
    if (matrix == frozen.end()) {
      parameter->copy_(to_tensor(tensor));
      continue;
    }
    try {
      matrix->second(tensor);
    } catch (const Error& e) {
      throw Error(cat("tensor '", tensor.name, "': ", e.what()), e.code());
    }
  }
  for (const auto& item : parameters)
    require(seen.count(item.name) > 0, "tensor '", item.name, "' is missing");
}

}  // namespace lathe
