// The container: bytes by hand, every truncation, lies about lengths.
#include "checkpoints/formats/gguf.h"

#include "tests/unit/checkpoints/support.h"

namespace lathe {
namespace {

class Bytes {
 public:
  template <class T>
  Bytes& put(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& text(const std::string& value) {
    put<std::uint64_t>(value.size());
    text_ += value;
    return *this;
  }
  Bytes& head(std::uint64_t tensors, std::uint64_t keys, std::uint32_t version = 3) {
    text_ += "GGUF";
    return put(version).put(tensors).put(keys);
  }
  Bytes& pad(std::size_t alignment = 32) {
    text_.resize((text_.size() + alignment - 1) / alignment * alignment, '\0');
    return *this;
  }
  Bytes& raw(const std::string& value) {
    text_ += value;
    return *this;
  }
  const std::string& str() const { return text_; }

 private:
  std::string text_;
};

// One u32 key and a 2 x 3 tensor of floats 0 to 5, as the format's page lays them out.
Bytes small_file() {
  Bytes bytes;
  bytes.head(1, 2).text("a.b").put<std::uint32_t>(4).put<std::uint32_t>(77);
  bytes.text("list").put<std::uint32_t>(9).put<std::uint32_t>(8).put<std::uint64_t>(2).text("x").text("yz");
  bytes.text("w")
      .put<std::uint32_t>(2)
      .put<std::uint64_t>(3)
      .put<std::uint64_t>(2)
      .put<std::uint32_t>(0)
      .put<std::uint64_t>(0);
  bytes.pad();
  for (int i = 0; i < 6; ++i) bytes.put(static_cast<float>(i));
  return bytes;
}

GgufFile read(const std::string& content) {
  TemporaryFolder folder;
  write_text(folder / "x.gguf", content);
  return read_gguf(folder / "x.gguf");
}
std::string refusal(const std::string& content) {
  return error_of([&] { read(content); });
}

TEST_CASE("a file by hand") {
  const GgufFile file = read(small_file().str());
  CHECK(file.version == 3);
  REQUIRE(file.metadata.size() == 2);
  CHECK(find_gguf(file.metadata, "a.b")->value == 77);
  CHECK(find_gguf(file.metadata, "list")->value == Json::array({"x", "yz"}));
  CHECK(find_gguf(file.metadata, "none") == nullptr);
  REQUIRE(file.tensors.size() == 1);
  CHECK(file.tensors[0].shape == std::vector<std::int64_t>{2, 3});  // stored as 3, 2
  CHECK(values_of(widen_gguf(file.tensors[0])) == std::vector<float>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("every kind of value comes back as it was written, and the writer's bytes are the hand-made ones") {
  TemporaryFolder folder;
  const Json numbers = Json::array({1, 2});
  const GgufMetadata metadata = {{"u8", {GgufKind::U8, 200}},
                                 {"i8", {GgufKind::I8, -100}},
                                 {"u16", {GgufKind::U16, 60000}},
                                 {"i16", {GgufKind::I16, -30000}},
                                 {"u32", GgufValue::u32(4000000000)},
                                 {"i32", {GgufKind::I32, -2000000000}},
                                 {"f32", GgufValue::f32(0.1)},
                                 {"bool", GgufValue::boolean(true)},
                                 {"string", GgufValue::string("\xC3\xA9\n")},
                                 {"u64", {GgufKind::U64, 1ULL << 63}},
                                 {"i64", {GgufKind::I64, -(1LL << 62)}},
                                 {"f64", {GgufKind::F64, 0.1}},
                                 {"empty", GgufValue::array(GgufKind::I32, Json::array())},
                                 {"list", GgufValue::array(GgufKind::U16, numbers)}};
  std::vector<float> values(64);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const std::vector<GgufTensor> tensors = {{"v",
                                            GgmlType::F32,
                                            {3},
                                            [] {
                                              return block_of(std::vector<float>{1, 2, 3});
                                            }},
                                           {"q", GgmlType::Q8_0, {2, 32}, [values] {
                                              std::vector<std::byte> blocks(68);
                                              ggml_quantize(GgmlType::Q8_0, values, blocks.data());
                                              return block_of(blocks);
                                            }}};
  write_gguf(folder / "x.gguf", metadata, tensors);
  const GgufFile file = read_gguf(folder / "x.gguf");
  REQUIRE(file.metadata.size() == metadata.size());
  for (std::size_t i = 0; i < metadata.size(); ++i) {
    INFO(metadata[i].first);
    CHECK(file.metadata[i].first == metadata[i].first);
    CHECK(file.metadata[i].second.kind == metadata[i].second.kind);
    CHECK(file.metadata[i].second.value == metadata[i].second.value);
  }
  CHECK(values_of(widen_gguf(file.tensors[0])) == std::vector<float>{1, 2, 3});
  CHECK(widen_gguf(file.tensors[1]).shape == std::vector<std::int64_t>{2, 32});
  CHECK(values_of(widen_gguf(file.tensors[1]))[63] == Approx(63).epsilon(1e-3));

  const std::vector<GgufTensor> one = {{"w", GgmlType::F32, {2, 3}, [] {
                                          return block_of(std::vector<float>{0, 1, 2, 3, 4, 5});
                                        }}};
  write_gguf(folder / "y.gguf",
             {{"a.b", GgufValue::u32(77)}, {"list", GgufValue::array(GgufKind::String, {"x", "yz"})}}, one);
  CHECK(read_bytes(folder / "y.gguf") == small_file().pad().str());
}

TEST_CASE("a file cut off anywhere is refused, and nothing crashes") {
  const std::string whole = small_file().str();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    INFO(length);
    CHECK_FALSE(refusal(whole.substr(0, length)).empty());
  }
}

TEST_CASE("lies about lengths, shapes and places are refused by name") {
  const auto tensor = [](std::uint64_t columns, std::uint64_t rows, std::uint32_t type,
                         std::uint64_t offset) {
    Bytes bytes;
    bytes.head(1, 0).text("w").put<std::uint32_t>(2).put(columns).put(rows).put(type).put(offset).pad().raw(
        std::string(64, 'x'));
    return refusal(bytes.str());
  };
  CHECK(tensor(1ULL << 40, 1ULL << 40, 0, 0).find("impossibly large") != std::string::npos);
  CHECK(tensor(0, 4, 0, 0).find("impossibly large or empty") != std::string::npos);
  CHECK(tensor(4, 4, 0, 8).find("not aligned") != std::string::npos);
  CHECK(tensor(4, 4, 0, 1ULL << 60).find("cut off") != std::string::npos);
  CHECK(tensor(4, 5, 0, 0).find("cut off") != std::string::npos);
  CHECK(tensor(4, 4, 19, 0).find("type 19") != std::string::npos);
  CHECK(tensor(33, 1, 8, 0).find("no whole blocks of Q8_0") != std::string::npos);

  CHECK(refusal("GGML" + std::string(40, '\0')).find("not a GGUF file") != std::string::npos);
  CHECK(refusal(Bytes().head(0, 0, 1).str()).find("version 1") != std::string::npos);
  CHECK(refusal(Bytes().head(1ULL << 50, 0).str()).find("at most") != std::string::npos);
  CHECK(refusal(Bytes().head(0, 1).put<std::uint64_t>(1ULL << 60).str()).find("a key of") !=
        std::string::npos);
  CHECK(refusal(Bytes().head(0, 1).text("k").put<std::uint32_t>(13).str()).find("unknown type 13") !=
        std::string::npos);
  CHECK(refusal(Bytes().head(0, 1).text("k").put<std::uint32_t>(7).put<std::uint8_t>(2).str())
            .find("bool of value 2") != std::string::npos);
  const auto array = [](std::uint32_t element, std::uint64_t count) {
    return refusal(Bytes().head(0, 1).text("k").put<std::uint32_t>(9).put(element).put(count).str());
  };
  CHECK(array(4, 1ULL << 60).find("at most") != std::string::npos);
  CHECK(array(8, 1 << 25).find("are left") !=
        std::string::npos);  // no memory is taken for strings that are not there
  CHECK(refusal(Bytes()
                    .head(0, 1)
                    .text("k")
                    .put<std::uint32_t>(9)
                    .put<std::uint32_t>(9)
                    .put<std::uint64_t>(1)
                    .put<std::uint32_t>(4)
                    .put<std::uint64_t>(0)
                    .str())
            .find("array of arrays") != std::string::npos);
  Bytes twice;
  for (const char* key : {"k", "k"}) {
    if (twice.str().empty()) twice.head(0, 2);
    twice.text(key).put<std::uint32_t>(4).put<std::uint32_t>(1);
  }
  CHECK(refusal(twice.str()).find("there twice") != std::string::npos);
  Bytes overlap;
  overlap.head(2, 0);
  for (const char* name : {"a", "b"})
    overlap.text(name).put<std::uint32_t>(1).put<std::uint64_t>(16).put<std::uint32_t>(0).put<std::uint64_t>(
        32);
  CHECK(refusal(overlap.pad().raw(std::string(256, 'x')).str()).find("overlaps") != std::string::npos);
  for (const std::uint32_t alignment : {0U, 24U, 1U << 20})
    CHECK(refusal(Bytes().head(0, 1).text("general.alignment").put<std::uint32_t>(4).put(alignment).str())
              .find("power of two") != std::string::npos);
}

TEST_CASE("what cannot be written is an error that names it") {
  const std::vector<GgufTensor> none;
  CHECK(error_of([&] { write_gguf("/nowhere/at/all.gguf", {}, none); }).find("/nowhere/at/all.gguf") !=
        std::string::npos);
  CHECK(error_of([&] {
          TemporaryFolder folder;
          write_gguf(folder / "x.gguf", {}, {{"w", GgmlType::F32, {4}, [] {
                                                return block_of(std::vector<float>{1, 2});
                                              }}});
        }).find("its source gave 8") != std::string::npos);
}

}  // namespace
}  // namespace lathe
