// Internal tensors <-> on-disk tensors by a family's name rules. Everything is lazy: a part of a fused tensor
// is cut out, transposed or put together when its bytes are asked for, one tensor at a time.
#include "checkpoints/bundle/bundle.h"

#include <cstring>
#include <set>
#include <utility>

namespace lathe {

namespace {

using Shape = std::vector<std::int64_t>;

std::int64_t elements(const Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

std::map<std::string, Shape> shapes_of(const DecoderSpec& spec) {
  std::map<std::string, Shape> shapes;
  for (ParameterInfo& info : decoder_parameters(spec))
    shapes.emplace(std::move(info.name), std::move(info.shape));
  return shapes;
}

// out (columns, rows) = in (rows, columns)[:, begin : begin + columns], elements of `size` bytes. Small tiles
// keep both sides in the cache.
struct TransposeJob {
  std::size_t rows, columns, row_stride, out_stride, size;
};
void transpose(const std::byte* in, std::byte* out, const TransposeJob& job) {
  constexpr std::size_t kTile = 32;
  for (std::size_t r0 = 0; r0 < job.rows; r0 += kTile)
    for (std::size_t c0 = 0; c0 < job.columns; c0 += kTile)
      for (std::size_t r = r0; r < std::min(r0 + kTile, job.rows); ++r)
        for (std::size_t c = c0; c < std::min(c0 + kTile, job.columns); ++c)
          std::memcpy(out + (c * job.out_stride + r) * job.size, in + (r * job.row_stride + c) * job.size,
                      job.size);
}

std::shared_ptr<std::byte[]> new_bytes(std::size_t size) {
  return std::make_shared_for_overwrite<std::byte[]>(size);
}

// Rows [begin, begin + shape[0]) of the tensor as it is meant (output features first).
BundleTensor cut_part(const BundleTensor& whole, std::string name, const Shape& shape, std::int64_t begin,
                      std::int64_t total, bool transposed) {
  BundleTensor part{std::move(name), whole.dtype, shape, nullptr};
  const std::size_t size = dtype_size(whole.dtype), bytes = part.byte_size();
  const auto rows = static_cast<std::size_t>(shape[0]);
  const std::size_t columns = static_cast<std::size_t>(elements(shape)) / rows;
  if (!transposed) {
    if (rows == static_cast<std::size_t>(total)) {
      part.bytes = whole.bytes;
      return part;
    }
    part.bytes = [source = whole.bytes, offset = static_cast<std::size_t>(begin) * columns * size, bytes] {
      const ByteBlock block = source();
      return ByteBlock{block.bytes.subspan(offset, bytes), block.owner};
    };
    return part;
  }
  const TransposeJob job{columns, rows, static_cast<std::size_t>(total), columns, size};
  part.bytes = [source = whole.bytes, job, offset = static_cast<std::size_t>(begin) * size, bytes] {
    const ByteBlock block = source();
    const auto out = new_bytes(bytes);
    transpose(block.bytes.data() + offset, out.get(), job);
    return ByteBlock{{out.get(), bytes}, out};
  };
  return part;
}

// The parts one after the other along output features, transposed when stored so.
BundleTensor join_parts(std::string name, const std::vector<BundleTensor>& parts, bool transposed) {
  if (parts.size() == 1 && !transposed) {
    BundleTensor same = parts[0];
    same.name = std::move(name);
    return same;
  }
  Shape shape = parts[0].shape;
  shape[0] = 0;
  for (const BundleTensor& part : parts) shape[0] += part.shape[0];
  const auto total = static_cast<std::size_t>(shape[0]);
  if (transposed) std::swap(shape.at(0), shape.at(1));
  BundleTensor joined{std::move(name), parts[0].dtype, shape, nullptr};
  const std::size_t bytes = joined.byte_size(), size = dtype_size(joined.dtype);
  joined.bytes = [parts, transposed, total, bytes, size] {
    const auto out = new_bytes(bytes);
    std::size_t row = 0;
    for (const BundleTensor& part : parts) {
      const ByteBlock block = part.bytes();
      require(block.bytes.size() == part.byte_size(), "tensor '", part.name, "': its source gave ",
              block.bytes.size(), " bytes, wanted ", part.byte_size());
      const auto rows = static_cast<std::size_t>(part.shape[0]);
      const std::size_t columns = part.element_count() / rows;
      if (transposed)
        transpose(block.bytes.data(), out.get() + row * size, {rows, columns, columns, total, size});
      else
        std::memcpy(out.get() + row * columns * size, block.bytes.data(), block.bytes.size());
      row += rows;
    }
    return ByteBlock{{out.get(), bytes}, out};
  };
  return joined;
}

// What a rule's tensor must look like on disk.
Shape disk_shape(const NameRule& rule, const std::map<std::string, Shape>& shapes) {
  Shape shape = shapes.at(rule.internal.at(0));
  shape[0] = 0;
  for (const std::string& name : rule.internal) shape[0] += shapes.at(name)[0];
  if (rule.transposed) std::swap(shape.at(0), shape.at(1));
  return shape;
}

bool is_floating(DType dtype) {
  return dtype == DType::F64 || dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16;
}

void check_part(const BundleTensor& tensor, const Shape& wanted, const std::string& where) {
  require(tensor.shape == wanted, where, ": tensor '", tensor.name, "' has shape ", shape_text(tensor.shape),
          ", config.json wants ", shape_text(wanted));
  require(is_floating(tensor.dtype), where, ": tensor '", tensor.name, "' is ", dtype_name(tensor.dtype),
          ", wanted F32, BF16, F16 or F64");
}

std::map<std::string, BundleTensor>::node_type take(std::map<std::string, BundleTensor>& on_disk,
                                                    const NameRule& rule) {
  auto node = on_disk.extract(rule.on_disk);
  for (std::size_t i = 0; node.empty() && i < rule.aliases.size(); ++i)
    node = on_disk.extract(rule.aliases[i]);
  return node;
}

bool same_bytes(const BundleTensor& a, const BundleTensor& b) {
  if (a.dtype != b.dtype || a.shape != b.shape) return false;
  const ByteBlock x = a.bytes(), y = b.bytes();
  return x.bytes.size() == y.bytes.size() && std::memcmp(x.bytes.data(), y.bytes.data(), x.bytes.size()) == 0;
}

// Some writers store a tied head as well. It must be the embedding, or the model would not be the one that
// was saved.
void drop_tied_head(std::map<std::string, BundleTensor>& on_disk,
                    const std::map<std::string, BundleTensor>& found, const std::string& where) {
  const auto head = on_disk.extract("lm_head.weight");
  if (head.empty()) return;
  require(same_bytes(head.mapped(), found.at("model.embed_tokens.weight")), where,
          ": config.json ties the head to the "
          "embedding (tie_word_embeddings), but tensor 'lm_head.weight' is there and differs from it; set "
          "tie_word_embeddings to false to load it");
}

}  // namespace

std::vector<BundleTensor> internal_tensors(const Family& family, const DecoderSpec& spec,
                                           std::map<std::string, BundleTensor> on_disk,
                                           const std::string& where) {
  const auto shapes = shapes_of(spec);
  std::map<std::string, BundleTensor> found;
  for (const NameRule& rule : family.names(spec)) {
    const auto node = take(on_disk, rule);
    require(!node.empty(), where, ": tensor '", rule.on_disk, "' is missing");
    const BundleTensor& whole = node.mapped();
    check_part(whole, disk_shape(rule, shapes), where);
    const std::int64_t total = whole.shape[rule.transposed ? 1 : 0];
    std::int64_t begin = 0;
    for (const std::string& name : rule.internal) {
      found.emplace(name, cut_part(whole, name, shapes.at(name), begin, total, rule.transposed));
      begin += shapes.at(name)[0];
    }
  }
  if (spec.tie_embeddings) drop_tied_head(on_disk, found, where);
  for (const auto& [name, tensor] : on_disk)
    require(family.ignored && family.ignored(name), where, ": tensor '", name, "' is no part of a ",
            family.name, " model with this config.json");
  std::vector<BundleTensor> tensors;
  for (const ParameterInfo& info : decoder_parameters(spec)) {
    const auto entry = found.find(info.name);
    require(entry != found.end(), where, ": the ", family.name, " family names no tensor for '", info.name,
            "'");
    tensors.push_back(std::move(entry->second));
  }
  return tensors;
}

std::vector<BundleTensor> disk_tensors(const Bundle& bundle) {
  const std::string where = bundle.origin.empty() ? "bundle" : bundle.origin;
  require(bundle.family != nullptr, where, ": has no family");
  const auto shapes = shapes_of(bundle.spec);
  std::map<std::string, const BundleTensor*> internal;
  for (const BundleTensor& tensor : bundle.tensors) {
    require(shapes.contains(tensor.name), where, ": tensor '", tensor.name, "' is no parameter of the model");
    require(internal.emplace(tensor.name, &tensor).second, where, ": tensor '", tensor.name,
            "' is there twice");
    check_part(tensor, shapes.at(tensor.name), where);
  }
  std::vector<BundleTensor> tensors;
  for (const NameRule& rule : bundle.family->names(bundle.spec)) {
    std::vector<BundleTensor> parts;
    for (const std::string& name : rule.internal) {
      require(internal.contains(name), where, ": tensor '", name, "' is missing");
      parts.push_back(*internal.at(name));
      require(parts.back().dtype == parts[0].dtype, where, ": tensors '", parts[0].name, "' and '", name,
              "' are stored as one and must have one dtype");
    }
    tensors.push_back(join_parts(rule.on_disk, parts, rule.transposed));
  }
  return tensors;
}

}  // namespace lathe
