#include "checkpoints/formats/gguf.h"

#include <bit>
#include <cstring>
#include <limits>
#include <unordered_set>

#include "checkpoints/formats/block_rows.h"
#include "data/io/mapped_file.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr std::uint64_t kMaxKeys = 1 << 16, kMaxTensors = 1 << 18, kMaxKeyBytes = 1 << 16, kMaxDimensions = 4,
                        kMaxAlignment = 1 << 16, kMaxArray = std::uint64_t{1} << 26;
constexpr std::uint64_t kAlignment = 32;

constexpr const char* kKindNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                      "bool", "string", "array", "u64", "i64", "f64"};
constexpr std::uint64_t kKindBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

std::uint64_t padded(std::uint64_t size, std::uint64_t alignment) {
  return (size + alignment - 1) / alignment * alignment;
}

// Walks the head of a file; every step checks what is left first.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  template <class T>
  T take(const char* what) {
    need(sizeof(T), what);
    T value;
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  std::string text(std::uint64_t limit, const char* what) {
    const auto length = take<std::uint64_t>(what);
    require(length <= limit, where_, ": ", what, " of ", length, " bytes at byte ", at_, "; at most ", limit,
            " are allowed");
    need(length, what);
    std::string result(reinterpret_cast<const char*>(bytes_.data() + at_), length);
    at_ += length;
    return result;
  }
  void need(std::uint64_t count, const char* what) const {
    require(count <= bytes_.size() - at_, where_, ": cut off or damaged: ", what, " at byte ", at_, " needs ",
            count, " bytes, ", bytes_.size() - at_, " are left");
  }
  std::uint64_t left() const { return bytes_.size() - at_; }
  std::uint64_t at() const { return at_; }
  const std::string& where() const { return where_; }

 private:
  std::span<const std::byte> bytes_;
  const std::string& where_;
  std::uint64_t at_ = 0;
};

GgufKind read_kind(Cursor& cursor, const std::string& key) {
  const auto number = cursor.take<std::uint32_t>("a value's type");
  require(number < std::size(kKindNames), cursor.where(), ": key '", key,
          "' has a value of the unknown type ", number);
  return static_cast<GgufKind>(number);
}

Json read_scalar(Cursor& cursor, GgufKind kind, const std::string& key) {
  switch (kind) {
    case GgufKind::U8:
      return cursor.take<std::uint8_t>("a value");
    case GgufKind::I8:
      return cursor.take<std::int8_t>("a value");
    case GgufKind::U16:
      return cursor.take<std::uint16_t>("a value");
    case GgufKind::I16:
      return cursor.take<std::int16_t>("a value");
    case GgufKind::U32:
      return cursor.take<std::uint32_t>("a value");
    case GgufKind::I32:
      return cursor.take<std::int32_t>("a value");
    case GgufKind::F32:
      return cursor.take<float>("a value");
    case GgufKind::U64:
      return cursor.take<std::uint64_t>("a value");
    case GgufKind::I64:
      return cursor.take<std::int64_t>("a value");
    case GgufKind::F64:
      return cursor.take<double>("a value");
    case GgufKind::Bool: {
      const auto byte = cursor.take<std::uint8_t>("a value");
      require(byte <= 1, cursor.where(), ": key '", key, "' is a bool of value ", int{byte});
      return byte == 1;
    }
    case GgufKind::String:
      return cursor.text(std::numeric_limits<std::uint32_t>::max(), "a string");
    case GgufKind::Array:
      break;
  }
  fail(cursor.where(), ": key '", key, "' holds an array of arrays, which is not supported");
}

GgufValue read_value(Cursor& cursor, const std::string& key) {
  GgufValue value;
  value.kind = read_kind(cursor, key);
  if (value.kind != GgufKind::Array) {
    value.value = read_scalar(cursor, value.kind, key);
    return value;
  }
  value.element = read_kind(cursor, key);
  const auto count = cursor.take<std::uint64_t>("an array's length");
  const std::uint64_t each =
      value.element == GgufKind::String ? 8 : kKindBytes[static_cast<std::size_t>(value.element)];
  require(count <= kMaxArray, cursor.where(), ": key '", key, "' is an array of ", count, " values; at most ",
          kMaxArray, " are allowed");
  cursor.need(count * each, "an array");
  value.value = Json::array();
  for (std::uint64_t i = 0; i < count; ++i) value.value.push_back(read_scalar(cursor, value.element, key));
  return value;
}

struct TensorHead {
  GgufTensor tensor;
  std::uint64_t offset = 0;
};

TensorHead read_tensor_head(Cursor& cursor) {
  TensorHead head;
  head.tensor.name = cursor.text(kMaxKeyBytes, "a tensor's name");
  const std::string name = cat(cursor.where(), ": tensor '", head.tensor.name, "'");
  const auto dimensions = cursor.take<std::uint32_t>("a tensor's rank");
  require(dimensions >= 1 && dimensions <= kMaxDimensions, name, " has ", dimensions, " dimensions; 1 to ",
          kMaxDimensions, " are allowed");
  std::uint64_t count = 1;
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    const auto size = cursor.take<std::uint64_t>("a tensor's shape");
    require(size >= 1 && size <= (std::uint64_t{1} << 40) / count, name, " is impossibly large or empty");
    count *= size;
    head.tensor.shape.insert(head.tensor.shape.begin(), static_cast<std::int64_t>(size));
  }
  const auto type = cursor.take<std::uint32_t>("a tensor's type");
  head.tensor.type = static_cast<GgmlType>(type);
  const GgmlTypeInfo* info = ggml_type_info(head.tensor.type);
  require(info != nullptr, name, " has ggml's type ", type,
          ", which is not supported; supported are F32, F16, BF16, Q8_0, Q5_0, Q5_1, Q4_K, Q5_K and Q6_K");
  require(static_cast<std::uint64_t>(head.tensor.shape.back()) % info->block == 0, name, ": rows of ",
          head.tensor.shape.back(), " values are no whole blocks of ", info->name, " (", info->block, ")");
  head.offset = cursor.take<std::uint64_t>("a tensor's offset");
  return head;
}

