#include <chrono>
#include <cstdint>

#include "checkpoints/formats/safetensors.h"
#include "checkpoints/formats/safetensors_header.h"
#include "tests/unit/checkpoints/support.h"

namespace lathe {
namespace {

const std::string kTensor = R"("w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";

std::string refusal(const std::string& content) {
  TemporaryFolder folder;
  write_text(folder / "x.safetensors", content);
  const std::string text = error_of([&] { read_safetensors(folder / "x.safetensors"); });
  CHECK(text.find("x.safetensors") != std::string::npos);
  return text;
}
void check_refused(const std::string& content, const std::string& phrase) {
  INFO("wanted: " << phrase);
  const std::string text = refusal(content);
  INFO("found:  " << text);
  CHECK(text.find(phrase) != std::string::npos);
}
void check_header_refused(const std::string& header, const std::string& phrase,
                          const std::string& data = "12345678") {
  INFO(header.substr(0, 200));
  check_refused(safetensors_bytes(header, data), phrase);
}

TEST_CASE("a file made by hand is read in file order, as views of its bytes") {
  TemporaryFolder folder;
  const std::string data = std::string("\0\0\x80\x3f\0\0\0\x40", 8) + std::string("\x80\x3f\x01\x7f", 4);
  write_text(
      folder / "x.safetensors",
      safetensors_bytes(
          R"({"b":{"dtype":"BF16","shape":[],"data_offsets":[8,10]},"c":{"shape":[2],"data_offsets":[10,12],"dtype":"U8"},)"
          R"("__metadata__":{"format":"pt","note":"\u00e9"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}   )",
          data));
  const SafetensorsFile file = read_safetensors(folder / "x.safetensors");
  REQUIRE(file.tensors.size() == 3);
  CHECK(file.tensors[0].name == "a");
  CHECK(file.tensors[0].shape == std::vector<std::int64_t>{2, 1});
  CHECK(values_of(file.tensors[0]) == std::vector<float>{1, 2});
  CHECK(file.tensors[1].name == "b");
  CHECK(file.tensors[1].shape.empty());
  CHECK(values_of<std::uint16_t>(file.tensors[1]) == std::vector<std::uint16_t>{0x3f80});
  CHECK(values_of<std::uint8_t>(file.tensors[2]) == std::vector<std::uint8_t>{0x01, 0x7f});
  CHECK(file.metadata == std::map<std::string, std::string>{{"format", "pt"}, {"note", "\xc3\xa9"}});
}

TEST_CASE("the reader gives aligned bytes even where the file does not, and keeps them alive") {
  TemporaryFolder folder;
  write_text(
      folder / "x.safetensors",
      safetensors_bytes(
          R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})",
          std::string("\x07\0\0\x80\x3f", 5)));
  ByteBlock block;
  {
    const SafetensorsFile file = read_safetensors(folder / "x.safetensors");
    block = file.tensors[1].bytes();
  }
  CHECK(reinterpret_cast<std::uintptr_t>(block.bytes.data()) % 4 == 0);
  float value = 0;
  std::memcpy(&value, block.bytes.data(), 4);
  CHECK(value == 1.0f);
}

TEST_CASE("an empty model and empty tensors are legal") {
  TemporaryFolder folder;
  write_text(folder / "x.safetensors", safetensors_bytes("{}"));
  CHECK(read_safetensors(folder / "x.safetensors").tensors.empty());
  write_text(
      folder / "y.safetensors",
      safetensors_bytes(
          R"({"a":{"dtype":"F32","shape":[0,9223372036854775807],"data_offsets":[0,0]},)" + kTensor + "}",
          "12345678"));
  CHECK(read_safetensors(folder / "y.safetensors").tensors.size() == 2);
}

