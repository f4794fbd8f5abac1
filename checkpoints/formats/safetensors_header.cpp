#include "checkpoints/formats/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <unordered_set>

#include "data/io/json.h"

namespace lathe {

namespace {

// Where in the header the parser stands.
enum class At {
  Start,
  Top,
  Metadata,
  MetadataValue,
  Tensor,
  DType,
  Shape,
  ShapeList,
  Offsets,
  OffsetsList,
  TensorStart,
  MetadataStart,
  End
};

// Events of nlohmann's parser, which is iterative: nothing that is nested deeper than the format allows gets
// through.
class HeaderHandler : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderHandler(const std::string& where) : where_(where) {}
  SafetensorsHeader take() { return std::move(header_); }

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a boolean"); }
  bool number_integer(number_integer_t) override { unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t& text) override {
    std::string plain = text;  // the parser writes the point as the process's locale does
    std::replace(plain.begin(), plain.end(), ',', '.');
    unexpected("the number " + plain);
  }
  bool binary(binary_t&) override { unexpected("binary data"); }
  bool number_unsigned(number_unsigned_t value) override;
  bool string(string_t& value) override;
  bool start_object(std::size_t) override;
  bool key(string_t& name) override;
  bool end_object() override;
  bool start_array(std::size_t) override;
  bool end_array() override;
  bool parse_error(std::size_t byte, const std::string&, const nlohmann::detail::exception& e) override {
    fail(where_, ": the safetensors header is not valid JSON at its byte ", byte, ": ", e.what());
  }

 private:
  HeaderTensor& current() { return header_.tensors.back(); }
  std::string place() const {
    if (at_ == At::Metadata || at_ == At::MetadataStart || at_ == At::MetadataValue)
      return where_ + ": __metadata__";
    const bool inside = at_ != At::Start && at_ != At::Top && at_ != At::End;
    return inside ? where_ + ": tensor '" + header_.tensors.back().name + "'" : where_;
  }
  [[noreturn]] void unexpected(const std::string& found) const;

  std::string where_;
  At at_ = At::Start;
  SafetensorsHeader header_;
  std::unordered_set<std::string> names_;
  bool has_metadata_ = false, has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
  std::string metadata_key_;
  std::vector<std::uint64_t> offsets_;
};

void HeaderHandler::unexpected(const std::string& found) const {
  const char* wanted = "";
  switch (at_) {
    case At::Start:
      wanted = "the safetensors header must be an object";
      break;
    case At::Top:
    case At::End:
      wanted = "an entry must be an object";
      break;
    case At::MetadataStart:
      wanted = "must be an object of strings";
      break;
    case At::Metadata:
    case At::MetadataValue:
      wanted = "values must be strings";
      break;
    case At::TensorStart:
      wanted = "its entry must be an object";
      break;
    case At::Tensor:
      wanted = "its entry holds only dtype, shape and data_offsets";
      break;
    case At::DType:
      wanted = "'dtype' must be a string";
      break;
    case At::Shape:
    case At::ShapeList:
      wanted = "'shape' must be a list of whole numbers from 0 to 2^63 - 1";
      break;
    case At::Offsets:
    case At::OffsetsList:
      wanted = "'data_offsets' must be two whole numbers";
      break;
  }
  fail(place(), ": ", wanted, ", found ", found);
}

bool HeaderHandler::number_unsigned(number_unsigned_t value) {
  if (at_ == At::ShapeList) {
    constexpr auto kMax = static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max());
    if (value > kMax) unexpected("the number " + std::to_string(value));
    require(current().shape.size() < kMaxDimensions, place(), ": more than ", kMaxDimensions, " dimensions");
    current().shape.push_back(static_cast<std::int64_t>(value));
  } else if (at_ == At::OffsetsList) {
    if (offsets_.size() == 2) unexpected("a third");
    offsets_.push_back(value);
  } else {
    unexpected("the number " + std::to_string(value));
  }
  return true;
}

bool HeaderHandler::string(string_t& value) {
  if (at_ == At::MetadataValue) {
    require(header_.metadata.emplace(metadata_key_, value).second, place(), ": key '", metadata_key_,
            "' is there twice");
    at_ = At::Metadata;
  } else if (at_ == At::DType) {
    const auto dtype = dtype_from_name(value);
    require(dtype && dtype_name(*dtype) == value, place(), ": dtype '", value,
            "' is not known; known are F64, F32, "
            "F16, BF16, I64, I32, I16, I8, U8 and BOOL");
    current().dtype = *dtype;
    at_ = At::Tensor;
  } else {
    unexpected("the text '" + value + "'");
  }
  return true;
}

bool HeaderHandler::start_object(std::size_t) {
  switch (at_) {
    case At::Start:
      at_ = At::Top;
      return true;
    case At::MetadataStart:
      at_ = At::Metadata;
      return true;
    case At::TensorStart:
      at_ = At::Tensor;
      return true;
    default:
      unexpected("an object");
  }
}

