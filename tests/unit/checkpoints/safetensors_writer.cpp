#include "checkpoints/formats/safetensors.h"
#include "data/io/faulty_file_system.h"
#include "data/io/hash.h"
#include "data/io/json.h"
#include "tests/unit/checkpoints/support.h"

namespace lathe {
namespace {

TEST_CASE("the written bytes are the format's, and the hash is the file's") {
  TemporaryFolder folder;
  const std::string sha =
      write_safetensors(folder / "x", {floats("b", {2}, {1, 2}), floats("a\"", {1, 1}, {-2})});
  std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
      R"("a\"":{"dtype":"F32","shape":[1,1],"data_offsets":[8,12]}})";
  while (header.size() % 8 != 0) header += ' ';
  const std::string wanted = safetensors_bytes(header, std::string("\0\0\x80\x3f\0\0\0\x40\0\0\0\xc0", 12));
  CHECK(read_bytes(folder / "x") == wanted);
  CHECK(sha == sha256_hex(wanted));
}

TEST_CASE("no metadata is no entry, no tensors is an empty object") {
  TemporaryFolder folder;
  write_safetensors(folder / "x", {}, {});
  CHECK(read_bytes(folder / "x") == safetensors_bytes("{}      "));
}

TEST_CASE("wide types come first so that every tensor lies aligned; equal ones keep their order") {
  TemporaryFolder folder;
  write_safetensors(
      folder / "x",
      {memory_tensor("u", DType::U8, {3}, block_of(std::vector<std::uint8_t>{1, 2, 3})),
       memory_tensor("h", DType::BF16, {1}, block_of(std::vector<std::uint16_t>{7})), floats("z", {1}, {1}),
       floats("y", {1}, {2}), memory_tensor("i", DType::I64, {1}, block_of(std::vector<std::int64_t>{9}))});
  const auto tensors = read_safetensors(folder / "x").tensors;
  std::string order;
  for (const BundleTensor& tensor : tensors) {
    order += tensor.name;
    CHECK(reinterpret_cast<std::uintptr_t>(tensor.bytes().bytes.data()) % dtype_size(tensor.dtype) == 0);
  }
  CHECK(order == "izyhu");
  CHECK(values_of<std::int64_t>(tensors[0]) == std::vector<std::int64_t>{9});
  CHECK(values_of<std::uint8_t>(tensors[4]) == std::vector<std::uint8_t>{1, 2, 3});
}

TEST_CASE("bad input to the writer is refused") {
  TemporaryFolder folder;
  const auto written = [&](std::vector<BundleTensor> tensors) {
    return error_of([&] { write_safetensors(folder / "x", tensors); });
  };
  CHECK(written({floats("a", {1}, {1}), floats("a", {1}, {1})}).find("'a' is there twice") !=
        std::string::npos);
  CHECK(written({floats("__metadata__", {1}, {1})}).find("reserved") != std::string::npos);
  CHECK(written({floats("a\nb", {1}, {1})}).find("control character 10") != std::string::npos);
  BundleTensor lying = floats("a", {1}, {1});
  lying.shape = {2};
  CHECK(written({lying}).find("needs 8 bytes, its source gave 4") != std::string::npos);
}

TEST_CASE("the file is synced before it is closed, and a failing disk is an error") {
  TemporaryFolder folder;
  FaultyFileSystem fs(folder.path());
  write_safetensors(folder / "x", {floats("a", {1}, {1})}, {}, fs);
  const auto operations = fs.operations();
  REQUIRE(operations.size() >= 3);
  CHECK(operations[operations.size() - 2].kind == FaultyFileSystem::Kind::Sync);
  CHECK(operations.back().kind == FaultyFileSystem::Kind::Close);
  for (std::size_t call = 1; call <= operations.size(); ++call) {
    TemporaryFolder other;
    FaultyFileSystem failing(other.path());
    failing.fail_at(call, ENOSPC);
    CHECK(error_of([&] {
            write_safetensors(other / "x", {floats("a", {1}, {1})}, {}, failing);
          }).find("No space left") != std::string::npos);
  }
}

std::vector<BundleTensor> three() {
  return {counting("a", {4}), counting("b", {2}, 10), counting("c", {3}, 20)};
}

TEST_CASE("a model within the limit is one file") {
  TemporaryFolder folder;
  CHECK(write_sharded(folder.path(), three(), 36) == std::vector<std::string>{"model.safetensors"});
  const auto tensors = read_sharded(folder.path());
  REQUIRE(tensors.size() == 3);
  CHECK(values_of(tensors.at("c")) == std::vector<float>{20, 21, 22});
}