std::uint64_t read_alignment(const GgufMetadata& metadata, const std::string& where) {
  const GgufValue* value = find_gguf(metadata, "general.alignment");
  if (!value) return kAlignment;
  require(value->kind == GgufKind::U32, where, ": general.alignment must be a u32");
  const auto alignment = value->value.get<std::uint64_t>();
  require(std::has_single_bit(alignment) && alignment <= kMaxAlignment, where, ": general.alignment is ",
          alignment, "; a power of two up to ", kMaxAlignment, " is wanted");
  return alignment;
}

// Tensors lie inside the file, aligned, in the order of their heads and apart from each other.
void place_tensors(GgufFile& file, const std::vector<TensorHead>& heads, const MappedFile& mapped,
                   std::uint64_t begin) {
  std::uint64_t end = 0;
  for (const TensorHead& head : heads) {
    const std::string name = cat(mapped.path(), ": tensor '", head.tensor.name, "'");
    const std::uint64_t size = head.tensor.byte_size();
    require(head.offset % file.alignment == 0, name, " begins at ", head.offset, ", which is not aligned to ",
            file.alignment);
    require(head.offset >= end, name, " overlaps the one before it");
    require(begin <= mapped.size() && head.offset <= mapped.size() - begin &&
                size <= mapped.size() - begin - head.offset,
            name, " ends at byte ", begin + head.offset + size, ", the file has ", mapped.size(),
            "; it is cut off or damaged");
    end = head.offset + size;
    GgufTensor tensor = head.tensor;
    const auto bytes = mapped.bytes().subspan(begin + head.offset, size);
    tensor.bytes = [bytes, owner = mapped.owner()] { return ByteBlock{bytes, owner}; };
    file.tensors.push_back(std::move(tensor));
  }
}

}  // namespace

const char* gguf_kind_name(GgufKind kind) { return kKindNames[static_cast<std::size_t>(kind)]; }

const GgufValue* find_gguf(const GgufMetadata& metadata, const std::string& key) {
  for (const auto& [name, value] : metadata)
    if (name == key) return &value;
  return nullptr;
}

std::uint64_t GgufTensor::element_count() const {
  std::uint64_t count = 1;
  for (const std::int64_t size : shape) count *= static_cast<std::uint64_t>(size);
  return count;
}

GgufFile read_gguf(const std::string& path) {
  const MappedFile mapped(path);
  Cursor cursor(mapped.bytes(), path);
  require(mapped.size() >= 24 && cursor.take<std::uint32_t>("the magic") == kMagic, path,
          ": not a GGUF file");
  GgufFile file;
  file.version = cursor.take<std::uint32_t>("the version");
  require(file.version == 2 || file.version == 3, path, ": GGUF version ", file.version,
          " is not supported (2 and 3 are; a big-endian file looks like another version)");
  const auto tensors = cursor.take<std::uint64_t>("the number of tensors"),
             keys = cursor.take<std::uint64_t>("the number of keys");
  require(tensors <= kMaxTensors && keys <= kMaxKeys, path, ": ", tensors, " tensors and ", keys,
          " keys; at most ", kMaxTensors, " and ", kMaxKeys, " are allowed");
  std::unordered_set<std::string> names;
  for (std::uint64_t i = 0; i < keys; ++i) {
    std::string key = cursor.text(kMaxKeyBytes, "a key");
    require(names.insert(key).second, path, ": key '", key, "' is there twice");
    GgufValue value = read_value(cursor, key);
    file.metadata.emplace_back(std::move(key), std::move(value));
  }
  file.alignment = read_alignment(file.metadata, path);
  names.clear();
  std::vector<TensorHead> heads;
  for (std::uint64_t i = 0; i < tensors; ++i) {
    heads.push_back(read_tensor_head(cursor));
    require(names.insert(heads.back().tensor.name).second, path, ": tensor '", heads.back().tensor.name,
            "' is there twice");
  }
  place_tensors(file, heads, mapped, padded(cursor.at(), file.alignment));
  return file;
}

BundleTensor widen_gguf(const GgufTensor& tensor) {
  BundleTensor wide{tensor.name, DType::F32, tensor.shape, tensor.bytes};
  if (tensor.type == GgmlType::F32) return wide;
  if (tensor.type == GgmlType::F16 || tensor.type == GgmlType::BF16) {
    wide.dtype = tensor.type == GgmlType::F16 ? DType::F16 : DType::BF16;
    return wide;
  }
  if (tensor.shape.size() == 2) {
    wide.bytes = BlockRows{tensor.type, tensor.shape[0], tensor.shape[1], tensor.bytes};
    return wide;
  }
  wide.bytes = [tensor] {
    const ByteBlock blocks = tensor.bytes();
    const auto values = std::make_shared<std::vector<float>>(tensor.element_count());
    ggml_dequantize(tensor.type, blocks.bytes.data(), *values);
    return ByteBlock{std::as_bytes(std::span(*values)), values};
  };
  return wide;
}

}  // namespace lathe
