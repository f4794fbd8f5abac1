#include "checkpoints/formats/peft_fused.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace lathe {
namespace {

constexpr const char* kA = ".lora_A.weight";
constexpr const char* kB = ".lora_B.weight";
constexpr const char* kMagnitude = ".lora_magnitude_vector.weight";

// A (rows, columns) block of raw elements.
struct Matrix {
  DType dtype = DType::F32;
  std::int64_t rows = 0, columns = 0;
  std::vector<std::byte> bytes;

  Matrix(DType type, std::int64_t height, std::int64_t width)
      : dtype(type),
        rows(height),
        columns(width),
        bytes(static_cast<std::size_t>(height * width) * dtype_size(type)) {}
  std::byte* at(std::int64_t row, std::int64_t column) {
    return bytes.data() + static_cast<std::size_t>(row * columns + column) * dtype_size(dtype);
  }
  bool is_zero() const {
    return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; });
  }
};

// Vectors are one column.
Matrix matrix_of(const BundleTensor& tensor) {
  Matrix matrix(tensor.dtype, tensor.shape.at(0), tensor.shape.size() > 1 ? tensor.shape[1] : 1);
  const ByteBlock block = tensor.bytes();
  require(block.bytes.size() == matrix.bytes.size(), "tensor '", tensor.name,
          "' has another size than its shape says");
  std::copy(block.bytes.begin(), block.bytes.end(), matrix.bytes.begin());
  return matrix;
}

BundleTensor tensor_of(std::string name, Matrix matrix, bool vector = false) {
  std::vector<std::int64_t> shape = {matrix.rows, matrix.columns};
  if (vector) shape.pop_back();
  const auto kept = std::make_shared<std::vector<std::byte>>(std::move(matrix.bytes));
  return memory_tensor(std::move(name), matrix.dtype, std::move(shape),
                       {std::span<const std::byte>(*kept), kept});
}

// Copies `from` whole to (row, column) of `to`.
void put(Matrix from, Matrix& to, std::int64_t row, std::int64_t column) {
  require(from.dtype == to.dtype && row + from.rows <= to.rows && column + from.columns <= to.columns,
          "parts of a fused adapter differ in dtype or rank");
  const std::size_t bytes = static_cast<std::size_t>(from.columns) * dtype_size(from.dtype);
  for (std::int64_t i = 0; i < from.rows; ++i) std::memcpy(to.at(row + i, column), from.at(i, 0), bytes);
}

Matrix cut(Matrix& from, std::int64_t row, std::int64_t rows, std::int64_t column, std::int64_t columns) {
  Matrix out(from.dtype, rows, columns);
  const std::size_t bytes = static_cast<std::size_t>(columns) * dtype_size(from.dtype);
  for (std::int64_t i = 0; i < rows; ++i) std::memcpy(out.at(i, 0), from.at(row + i, column), bytes);
  return out;
}

const BundleTensor* find(const std::vector<BundleTensor>& tensors, const std::string& name) {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const BundleTensor& t) { return t.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

std::int64_t sum(const std::vector<std::int64_t>& values) {
  return std::accumulate(values.begin(), values.end(), std::int64_t{0});
}

std::string without_weight(const std::string& name) {
  const std::string end = ".weight";
  return name.ends_with(end) ? name.substr(0, name.size() - end.size()) : name;
}

}  // namespace

std::vector<FusedModule> fused_modules(const Family& family, const DecoderSpec& spec) {
  std::vector<FusedModule> modules;
  const std::vector<ParameterInfo> parameters = decoder_parameters(spec);
  for (const NameRule& rule : family.names(spec)) {
    if (rule.internal.size() < 2 || !rule.on_disk.ends_with(".weight")) continue;
    FusedModule module{without_weight(rule.on_disk), {}, {}};
    for (const std::string& name : rule.internal) {
      const auto info = std::find_if(parameters.begin(), parameters.end(),
                                     [&](const ParameterInfo& parameter) { return parameter.name == name; });
      require(info != parameters.end(), "no parameter '", name, "'");
      module.parts.push_back(without_weight(name));
      module.rows.push_back(info->shape.at(0));
    }
    modules.push_back(std::move(module));
  }
  return modules;
}

