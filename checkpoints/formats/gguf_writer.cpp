#include <algorithm>
#include <unordered_set>

#include "checkpoints/formats/gguf.h"
#include "data/io/hash.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr std::uint64_t kAlignment = 32;
constexpr std::size_t kWriteChunk = std::size_t{4} << 20;

std::uint64_t padded(std::uint64_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

// The head of a file, grown in memory: metadata and names are small beside the tensors.
class HeadWriter {
 public:
  template <class T>
  void put(T value) {
    const auto* bytes = reinterpret_cast<const char*>(&value);
    text_.append(bytes, sizeof value);
  }
  void text(const std::string& value) {
    put<std::uint64_t>(value.size());
    text_ += value;
  }
  void scalar(GgufKind kind, const Json& value);
  void value(const GgufValue& value);
  void pad() { text_.resize(padded(text_.size()), '\0'); }
  const std::string& bytes() const { return text_; }

 private:
  std::string text_;
};

void HeadWriter::scalar(GgufKind kind, const Json& value) {
  switch (kind) {
    case GgufKind::U8:
      return put(value.get<std::uint8_t>());
    case GgufKind::I8:
      return put(value.get<std::int8_t>());
    case GgufKind::U16:
      return put(value.get<std::uint16_t>());
    case GgufKind::I16:
      return put(value.get<std::int16_t>());
    case GgufKind::U32:
      return put(value.get<std::uint32_t>());
    case GgufKind::I32:
      return put(value.get<std::int32_t>());
    case GgufKind::F32:
      return put(value.get<float>());
    case GgufKind::Bool:
      return put<std::uint8_t>(value.get<bool>() ? 1 : 0);
    case GgufKind::String:
      return text(value.get_ref<const std::string&>());
    case GgufKind::U64:
      return put(value.get<std::uint64_t>());
    case GgufKind::I64:
      return put(value.get<std::int64_t>());
    case GgufKind::F64:
      return put(value.get<double>());
    case GgufKind::Array:
      break;
  }
  fail("an array of arrays cannot be written to GGUF");
}

void HeadWriter::value(const GgufValue& value) {
  put(static_cast<std::uint32_t>(value.kind));
  if (value.kind != GgufKind::Array) return scalar(value.kind, value.value);
  put(static_cast<std::uint32_t>(value.element));
  put<std::uint64_t>(value.value.size());
  for (const Json& item : value.value) scalar(value.element, item);
}

std::string head_of(const GgufMetadata& metadata, const std::vector<GgufTensor>& tensors,
                    const std::string& where) {
  HeadWriter head;
  head.put(kMagic);
  head.put<std::uint32_t>(3);
  head.put<std::uint64_t>(tensors.size());
  head.put<std::uint64_t>(metadata.size());
  std::unordered_set<std::string> names;
  for (const auto& [key, value] : metadata) {
    require(names.insert(key).second, where, ": key '", key, "' is there twice");
    head.text(key);
    head.value(value);
  }
  names.clear();
  std::uint64_t offset = 0;
  for (const GgufTensor& tensor : tensors) {
    require(names.insert(tensor.name).second, where, ": tensor '", tensor.name, "' is there twice");
    const GgmlTypeInfo& info = *ggml_type_info(tensor.type);
    require(!tensor.shape.empty() && static_cast<std::uint64_t>(tensor.shape.back()) % info.block == 0, where,
            ": tensor '", tensor.name, "' ", shape_text(tensor.shape), " is no whole blocks of ", info.name);
    head.text(tensor.name);
    head.put(static_cast<std::uint32_t>(tensor.shape.size()));
    for (std::size_t i = tensor.shape.size(); i-- > 0;) head.put(static_cast<std::uint64_t>(tensor.shape[i]));
    head.put(static_cast<std::uint32_t>(tensor.type));
    head.put(offset);
    offset += padded(tensor.byte_size());
  }
  head.pad();
  return head.bytes();
}

}  // namespace

std::string write_gguf(const std::string& path, const GgufMetadata& metadata,
                       const std::vector<GgufTensor>& tensors, FileSystem& fs) {
  const std::string head = head_of(metadata, tensors, path);
  const auto file = fs.create(path);
  Sha256 hash;
  const auto write = [&](std::span<const std::byte> bytes) {
    for (std::size_t at = 0; at < bytes.size(); at += kWriteChunk) {
      const auto chunk = bytes.subspan(at, std::min(kWriteChunk, bytes.size() - at));
      hash.update(chunk);
      file->write(chunk);
    }
  };
  write(std::as_bytes(std::span(head)));
  constexpr std::byte kZeros[kAlignment] = {};
  for (const GgufTensor& tensor : tensors) {
    const ByteBlock block = tensor.bytes();
    require(block.bytes.size() == tensor.byte_size(), path, ": tensor '", tensor.name, "' needs ",
            tensor.byte_size(), " bytes, its source gave ", block.bytes.size());
    write(block.bytes);
    write(std::span(kZeros).first(padded(block.bytes.size()) - block.bytes.size()));
  }
  file->sync();
  file->close();
  return hash.hex();
}

}  // namespace lathe
