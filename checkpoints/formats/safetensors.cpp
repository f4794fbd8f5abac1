#include "checkpoints/formats/safetensors.h"

#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "checkpoints/formats/safetensors_header.h"
#include "data/io/hash.h"
#include "data/io/json.h"
#include "data/io/mapped_file.h"

namespace lathe {

static_assert(std::endian::native == std::endian::little, "tensors are mapped as they lie in the file");

namespace {

constexpr std::size_t kWriteChunk = std::size_t{4} << 20;  // hashed and written while in the cache

std::uint64_t load_u64(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

// A mapped file that somebody shortens kills the process when its lost pages are touched: say so instead,
// where it is seen in time. A file that was replaced under its name keeps its mapping and is fine.
class SizeGuard {
 public:
  explicit SizeGuard(const MappedFile& file) : path_(file.path()), size_(file.size()) {
    if (stat(path_.c_str(), &before_) != 0) before_ = {};
  }
  void check() const {
    struct stat now = {};
    if (stat(path_.c_str(), &now) != 0 || now.st_ino != before_.st_ino || now.st_dev != before_.st_dev)
      return;
    require(static_cast<std::uint64_t>(now.st_size) >= size_, path_, ": was ", size_,
            " bytes long when it was opened and is ", now.st_size, " now; something shortened it");
  }

 private:
  std::string path_;
  std::uint64_t size_;
  struct stat before_ = {};
};

ByteBlock aligned_copy(std::span<const std::byte> bytes) {
  const std::shared_ptr<std::byte[]> copy = std::make_shared_for_overwrite<std::byte[]>(bytes.size());
  std::memcpy(copy.get(), bytes.data(), bytes.size());
  return {{copy.get(), bytes.size()}, copy};
}

// The reference writer sorts by alignment, others do not: consumers always get what their type needs.
BundleTensor mapped_tensor(const HeaderTensor& entry, std::span<const std::byte> data,
                           const std::shared_ptr<const MappedFile>& file,
                           const std::shared_ptr<const SizeGuard>& guard) {
  BundleTensor tensor{entry.name, entry.dtype, entry.shape, nullptr};
  const std::span<const std::byte> bytes = data.subspan(entry.begin, entry.end - entry.begin);
  const bool aligned = reinterpret_cast<std::uintptr_t>(bytes.data()) % dtype_size(entry.dtype) == 0;
  tensor.bytes = [bytes, file, guard, aligned] {
    guard->check();
    const std::shared_ptr<const void> lent = file->lend(bytes);
    return aligned ? ByteBlock{bytes, lent} : aligned_copy(bytes);
  };
  return tensor;
}

// The format allows no holes, so wide types come first: then each lies aligned. Equal ones keep their order.
std::vector<const BundleTensor*> file_order(const std::vector<BundleTensor>& tensors) {
  std::vector<const BundleTensor*> order;
  for (const BundleTensor& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const BundleTensor* a, const BundleTensor* b) {
    return dtype_size(a->dtype) > dtype_size(b->dtype);
  });
  return order;
}

std::string header_text(const std::vector<const BundleTensor*>& order,
                        const std::map<std::string, std::string>& metadata, const std::string& where) {
  Json head = Json::object();
  std::string text = "{";
  if (!metadata.empty()) text += "\"__metadata__\":" + Json(metadata).dump();
  std::unordered_set<std::string> names;
  std::uint64_t at = 0;
  for (const BundleTensor* tensor : order) {
    check_tensor_name(tensor->name, where);
    require(names.insert(tensor->name).second && tensor->name != "__metadata__", where, ": tensor name '",
            tensor->name, "' is there twice or reserved");
    const Json entry = {{"dtype", std::string(dtype_name(tensor->dtype))},
                        {"shape", tensor->shape},
                        {"data_offsets", {at, at + tensor->byte_size()}}};
    if (text.size() > 1) text += ',';
    text += Json(tensor->name).dump() + ':' + entry.dump();
    at += tensor->byte_size();
  }
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

// Writes and hashes in step.
class HashedFile {
 public:
  HashedFile(const std::string& path, FileSystem& fs) : file_(fs.create(path)) {}
  void write(std::span<const std::byte> bytes) {
    for (std::size_t at = 0; at < bytes.size(); at += kWriteChunk) {
      const auto chunk = bytes.subspan(at, std::min(kWriteChunk, bytes.size() - at));
      hash_.update(chunk);
      file_->write(chunk);
    }
  }
  std::string finish() {
    file_->sync();
    file_->close();
    return hash_.hex();
  }

 private:
  std::unique_ptr<FileSystem::File> file_;
  Sha256 hash_;
};

}  // namespace

SafetensorsFile read_safetensors(const std::string& path) {
  const auto mapped = std::make_shared<const MappedFile>(path);
  const MappedFile& file = *mapped;
  const std::span<const std::byte> bytes = file.bytes();
  require(bytes.size() >= 8, path, ": not a safetensors file: ", bytes.size(), " bytes, the shortest has 8");
  const std::uint64_t length = load_u64(bytes);
  require(length <= kMaxHeaderBytes, path, ": not a safetensors file: its header would be ", length,
          " bytes long, at most ", kMaxHeaderBytes, " are allowed");
  require(length <= bytes.size() - 8, path, ": its header would be ", length, " bytes long, the file has ",
          bytes.size(), "; it is cut off or damaged");
  const std::span<const std::byte> data = bytes.subspan(8 + length);
  const SafetensorsHeader header = parse_safetensors_header(file.text().substr(8, length), data.size(), path);

  SafetensorsFile result{{}, header.metadata};
  const auto guard = std::make_shared<const SizeGuard>(file);
  for (const HeaderTensor& entry : header.tensors)
    result.tensors.push_back(mapped_tensor(entry, data, mapped, guard));
  return result;
}

std::string write_safetensors(const std::string& path, const std::vector<BundleTensor>& tensors,
                              const std::map<std::string, std::string>& metadata, FileSystem& fs) {
  const std::vector<const BundleTensor*> order = file_order(tensors);
  const std::string header = header_text(order, metadata, path);
  const std::uint64_t length = header.size();
  require(length <= kMaxHeaderBytes, path, ": the names of its tensors need ", length, " bytes, at most ",
          kMaxHeaderBytes, " are allowed");
  HashedFile file(path, fs);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(std::as_bytes(std::span(header)));
  for (const BundleTensor* tensor : order) {
    const ByteBlock block = tensor->bytes();
    require(block.bytes.size() == tensor->byte_size(), path, ": tensor '", tensor->name,
            "': ", dtype_name(tensor->dtype), " ", shape_text(tensor->shape), " needs ", tensor->byte_size(),
            " bytes, its source gave ", block.bytes.size());
    file.write(block.bytes);
  }
  return file.finish();
}

}  // namespace lathe
