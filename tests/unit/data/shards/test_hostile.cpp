// HDF5 files made to do harm: each gives one Error that names the file, within limits on memory and time,
// whatever the library does in its process.
#include <chrono>
#include <cstring>

#include "data/shards/probe.h"
#include "data/shards/shard.h"
#include "tests/unit/data/shards/crafted.h"
#include "tests/unit/data/shards/support.h"

using namespace lathe;
using testing::craft_shard;

namespace {

// Every id of every document; the text of the Error, "" when there was none.
std::string complaint(const std::string& path, std::vector<std::int32_t>& ids) {
  ids.clear();
  try {
    const TokenShard shard(path);
    for (std::uint64_t d = 0; d < shard.documents(); ++d) {
      std::vector<std::int32_t> document(shard.document_length(d));
      shard.read(d, 0, document);
      ids.insert(ids.end(), document.begin(), document.end());
    }
    for (std::uint64_t r = 0; r < shard.rows(); ++r) (void)shard.row(r);
    return "";
  } catch (const Error& error) {
    INFO(error.what());
    CHECK(std::string_view(error.what()).starts_with(path));
    return error.what();
  }
}
std::string complaint(const std::string& path) {
  std::vector<std::int32_t> ids;
  return complaint(path, ids);
}

std::string spoiled(const std::function<void(hid_t)>& spoil) {
  const TemporaryFolder folder;
  craft_shard(folder / "a.h5", spoil);
  return complaint(folder / "a.h5");
}

// Replaces /tokens by a dataset of another kind.
std::string with_tokens(hid_t type, const std::vector<hsize_t>& dims,
                        const std::function<void(hid_t)>& settings) {
  return spoiled([&](hid_t file) {
    H5Ldelete(file, "tokens", H5P_DEFAULT);
    const hid_t space = H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr);
    const hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    settings(create);
    const hid_t set = H5Dcreate2(file, "tokens", type, space, H5P_DEFAULT, create, H5P_DEFAULT);
    testing::hdf5_ok(set);
    H5Dclose(set);
    H5Pclose(create);
    H5Sclose(space);
  });
}
void at_once(hid_t create) { H5Pset_alloc_time(create, H5D_ALLOC_TIME_EARLY); }

bool says(const std::string& text, const std::string& part) {
  UNSCOPED_INFO("found:  " << text);
  return text.find(part) != std::string::npos;
}

struct Sample {
  std::string bytes;
  std::vector<std::int32_t> ids;
};

// The same two documents in both formats of headers: without checksums and with them.
std::vector<Sample> samples(const TemporaryFolder& folder) {
  std::vector<Sample> all;
  craft_shard(folder / "first.h5");
  testing::write_shard(folder / "second.h5", {{5, 6, 7}, {8, 9}}, 10, {.sequence_length = 8});
  for (const char* name : {"first.h5", "second.h5"}) {
    Sample sample{read_bytes(folder / name), {}};
    REQUIRE(complaint(folder / name, sample.ids).empty());
    REQUIRE(sample.ids == std::vector<std::int32_t>{5, 6, 7, 8, 9});
    all.push_back(sample);
  }
  return all;
}

// What is accepted after damage must be what was stored.
bool refused_or_equal(const TemporaryFolder& folder, const std::string& bytes, const Sample& sample,
                      int& refused) {
  write_text(folder / "damaged.h5", bytes);
  std::vector<std::int32_t> ids;
  if (!complaint(folder / "damaged.h5", ids).empty()) {
    ++refused;
    return true;
  }
  return ids == sample.ids;
}

}  // namespace

TEST_CASE("a shard that another program wrote is read") { CHECK(spoiled({}).empty()); }

