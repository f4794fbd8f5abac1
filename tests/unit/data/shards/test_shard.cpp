#include <hdf5.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include "data/io/hash.h"
#include "data/random/philox.h"
#include "data/shards/layout.h"
#include "data/shards/probe.h"
#include "tests/unit/data/shards/support.h"

using namespace lathe;
using testing::contains_text;

namespace {

std::vector<std::int32_t> read_document(const TokenShard& shard, std::uint64_t document) {
  std::vector<std::int32_t> ids(shard.document_length(document));
  shard.read(document, 0, ids);
  return ids;
}

// Opens the shard and reads all of it; the text of the Error, or "" when all was well.
std::string complaint(const std::string& path, ShardTrust trust) {
  try {
    const TokenShard shard(path, trust);
    for (std::uint64_t d = 0; d < shard.documents(); ++d) read_document(shard, d);
    for (std::uint64_t r = 0; r < shard.rows(); ++r) (void)shard.row(r);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

void write_raw(const std::string& path, const std::string& bytes) { write_text(path, bytes); }

}  // namespace

TEST_CASE("a shard gives back its documents, rows and attributes") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  const testing::Documents documents = {{1, 2, 3, 4, 5, 6}, {7, 8}, {9, 300, 11}};
  {
    ShardWriter writer(path, 301);
    writer.add_document(documents[0], 0);
    writer.add_document(documents[1], 7);
    writer.add_document(documents[2], 65535);
    ShardInfo info;
    info.tokenizer_sha256 = "abc";
    info.source_sha256 = "def";
    info.settings = {{"x", 1}};
    info.ledger.documents_read = 4;
    writer.finish(info, {.sequence_length = 4});
  }
  for (const ShardTrust trust : {ShardTrust::Own, ShardTrust::Foreign}) {
    const TokenShard shard(path, trust);
    CHECK(shard.documents() == 3);
    CHECK(shard.tokens() == 11);
    for (std::uint64_t d = 0; d < 3; ++d) {
      const auto ids = read_document(shard, d);
      CHECK(std::vector<std::uint32_t>(ids.begin(), ids.end()) == documents[d]);
    }
    CHECK(shard.document_source(1) == 7);
    CHECK(shard.document_source(2) == 65535);
    // Inputs 5, 1, 2 in rows of 4: 4 | 2 + 1 | ... by best fit 2, then 1 (tail of 0), then 1 (document 1).
    CHECK(shard.rows() == 2);
    CHECK(shard.row(0).size() == 1);
    CHECK(shard.row(1).size() == 3);
    CHECK(shard.row(1)[0].document == 2);
    CHECK(shard.targets() == 8);
    CHECK(shard.info().vocab_size == 301);
    CHECK(shard.info().sequence_length == 4);
    CHECK(shard.info().tokenizer_sha256 == "abc");
    CHECK(shard.info().source_sha256 == "def");
    CHECK(shard.info().settings.dump() == "{\"x\":1}");
    CHECK(shard.info().ledger.documents_read == 4);
    CHECK(shard.info().ledger.documents_kept == 3);
    CHECK(shard.info().ledger.row_tokens == 8);
    CHECK(shard.info().ledger.padded == 0);
    std::int32_t two[2];
    shard.read(0, 3, two);
    CHECK((two[0] == 4 && two[1] == 5));
    CHECK_THROWS_AS(shard.read(1, 1, two), Error);
    CHECK_THROWS_AS(shard.row(2), Error);
    CHECK_THROWS_AS(shard.document_length(3), Error);
  }
}

TEST_CASE("HDF5's own reader finds the documented layout") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  testing::write_shard(path, {{5, 6, 7}, {8, 9}}, 10, {.sequence_length = 8});
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  REQUIRE(file >= 0);
  const hid_t tokens = H5Dopen2(file, "/tokens", H5P_DEFAULT);
  const hid_t type = H5Dget_type(tokens);
  CHECK(H5Tequal(type, H5T_STD_U16LE) > 0);
  CHECK(H5Dget_offset(tokens) % 4096 == 0);
  std::uint16_t ids[5] = {};
  CHECK(H5Dread(tokens, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, ids) >= 0);
  CHECK(std::vector<int>(ids, ids + 5) == std::vector<int>{5, 6, 7, 8, 9});
  H5Tclose(type);
  H5Dclose(tokens);
  const auto numbers = [&](const char* name, std::size_t count) {
    std::vector<std::uint64_t> values(count);
    const hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
    const hid_t space = H5Dget_space(set);
    CHECK(H5Sget_simple_extent_npoints(space) == static_cast<hssize_t>(count));
    CHECK(H5Dread(set, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0);
    H5Sclose(space);
    H5Dclose(set);
    return values;
  };
  using Numbers = std::vector<std::uint64_t>;
  CHECK(numbers("/doc_offsets", 3) == Numbers{0, 3, 5});
  CHECK(numbers("/doc_sources", 2) == Numbers{0, 0});
  CHECK(numbers("/rows", 6) == Numbers{0, 0, 2, 1, 0, 1});
  CHECK(numbers("/row_offsets", 2) == Numbers{0, 2});
  const std::uint16_t raw[] = {5, 6, 7, 8, 9};
  CHECK(numbers("/block_hashes", 1) == Numbers{xxh3(std::as_bytes(std::span(raw)))});
  H5Fclose(file);
}

TEST_CASE("what a row costs: mapped, and by H5Dread",
          "[.timing]") {  // hidden: prints figures for tests/PROOFS.md
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  constexpr std::size_t kRows = 20000, kLength = 512;
  testing::write_shard(path, testing::Documents(kRows, std::vector<TokenId>(kLength + 1, 7)), 10,
                       {.sequence_length = kLength});
  const TokenShard shard(path);
  std::vector<std::int32_t> row(kLength);
  std::vector<std::uint64_t> order;
  const RandomStream stream({.seed = 5, .purpose = Purpose::Sampling});
  for (std::uint64_t i = 0; i < kRows; ++i) order.push_back(stream.bits(i) % kRows);
  const auto microseconds = [&](const auto& read) {
    for (const std::uint64_t n : order) read(n);  // the blocks' checksums are compared at the first touch
    const auto start = std::chrono::steady_clock::now();
    for (const std::uint64_t n : order) read(n);
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count() /
           kRows;
  };
  const double mapped = microseconds([&](std::uint64_t n) { shard.read(n, 0, row); });
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT),
              tokens = H5Dopen2(file, "/tokens", H5P_DEFAULT);
  const hid_t space = H5Dget_space(tokens);
  const hsize_t count = kLength;
  const hid_t memory = H5Screate_simple(1, &count, nullptr);
  const double library = microseconds([&](std::uint64_t n) {
    const hsize_t begin = n * (kLength + 1);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, &begin, nullptr, &count, nullptr);
    H5Dread(tokens, H5T_NATIVE_INT32, memory, space, H5P_DEFAULT, row.data());
  });
  H5Sclose(memory);
  H5Sclose(space);
  H5Dclose(tokens);
  H5Fclose(file);
  std::printf("a random row of %zu tokens: mapped %.2f us, H5Dread %.2f us\n", kLength, mapped, library);
  CHECK(mapped < library);
}