TEST_CASE("files that are no safetensors are refused, each with its own sentence") {
  check_refused("", "0 bytes, the shortest has 8");
  check_refused("1234567", "7 bytes, the shortest has 8");
  check_refused(std::string("\x00\xe1\xf5\x05\0\0\0\1", 8),
                "would be 72057594137927936 bytes");  // 2^56 + 1e8
  check_refused(std::string("\x01\xe1\xf5\x05\0\0\0\0", 8) + "{}", "at most 100000000");
  check_refused(std::string(8, '\xff') + "{}", "at most 100000000");
  check_refused(std::string("\x03\0\0\0\0\0\0\0", 8) + "{}", "it is cut off or damaged");
  check_refused(safetensors_bytes(""), "does not start with '{'");
  check_refused(safetensors_bytes(" {}"), "does not start with '{'");
  check_refused(safetensors_bytes("[]"), "does not start with '{'");
  check_refused(safetensors_bytes("\xef\xbb\xbf{}"), "does not start with '{'");
  check_refused("\x80\x02}q\x00X", "not a safetensors file");
}

TEST_CASE("headers that are no JSON are refused") {
  for (const std::string header :
       {"{", "{\"a\"", "{\"a\":}", "{}}", "{} x", "{'a':1}", "{\"a\":{\"dtype\":\"F32\",}}", "{,}",
        "{\"\xff\":{}}", "{\"\xc0\x80\":{}}", "{\"\xed\xa0\x80\":{}}", "{\"\\ud800\":{}}", "{\"a\nb\":{}}"})
    check_header_refused(header, "is not valid JSON", "");
  check_header_refused(std::string("{}\0\0", 4), "is not valid JSON", "");
}

TEST_CASE("headers of another shape are refused") {
  check_header_refused(R"({"w":3})", "tensor 'w': its entry must be an object, found the number 3");
  check_header_refused(R"({"w":null})", "found null");
  check_header_refused(R"({"w":[]})", "found a list");
  check_header_refused(R"({"w":"x"})", "found the text 'x'");
  check_header_refused(R"({"w":{}})", "tensor 'w': 'dtype' is missing");
  check_header_refused(R"({"w":{"dtype":"F32","data_offsets":[0,8]}})", "'shape' is missing");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[2]}})", "'data_offsets' is missing");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"extra":1}})",
                       "found key 'extra'");
  check_header_refused(R"({"w":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
                       "'dtype' is there twice");
  check_header_refused("{" + kTensor + "," + kTensor + "}", "tensor 'w' is there twice");
  check_header_refused(R"({"w":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})",
                       "dtype 'F33' is not known");
  check_header_refused(R"({"w":{"dtype":"float32","shape":[2],"data_offsets":[0,8]}})",
                       "dtype 'float32' is not known");
  check_header_refused(R"({"w":{"dtype":"f32","shape":[2],"data_offsets":[0,8]}})",
                       "dtype 'f32' is not known");
  check_header_refused(R"({"w":{"dtype":"F4","shape":[16],"data_offsets":[0,8]}})",
                       "dtype 'F4' is not known");
  check_header_refused(R"({"w":{"dtype":4,"shape":[2],"data_offsets":[0,8]}})", "'dtype' must be a string");
  check_header_refused(R"({"w":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})", "'shape' must be a list");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})",
                       "found a negative number");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", "found the number 2.0");
  check_header_refused(R"({"w":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}})", "found the text '2'");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", "found a list");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[true],"data_offsets":[0,8]}})", "found a boolean");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8]}})",
                       "found the number 92233");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0]}})",
                       "must be two whole numbers, found 1");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[]}})",
                       "must be two whole numbers, found 0");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}})", "found a third");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8.0]}})",
                       "must be two whole numbers");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":{"0":8}}})", "found an object");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[-1,8]}})",
                       "found a negative number");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551624]}})",
                       "must be two whole numbers");
  check_header_refused(R"({"":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "empty name");
  check_header_refused("{\"a\\u0000b\":{}}", "control character 0");
  check_header_refused("{\"a\\u001bb\":{}}", "control character 27");
  check_header_refused("{\"" + std::string(1025, 'n') + "\":{}}", "longer than 1024 bytes");
  std::string deep = R"({"w":{"dtype":"F32","data_offsets":[0,8],"shape":[1)";
  for (int i = 0; i < 40; ++i) deep += ",1";
  check_header_refused(deep + "]}}", "more than 32 dimensions");
}