TEST_CASE("datasets that cannot be mapped are refused by name") {
  const auto set = [](auto... settings) { return [=](hid_t create) { (settings(create), ...); }; };
  const hsize_t chunk[] = {5};
  const auto chunked = [&](hid_t create) { H5Pset_chunk(create, 1, chunk); };
  CHECK(says(with_tokens(H5T_STD_U16LE, {5}, set(chunked)), "found chunks"));
  CHECK(says(with_tokens(H5T_STD_U16LE, {5}, set(chunked, [](hid_t c) { H5Pset_deflate(c, 9); })),
             "found chunks"));
  CHECK(says(with_tokens(H5T_STD_U16LE, {5}, [](hid_t c) { H5Pset_layout(c, H5D_COMPACT); }),
             "compact storage"));
  CHECK(says(with_tokens(H5T_STD_U16LE, {5}, [](hid_t c) { H5Pset_external(c, "/etc/passwd", 0, 10); }),
             "external file"));
  CHECK(says(with_tokens(H5T_STD_U16BE, {5}, at_once), "another type or byte order"));
  CHECK(says(with_tokens(H5T_STD_I16LE, {5}, at_once), "another type or byte order"));
  CHECK(says(with_tokens(H5T_IEEE_F32LE, {5}, at_once), "another type or byte order"));
  CHECK(says(with_tokens(H5T_STD_U64LE, {5}, at_once), "integers of 8 bytes"));
  CHECK(says(with_tokens(H5T_STD_U16LE, {5, 1}, at_once), "wanted 1 dimension(s), found 2"));
  CHECK(says(with_tokens(H5T_STD_U16LE, {5}, [](hid_t) {}), "no storage was ever allocated"));
  CHECK(says(with_tokens(H5T_STD_U16LE, {hsize_t{1} << 40}, [](hid_t) {}), "cannot lie in a file of"));
  CHECK(says(with_tokens(H5T_STD_U16LE, {4}, at_once), "checksum"));  // well formed, but not what was hashed
}

TEST_CASE("virtual datasets, links and groups in place of a dataset are refused") {
  CHECK(says(with_tokens(H5T_STD_U16LE, {5},
                         [](hid_t create) {
                           const hsize_t five[] = {5};
                           const hid_t space = H5Screate_simple(1, five, nullptr);
                           testing::hdf5_ok(H5Pset_virtual(create, space, "/etc/passwd", "x", space));
                           H5Sclose(space);
                         }),
             "virtual"));
  const auto replaced = [](const std::function<void(hid_t)>& by) {
    return spoiled([&](hid_t file) {
      H5Ldelete(file, "tokens", H5P_DEFAULT);
      by(file);
    });
  };
  CHECK(says(replaced([](hid_t) {}), "/tokens: the dataset is missing"));
  CHECK(says(replaced([](hid_t f) { H5Lcreate_soft("/doc_sources", f, "tokens", H5P_DEFAULT, H5P_DEFAULT); }),
             "soft or external link"));
  CHECK(says(replaced([](hid_t f) { H5Lcreate_soft("/tokens", f, "tokens", H5P_DEFAULT, H5P_DEFAULT); }),
             "soft or external link"));  // a cycle
  CHECK(says(replaced([](hid_t f) {
               H5Lcreate_external("/etc/passwd", "/x", f, "tokens", H5P_DEFAULT, H5P_DEFAULT);
             }),
             "soft or external link"));
  CHECK(says(
      replaced([](hid_t f) { H5Gclose(H5Gcreate2(f, "tokens", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)); }),
      "/tokens"));
  CHECK(says(replaced([](hid_t f) { H5Lcreate_hard(f, "/", f, "tokens", H5P_DEFAULT, H5P_DEFAULT); }),
             "/tokens"));
  // A group that holds itself is never walked.
  CHECK(spoiled([](hid_t f) { H5Lcreate_hard(f, "/", f, "loop", H5P_DEFAULT, H5P_DEFAULT); }).empty());
}

TEST_CASE("attributes of another shape are refused by name") {
  const auto with = [](const char* name, const std::function<void(hid_t, const char*)>& make) {
    return spoiled([&](hid_t file) {
      H5Adelete(file, name);
      make(file, name);
    });
  };
  const auto of_type = [](hid_t type, hsize_t count) {
    return [=](hid_t file, const char* name) {
      const hid_t space = count ? H5Screate_simple(1, &count, nullptr) : H5Screate(H5S_NULL);
      testing::hdf5_ok(H5Aclose(H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT)));
      H5Sclose(space);
    };
  };
  const hid_t text = H5Tcopy(H5T_C_S1);
  H5Tset_size(text, H5T_VARIABLE);
  CHECK(says(with("settings", of_type(text, 1)), "attribute settings: wanted a string of fixed length"));
  CHECK(says(with("ledger", of_type(H5T_STD_U64LE, 1)), "attribute ledger: wanted a string"));
  CHECK(says(with("vocab_size", of_type(text, 1)), "attribute vocab_size: wanted an integer"));
  CHECK(says(with("vocab_size", of_type(H5T_STD_U64LE, 2)), "wanted one value"));
  CHECK(says(with("index_hash", of_type(H5T_STD_U64LE, 0)), "wanted one value"));
  CHECK(says(with("version", [](hid_t, const char*) {}), "attribute version"));
  CHECK(says(with("version", [](hid_t f, const char* n) { testing::craft_number(f, n, 77); }),
             "version 77 is not known"));
  CHECK(says(with("format", [](hid_t f, const char* n) { testing::craft_text(f, n, "other"); }),
             "found 'other'"));
  CHECK(says(with("vocab_size", [](hid_t f, const char* n) { testing::craft_number(f, n, 0); }), "checksum"));
  CHECK(says(with("ledger", [](hid_t f, const char* n) { testing::craft_text(f, n, "[["); }), "checksum"));
  H5Tclose(text);
}

