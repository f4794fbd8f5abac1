#include "data/io/hash.h"

#include "data/io/mapped_file.h"
#include "tests/catch.h"
#include "tests/complaints.h"
#include "tests/temporary_folder.h"

using namespace lathe;

TEST_CASE("sha256 gives the digests of FIPS 180-4's examples") {
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  Sha256 parts;
  for (int i = 0; i < 1000; ++i) parts.update(std::string(1000, 'a'));
  CHECK(parts.hex() == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("sha256 of a file is that of its bytes, empty ones too") {
  const TemporaryFolder folder;
  CHECK(sha256_file(folder.write("a", "abc")) == sha256_hex("abc"));
  CHECK(sha256_file(folder.write("empty", "")) == sha256_hex(""));
  CHECK(contains(error_of([&] { sha256_file(folder / "none"); }), folder / "none"));
}

TEST_CASE("xxh3 gives the reference implementation's values") {
  CHECK(xxh3({}) == 0x2d06800538d394c2ull);  // XXH3_64bits of no bytes, seed 0
  CHECK(xxh3(std::as_bytes(std::span("abc", 3))) == 0x78af5f94892f3950ull);
  CHECK(xxh3(std::as_bytes(std::span("abd", 3))) != 0x78af5f94892f3950ull);
}

TEST_CASE("a mapped file shows the bytes and outlives its object") {
  const TemporaryFolder folder;
  const std::string path = folder.write("data", "hello");
  std::shared_ptr<const void> owner;
  std::string_view text;
  {
    const MappedFile file(path);
    const MappedFile copy = file;
    CHECK(copy.size() == 5);
    CHECK(copy.path() == path);
    owner = copy.owner();
    text = copy.text();
  }
  std::filesystem::remove(path);
  CHECK(text == "hello");
  CHECK(MappedFile(folder.write("empty", "")).size() == 0);
}

TEST_CASE("what cannot be mapped is an error that names it") {
  const TemporaryFolder folder;
  CHECK(contains(error_of([&] { MappedFile(folder / "none"); }), "none: cannot open: No such file"));
  CHECK(contains(error_of([&] { MappedFile(folder.path()); }), "found a folder"));
}