TEST_CASE("metadata must be an object of strings") {
  check_header_refused(R"({"__metadata__":"x",)" + kTensor + "}",
                       "__metadata__: must be an object of strings");
  check_header_refused(R"({"__metadata__":{"a":1},)" + kTensor + "}",
                       "__metadata__: values must be strings, found the number 1");
  check_header_refused(R"({"__metadata__":{"a":null},)" + kTensor + "}", "found null");
  check_header_refused(R"({"__metadata__":{"a":{}},)" + kTensor + "}", "found an object");
  check_header_refused(R"({"__metadata__":{"a":"1","a":"2"},)" + kTensor + "}", "key 'a' is there twice");
  check_header_refused(R"({"__metadata__":{},"__metadata__":{},)" + kTensor + "}",
                       "__metadata__ is there twice");
}

TEST_CASE("offsets that lie about the data are refused") {
  check_header_refused(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})",
                       "end at 0 before they begin at 8");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})",
                       "the file holds 8 bytes");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})",
                       "needs 12 bytes, data_offsets span 8");
  check_header_refused(R"({"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,8]}})",
                       "needs 4 bytes, data_offsets span 8");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[],"data_offsets":[0,8]}})", "needs 4 bytes");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[4611686018427387906],"data_offsets":[0,8]}})",
                       "more than 2^64 bytes");
  check_header_refused(R"({"w":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})",
                       "more than 2^64 bytes");
  check_header_refused("{" + kTensor + "}", "1 bytes at its end belong to no tensor", "123456789");
  check_header_refused("{}", "8 bytes at its end belong to no tensor");
  check_header_refused(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                       "4 bytes before it belong to no tensor");
  check_header_refused(
      R"({"v":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"U8","shape":[2],"data_offsets":[6,8]}})",
      "tensor 'w': 2 bytes before it belong to no tensor");
  check_header_refused("{" + kTensor + R"(,"v":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                       "tensor 'v': its bytes overlap those of 'w'");
  check_header_refused("{" + kTensor + R"(,"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
                       "overlap");
  check_header_refused("{" + kTensor + "}", "it is cut off or damaged", "1234567");
}

TEST_CASE("every cut of a good file is refused") {
  const std::string whole = safetensors_bytes("{" + kTensor + "}", "12345678");
  for (std::size_t length = 0; length < whole.size(); ++length) refusal(whole.substr(0, length));
}

TEST_CASE("a header of a hundred thousand entries is refused or read quickly") {
  std::string many = "{";
  for (int i = 0; i < 210'000; ++i)
    many += (i ? ",\"" : "\"") + std::to_string(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  const auto start = std::chrono::steady_clock::now();
  check_refused(safetensors_bytes(many + "}"), "more than 200000 tensors");
  const std::string nested = "{\"w\":{\"shape\":" + std::string(1'000'000, '[');
  check_refused(safetensors_bytes(nested), "found a list");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
}

TEST_CASE("a file that shrinks while it is mapped is an error, not a crash") {
  TemporaryFolder folder;
  const std::string path = folder / "x.safetensors";
  write_text(path, safetensors_bytes(R"({"w":{"dtype":"U8","shape":[20000],"data_offsets":[0,20000]}})",
                                     std::string(20000, 'x')));
  const SafetensorsFile file = read_safetensors(path);
  std::filesystem::resize_file(path, 100);
  CHECK(error_of([&] { file.tensors[0].bytes(); }).find("something shortened it") != std::string::npos);
}

TEST_CASE("a removed file stays readable through its mapping") {
  TemporaryFolder folder;
  const std::string path = folder / "x.safetensors";
  write_text(path, safetensors_bytes("{" + kTensor + "}", "12345678"));
  const SafetensorsFile file = read_safetensors(path);
  std::filesystem::remove(path);
  CHECK(values_of<char>(file.tensors[0]) == std::vector<char>{'1', '2', '3', '4', '5', '6', '7', '8'});
}

}  // namespace
}  // namespace lathe
