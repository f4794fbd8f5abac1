// What `lathe doctor` finds: library versions, and readers in folders laid out as Python and PATH lay theirs
// out.
#include "trainer/libraries.h"

#include <filesystem>
#include <fstream>
#include <regex>

#include "tests/catch.h"
#include "tests/temporary_folder.h"

namespace lathe {

TEST_CASE("every library has a version", "[doctor]") {
  const Json versions = library_versions();
  for (const char* const name : {"libtorch", "hdf5", "sentencepiece", "pcre2", "icu", "openssl", "zlib",
                                 "xxhash", "yaml-cpp", "nlohmann_json", "cli11"}) {
    INFO(name);
    CHECK(std::regex_search(versions.at(name).get<std::string>(), std::regex("^[0-9]+\\.[0-9]+")));
  }
}

TEST_CASE("readers are found by their metadata and on the path, without being started", "[doctor]") {
  const TemporaryFolder folder;
  namespace fs = std::filesystem;
  const fs::path root = folder.path();
  for (const char* const entry :
       {"env/lib/python3.11/site-packages/transformers-5.23.0.dist-info",
        "env/lib/python3.11/site-packages/tokenizers-0.23.3.dist-info",
        "env/lib/python3.11/site-packages/transformers_stream_generator-0.0.5.dist-info",
        "env/lib/python3.11/site-packages/transformers", "usr/lib/python3/dist-packages/h5py-3.7.0.dist-info",
        "first", "second", "third/ollama"})
    fs::create_directories(root / entry);
  for (const char* const program : {"first/llama-cli", "second/llama-cli", "second/ollama"})
    std::ofstream(root / program) << "#!/bin/sh\ntouch " << (root / "started") << "\n";
  fs::permissions(root / "first/llama-cli", fs::perms::owner_read);  // not a program
  for (const char* const program : {"second/llama-cli", "second/ollama"})
    fs::permissions(root / program, fs::perms::owner_all);
  const std::string path =
      cat((root / "third").string(), ":", (root / "first").string(), "::", (root / "second").string());
  const auto readers =
      find_readers({(root / "env").string(), (root / "usr").string(), (root / "absent").string()}, path);
  std::vector<std::string> told;
  for (const Reader& reader : readers) told.push_back(reader.name + " " + reader.version);
  CHECK(told == std::vector<std::string>{"h5py 3.7.0", "tokenizers 0.23.3", "transformers 5.23.0",
                                         "llama-cli ", "ollama "});
  CHECK(readers[2].place == (root / "env").string());
  CHECK(readers[3].place == (root / "second/llama-cli").string());
  CHECK_FALSE(fs::exists(root / "started"));
}

}  // namespace lathe