bool HeaderHandler::key(string_t& name) {
  if (at_ == At::Metadata) {
    metadata_key_ = name;
    at_ = At::MetadataValue;
  } else if (at_ == At::Tensor) {
    bool* seen = name == "dtype" ? &has_dtype_ : name == "shape" ? &has_shape_ : &has_offsets_;
    require(name == "dtype" || name == "shape" || name == "data_offsets", place(),
            ": its entry holds only dtype, "
            "shape and data_offsets, found key '",
            name, "'");
    require(!*seen, place(), ": key '", name, "' is there twice");
    *seen = true;
    at_ = name == "dtype" ? At::DType : name == "shape" ? At::Shape : At::Offsets;
  } else if (name == "__metadata__") {
    require(!has_metadata_, where_, ": __metadata__ is there twice");
    has_metadata_ = true;
    at_ = At::MetadataStart;
  } else {
    check_tensor_name(name, where_);
    require(names_.insert(name).second, where_, ": tensor '", name, "' is there twice");
    require(header_.tensors.size() < kMaxHeaderTensors, where_, ": more than ", kMaxHeaderTensors,
            " tensors");
    header_.tensors.emplace_back().name = name;
    has_dtype_ = has_shape_ = has_offsets_ = false;
    offsets_.clear();
    at_ = At::TensorStart;
  }
  return true;
}

bool HeaderHandler::end_object() {
  if (at_ == At::Tensor) {
    require(has_dtype_, place(), ": 'dtype' is missing");
    require(has_shape_, place(), ": 'shape' is missing");
    require(has_offsets_, place(), ": 'data_offsets' is missing");
  }
  at_ = at_ == At::Top ? At::End : At::Top;
  return true;
}

bool HeaderHandler::start_array(std::size_t) {
  if (at_ == At::Shape)
    at_ = At::ShapeList;
  else if (at_ == At::Offsets)
    at_ = At::OffsetsList;
  else
    unexpected("a list");
  return true;
}

bool HeaderHandler::end_array() {
  if (at_ == At::OffsetsList) {
    if (offsets_.size() != 2) unexpected(std::to_string(offsets_.size()));
    current().begin = offsets_[0];
    current().end = offsets_[1];
  }
  at_ = At::Tensor;
  return true;
}

// dtype x shape against the offsets, without overflow.
void check_size(const HeaderTensor& tensor, std::uint64_t data_bytes, const std::string& where) {
  std::uint64_t bytes = dtype_size(tensor.dtype);
  for (const std::int64_t size : tensor.shape)
    require(!__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes), where, ": tensor '",
            tensor.name, "': shape ", shape_text(tensor.shape), " of ", dtype_name(tensor.dtype),
            " is more than 2^64 bytes");
  require(tensor.begin <= tensor.end, where, ": tensor '", tensor.name, "': data_offsets end at ", tensor.end,
          " before they begin at ", tensor.begin);
  require(tensor.end <= data_bytes, where, ": tensor '", tensor.name, "': data_offsets end at ", tensor.end,
          ", the file holds ", data_bytes, " bytes of data; it is cut off or damaged");
  require(tensor.end - tensor.begin == bytes, where, ": tensor '", tensor.name,
          "': ", dtype_name(tensor.dtype), " ", shape_text(tensor.shape), " needs ", bytes,
          " bytes, data_offsets span ", tensor.end - tensor.begin);
}

// Every byte of the data belongs to exactly one tensor: nothing can be hidden in the file.
void check_layout(SafetensorsHeader& header, std::uint64_t data_bytes, const std::string& where) {
  for (const HeaderTensor& tensor : header.tensors) check_size(tensor, data_bytes, where);
  std::stable_sort(header.tensors.begin(), header.tensors.end(), [](const auto& a, const auto& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  std::uint64_t at = 0;
  const HeaderTensor* before = nullptr;
  for (const HeaderTensor& tensor : header.tensors) {
    require(tensor.begin >= at, where, ": tensor '", tensor.name, "': its bytes overlap those of '",
            before ? before->name : "", "'");
    require(tensor.begin == at, where, ": tensor '", tensor.name, "': ", tensor.begin - at,
            " bytes before it belong to no tensor");
    at = tensor.end;
    before = &tensor;
  }
  require(at == data_bytes, where, ": ", data_bytes - at, " bytes at its end belong to no tensor");
}

}  // namespace

void check_tensor_name(const std::string& name, const std::string& where) {
  require(!name.empty(), where, ": a tensor has an empty name");
  require(name.size() <= kMaxNameBytes, where, ": tensor '", name.substr(0, 40),
          "...': its name is longer than ", kMaxNameBytes, " bytes");
  for (const char c : name)
    require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f, where,
            ": a tensor's name holds the control character ",
            static_cast<int>(static_cast<unsigned char>(c)));
}

SafetensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t data_bytes,
                                           const std::string& where) {
  require(!text.empty() && text.front() == '{', where, ": the safetensors header does not start with '{'");
  // nlohmann's parser takes a zero byte for the end of the text; what follows would be hidden.
  const std::size_t zero = text.find('\0');
  require(zero == text.npos, where, ": the safetensors header is not valid JSON at its byte ", zero + 1,
          ": a zero byte");
  HeaderHandler handler(where);
  Json::sax_parse(text.begin(), text.end(), &handler, nlohmann::json::input_format_t::json, true);
  SafetensorsHeader header = handler.take();
  check_layout(header, data_bytes, where);
  return header;
}

}  // namespace lathe