TEST_CASE("shards keep to the limit and the index names every tensor") {
  TemporaryFolder folder;
  const auto names = write_sharded(folder.path(), three(), 24);
  CHECK(names == std::vector<std::string>{"model-00001-of-00002.safetensors",
                                          "model-00002-of-00002.safetensors",
                                          "model.safetensors.index.json"});
  const Json index = Json::parse(read_bytes(folder / "model.safetensors.index.json"));
  CHECK(index["metadata"]["total_size"] == 36);
  CHECK(index["weight_map"] == Json({{"a", names[0]}, {"b", names[0]}, {"c", names[1]}}));
  CHECK(read_safetensors(folder / names[0]).metadata.at("format") == "pt");
  const auto tensors = read_sharded(folder.path());
  REQUIRE(tensors.size() == 3);
  CHECK(values_of(tensors.at("b")) == std::vector<float>{10, 11});
  CHECK(values_of(tensors.at("c")) == std::vector<float>{20, 21, 22});
}

TEST_CASE("a tensor above the limit has a shard of its own") {
  TemporaryFolder folder;
  CHECK(write_sharded(folder.path(), three(), 4).size() == 4);
  CHECK(read_sharded(folder.path()).size() == 3);
}

TEST_CASE("an index cannot reach outside of its folder") {
  TemporaryFolder folder;
  write_safetensors(folder / "w.safetensors", {floats("a", {1}, {1})});
  std::filesystem::create_directory(folder / "model");
  for (const std::string name : {"../w.safetensors", "/etc/passwd", "..", ".", "", "sub/w.safetensors",
                                 "a\\b", "w\\u0000x", "w\\n", "./w.safetensors"}) {
    INFO(name);
    const bool escape = name.find("\\u") != std::string::npos || name.find("\\n") != std::string::npos;
    const std::string quoted = escape ? "\"" + name + "\"" : Json(name).dump();
    write_text(folder / "model/model.safetensors.index.json", R"({"weight_map":{"a":)" + quoted + "}}");
    const std::string text = error_of([&] { read_sharded(folder / "model"); });
    INFO(text);
    CHECK(text.find("is not a plain file name") != std::string::npos);
  }
}

TEST_CASE("links into a cache of blobs are followed") {
  TemporaryFolder folder;
  std::filesystem::create_directories(folder / "blobs");
  std::filesystem::create_directories(folder / "snapshot");
  write_safetensors(folder / "blobs/0123", {floats("a", {1}, {5})});
  std::filesystem::create_symlink("../blobs/0123", folder / "snapshot/model.safetensors");
  CHECK(values_of(read_sharded(folder / "snapshot").at("a")) == std::vector<float>{5});
}

TEST_CASE("an index and its shards must agree") {
  TemporaryFolder folder;
  const std::string index = folder / "model.safetensors.index.json";
  const auto refused = [&](const std::string& text) {
    write_text(index, text);
    return error_of([&] { read_sharded(folder.path()); });
  };
  CHECK(refused("[]").find("'weight_map' must be an object") != std::string::npos);
  CHECK(refused(R"({"weight_map":{"a":3}})").find("must be named by a string") != std::string::npos);
  CHECK(refused(R"({"weight_map":{"a":"x","a":"x"}})").find("index.json") != std::string::npos);
  write_safetensors(folder / "1.safetensors", {floats("a", {1}, {1}), floats("b", {1}, {1})});
  write_safetensors(folder / "2.safetensors", {floats("c", {1}, {1})});
  CHECK(refused(R"({"weight_map":{"a":"1.safetensors"}})").find("'b' is not in") != std::string::npos);
  CHECK(refused(R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"}})")
            .find("'b' belongs into 2.safetensors") != std::string::npos);
  CHECK(
      refused(
          R"({"weight_map":{"a":"1.safetensors","b":"1.safetensors","c":"2.safetensors","d":"2.safetensors"}})")
          .find("'d' is missing") != std::string::npos);
  CHECK(refused(R"({"weight_map":{"a":"3.safetensors"}})").find("3.safetensors") != std::string::npos);
}

TEST_CASE("a folder without weights says what it lacks, and that pickles stay shut") {
  TemporaryFolder folder;
  CHECK(error_of([&] { read_sharded(folder.path()); }).find("neither model.safetensors nor") !=
        std::string::npos);
  write_text(folder / "pytorch_model.bin", "x");
  CHECK(error_of([&] { read_sharded(folder.path()); }).find("pickle") != std::string::npos);
}

}  // namespace
}  // namespace lathe