TEST_CASE(
    "files cut at every 64th byte of their structure are refused, whichever format their headers have") {
  const TemporaryFolder folder;
  for (const Sample& sample : samples(folder)) {
    int accepted = 0;
    for (std::size_t size = 0; size < sample.bytes.size(); size += 64) {
      const std::string_view next = std::string_view(sample.bytes).substr(size, 64);
      if (size > 0 && next.find_first_not_of('\0') == next.npos) continue;  // holes between arrays
      write_text(folder / "cut.h5", sample.bytes.substr(0, size));
      accepted += complaint(folder / "cut.h5").empty();
    }
    CHECK(accepted == 0);
  }
}

TEST_CASE("flipped bits of the structure are refused or change nothing") {
  const TemporaryFolder folder;
  for (const Sample& sample : samples(folder)) {
    std::vector<std::size_t> stored;
    for (std::size_t at = 0; at < sample.bytes.size(); ++at)
      if (sample.bytes[at] != 0) stored.push_back(at);
    const std::size_t step = stored.size() / 300 + 1;
    int refused = 0, wrong = 0;
    for (std::size_t i = 0; i < stored.size(); i += step) {
      std::string bytes = sample.bytes;
      bytes[stored[i]] = static_cast<char>(bytes[stored[i]] ^ (1 << (i % 8)));
      wrong += !refused_or_equal(folder, bytes, sample, refused);
    }
    CHECK(wrong == 0);
    CHECK(refused > 100);
  }
}

TEST_CASE("sizes, offsets and addresses beyond the file are refused in bounded time and memory") {
  const TemporaryFolder folder;
  const Sample sample =
      samples(folder)[0];  // the format without checksums, so that HDF5 believes the numbers
  const std::uint64_t numbers[] = {~std::uint64_t{0}, std::uint64_t{1} << 63, std::uint64_t{1} << 40,
                                   sample.bytes.size() + 8};
  const auto start = std::chrono::steady_clock::now();
  int refused = 0, wrong = 0, tries = 0;
  for (std::size_t at = 8; at + 8 <= sample.bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, sample.bytes.data() + at, 8);
    if (word == 0 && at % 64 != 0) continue;  // most of the file is empty
    std::string bytes = sample.bytes;
    std::memcpy(bytes.data() + at, &numbers[static_cast<std::size_t>(tries) % 4], 8);
    wrong += !refused_or_equal(folder, bytes, sample, refused);
    ++tries;
  }
  CHECK(wrong == 0);
  CHECK(refused > 50);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(120));
}

TEST_CASE("cycles in the structure end in an Error, not in a hang") {
  // Every 8-byte address of the file is made to point at every header in turn: B-trees into themselves,
  // continuations of object headers into their own block, heaps into groups.
  const TemporaryFolder folder;
  const Sample sample = samples(folder)[0];
  std::vector<std::uint64_t> headers;
  for (const char* name : {"TREE", "SNOD", "HEAP"}) {
    const std::size_t at = sample.bytes.find(name);
    REQUIRE(at != std::string::npos);
    headers.push_back(at);
  }
  headers.push_back(96);  // the root's object header follows the superblock of 96 bytes
  int refused = 0, wrong = 0;
  std::size_t target = 0;
  for (std::size_t at = 8; at + 8 <= sample.bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, sample.bytes.data() + at, 8);
    if (word < 96 || word >= sample.bytes.size()) continue;  // no address
    std::string bytes = sample.bytes;
    std::memcpy(bytes.data() + at, &headers[target++ % headers.size()], 8);
    wrong += !refused_or_equal(folder, bytes, sample, refused);
  }
  CHECK(wrong == 0);
  CHECK(target > 10);
  CHECK(refused > 5);
}