TEST_CASE("ids above 65535 are kept, in 32 bits") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  testing::write_shard(path, {{65535, 65536, 130'000}}, 130'001, {.sequence_length = 8});
  CHECK(read_document(TokenShard(path), 0) == std::vector<std::int32_t>{65535, 65536, 130'000});
  const std::string narrow = folder / "b.h5";
  testing::write_shard(narrow, {{65535, 0}}, 65'536, {.sequence_length = 8});
  CHECK(read_layout(narrow).tokens.width == 2);
  CHECK(read_document(TokenShard(narrow), 0) == std::vector<std::int32_t>{65535, 0});
}

TEST_CASE("the writer refuses what a shard cannot hold") {
  const TemporaryFolder folder;
  ShardWriter writer(folder / "a.h5", 10);
  CHECK_THROWS_WITH(writer.add_document(std::vector<std::uint32_t>{1, 10}, 0), contains_text("id 10"));
  CHECK_THROWS_AS(writer.add_document(std::vector<std::uint32_t>{1}, 0), Error);
  CHECK_THROWS_WITH(writer.finish({}, {}), contains_text("no document"));
  CHECK_FALSE(std::filesystem::exists(folder / "a.h5"));
}

TEST_CASE("the same documents give the same bytes at another time and place") {
  const TemporaryFolder folder;
  const auto documents = testing::random_documents(500, 90, 1000, 1);
  testing::write_shard(folder / "a.h5", documents, 1000, {.sequence_length = 64});
  std::this_thread::sleep_for(
      std::chrono::milliseconds(1100));  // HDF5 stores whole seconds, if it stores times
  std::filesystem::create_directory(folder / "deeper");
  testing::write_shard(folder / "deeper/b.h5", documents, 1000, {.sequence_length = 64});
  CHECK(read_bytes(folder / "a.h5") == read_bytes(folder / "deeper/b.h5"));
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    files += entry.is_regular_file();
  CHECK(files == 1);  // no scratch file is left
}

TEST_CASE("a damaged token is found when its block is first read") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  testing::write_shard(path, {{5, 6, 7}, {8, 9}}, 10, {.sequence_length = 8});
  std::string bytes = read_bytes(path);
  bytes[read_layout(path).tokens.offset + 2] ^= 1;
  write_raw(path, bytes);
  const TokenShard shard(path);  // structure and index are fine
  std::int32_t id[1];
  CHECK_THROWS_WITH(shard.read(0, 0, id), contains_text("block 0") && contains_text(path));
  CHECK_THROWS_AS(shard.verify(), Error);
}

TEST_CASE("a block is hashed once per 64 MiB") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  const std::size_t half = kBlockBytes / 4;  // ids of 2 bytes: two documents a block
  ShardWriter writer(path, 60'000);
  for (std::uint32_t d = 0; d < 3; ++d) writer.add_document(std::vector<std::uint32_t>(half, 100 + d), 0);
  ShardInfo info;
  info.settings = Json::object();
  writer.finish(info, {.sequence_length = half});
  std::string bytes = read_bytes(path);
  const ShardLayout layout = read_layout(path);
  CHECK(layout.block_hashes.count == 2);
  bytes[layout.tokens.offset + kBlockBytes] ^= 1;  // first byte of the second block
  write_raw(path, bytes);
  const TokenShard shard(path);
  std::int32_t id[1];
  shard.read(1, half - 1, id);
  CHECK(id[0] == 101);
  CHECK_THROWS_WITH(shard.read(2, 5, id), contains_text("block 1"));
}

TEST_CASE("ids at or above the vocabulary are refused even with a good hash") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  testing::write_shard(path, {{5, 6, 7}}, 10, {.sequence_length = 8});
  const ShardLayout layout = read_layout(path);
  std::string bytes = read_bytes(path);
  const std::uint16_t ids[] = {5, 6, 10};
  std::memcpy(bytes.data() + layout.tokens.offset, ids, sizeof ids);
  const std::uint64_t hash = xxh3(std::as_bytes(std::span(ids)));
  std::memcpy(bytes.data() + layout.block_hashes.offset, &hash, sizeof hash);
  const auto array = [&](const ArrayPlace& place) {
    return std::as_bytes(std::span(bytes)).subspan(place.offset, place.bytes());
  };
  const std::span<const std::byte> arrays[] = {array(layout.doc_offsets), array(layout.doc_sources),
                                               array(layout.rows), array(layout.row_offsets),
                                               array(layout.block_hashes)};
  const std::uint64_t index = index_hash(layout, arrays);
  // Attributes of new-style headers are checksummed by HDF5: rewritten through it.
  write_raw(path, bytes);
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  const hid_t attribute = H5Aopen(file, "index_hash", H5P_DEFAULT);
  H5Awrite(attribute, H5T_NATIVE_UINT64, &index);
  H5Aclose(attribute);
  H5Fclose(file);
  CHECK_THAT(complaint(path, ShardTrust::Own),
             contains_text("holds id 10") && contains_text("vocabulary has 10"));
}

TEST_CASE("a shard cut short anywhere is an Error, never a crash") {
  const TemporaryFolder folder;
  const std::string whole = folder / "a.h5", cut = folder / "b.h5";
  testing::write_shard(whole, testing::random_documents(40, 30, 50, 9), 50, {.sequence_length = 16});
  const std::string bytes = read_bytes(whole);
  CHECK(complaint(whole, ShardTrust::Foreign).empty());
  int accepted = 0;
  for (std::size_t size = 0; size < bytes.size(); size += size < 200 ? 7 : 331) {
    write_raw(cut, bytes.substr(0, size));
    if (complaint(cut, ShardTrust::Foreign).empty()) ++accepted;
  }
  CHECK(accepted == 0);
}

TEST_CASE("flipped bytes give an Error or the same data") {
  const TemporaryFolder folder;
  const std::string whole = folder / "a.h5", damaged = folder / "b.h5";
  testing::write_shard(whole, testing::random_documents(40, 30, 50, 9), 50, {.sequence_length = 16});
  const std::string bytes = read_bytes(whole);
  const TokenShard reference(whole);
  std::vector<std::size_t> places;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    if (bytes[at] != 0) places.push_back(at);  // where something is stored
  }
  const std::size_t step = places.size() / 300 + 1;
  int refused = 0, wrong = 0;
  for (std::size_t i = 0; i < places.size(); i += step) {
    std::string changed = bytes;
    changed[places[i]] = static_cast<char>(changed[places[i]] ^ (1 << (i % 8)));
    write_raw(damaged, changed);
    if (!complaint(damaged, ShardTrust::Foreign).empty()) {
      ++refused;
      continue;
    }
    const TokenShard shard(damaged);
    for (std::uint64_t d = 0; d < reference.documents(); ++d) {
      if (read_document(shard, d) != read_document(reference, d)) ++wrong;
    }
  }
  CHECK(wrong == 0);
  CHECK(refused > 100);
}

TEST_CASE("what is not a shard is named so") {
  const TemporaryFolder folder;
  CHECK_THAT(complaint(folder / "none.h5", ShardTrust::Foreign), contains_text("none.h5"));
  write_raw(folder / "text.h5", "not HDF5 at all");
  CHECK_THAT(complaint(folder / "text.h5", ShardTrust::Foreign), contains_text("not a readable HDF5 file"));
  const hid_t file = H5Fcreate((folder / "empty.h5").c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(file);
  CHECK_THAT(complaint(folder / "empty.h5", ShardTrust::Foreign), contains_text("attribute format"));
}

TEST_CASE("several threads may read one shard") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  const auto documents = testing::random_documents(200, 50, 500, 4);
  testing::write_shard(path, documents, 500, {.sequence_length = 32});
  const TokenShard shard(path);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, copy = shard] {
      for (std::uint64_t d = 0; d < documents.size(); ++d) {
        const auto ids = read_document(copy, d);
        if (!std::equal(ids.begin(), ids.end(), documents[d].begin())) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
}