std::vector<BundleTensor> fuse_parts(const FusedModule& module, const std::vector<BundleTensor>& adapter) {
  const BundleTensor* some = nullptr;
  std::size_t magnitudes = 0;
  for (const std::string& part : module.parts) {
    if (const BundleTensor* a = find(adapter, part + kA)) some = a;
    magnitudes += find(adapter, part + kMagnitude) ? 1 : 0;
  }
  if (!some) return {};
  require(magnitudes == 0 || magnitudes == module.parts.size(), "DoRA on some parts of '", module.on_disk,
          "' only cannot be written for PEFT; target all of them (", module.parts.front(),
          " ...) or use kind: lora");
  const std::int64_t rank = some->shape.at(0), count = static_cast<std::int64_t>(module.parts.size());
  Matrix a(some->dtype, count * rank, some->shape.at(1)), b(some->dtype, sum(module.rows), count * rank),
      magnitude(some->dtype, sum(module.rows), 1);
  std::int64_t row = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::string& part = module.parts[static_cast<std::size_t>(i)];
    if (const BundleTensor* tensor = find(adapter, part + kA)) put(matrix_of(*tensor), a, i * rank, 0);
    if (const BundleTensor* tensor = find(adapter, part + kB)) put(matrix_of(*tensor), b, row, i * rank);
    if (const BundleTensor* tensor = find(adapter, part + kMagnitude))
      put(matrix_of(*tensor), magnitude, row, 0);
    row += module.rows[static_cast<std::size_t>(i)];
  }
  std::vector<BundleTensor> out = {tensor_of(module.on_disk + kA, std::move(a)),
                                   tensor_of(module.on_disk + kB, std::move(b))};
  if (magnitudes > 0) out.push_back(tensor_of(module.on_disk + kMagnitude, std::move(magnitude), true));
  return out;
}

std::vector<BundleTensor> split_parts(const FusedModule& module, const std::vector<BundleTensor>& adapter,
                                      std::int64_t rank, const std::string& where) {
  const BundleTensor *a_tensor = find(adapter, module.on_disk + kA),
                     *b_tensor = find(adapter, module.on_disk + kB),
                     *magnitude_tensor = find(adapter, module.on_disk + kMagnitude);
  if (!a_tensor && !b_tensor && !magnitude_tensor) return {};
  require(a_tensor && b_tensor, where, ": '", module.on_disk, "' lacks lora_A or lora_B");
  const std::int64_t count = static_cast<std::int64_t>(module.parts.size()), rows = sum(module.rows);
  const bool sizes = a_tensor->shape.size() == 2 && b_tensor->shape.size() == 2 &&
                     b_tensor->shape[0] == rows && a_tensor->shape[0] == b_tensor->shape[1];
  const bool shared = sizes && a_tensor->shape[0] == rank,
             diagonal = sizes && a_tensor->shape[0] == count * rank;
  require(shared || diagonal, where, ": '", module.on_disk, "' has factors of shapes ",
          shape_text(a_tensor->shape), " and ", shape_text(b_tensor->shape), "; the base and r = ", rank,
          " want rank ", rank, " or ", count * rank);
  const bool norms = !magnitude_tensor || magnitude_tensor->shape == std::vector<std::int64_t>{rows};
  require(norms, where, ": '", module.on_disk, "' has another number of magnitudes than rows (", rows, ")");
  Matrix a = matrix_of(*a_tensor), b = matrix_of(*b_tensor);
  std::vector<BundleTensor> out;
  std::int64_t row = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::string& part = module.parts[static_cast<std::size_t>(i)];
    const std::int64_t height = module.rows[static_cast<std::size_t>(i)], column = shared ? 0 : i * rank;
    for (std::int64_t j = 0; diagonal && j < count; ++j) {
      require(j == i || cut(b, row, height, j * rank, rank).is_zero(), where, ": '", module.on_disk,
              "' mixes its parts in factors of rank ", count * rank,
              ", which is not supported; merge the adapter with PEFT first");
    }
    Matrix own_a = cut(a, column, rank, 0, a.columns), own_b = cut(b, row, height, column, rank);
    const bool adapted = shared || magnitude_tensor || !own_a.is_zero() || !own_b.is_zero();
    if (adapted) {
      out.push_back(tensor_of(part + kA, std::move(own_a)));
      out.push_back(tensor_of(part + kB, std::move(own_b)));
    }
    if (magnitude_tensor) {
      Matrix all = matrix_of(*magnitude_tensor);
      out.push_back(tensor_of(part + kMagnitude, cut(all, row, height, 0, 1), true));
    }
    row += height;
  }
  return out;
}

}  // namespace lathe
