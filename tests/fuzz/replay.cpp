// The fuzz targets without libFuzzer: seeds, inputs that once were findings (tests/fuzz/corpus/<target>/) and
// a fixed sequence of mutations, within a limit on memory and processor time.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>

#include "recipes/schema/error.h"
#include "tests/catch.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/target.h"
#include "tests/places.h"

namespace lathe::fuzz {
namespace {

#if defined(LATHE_SANITIZED)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
constexpr double kMaxSeconds = kSanitized ? 20 : 4;  // processor time of one input of a few kilobytes
constexpr rlim_t kMaxMemory = rlim_t{1} << 30;       // beyond what the program maps when it starts
constexpr int kSanitizedShare = 5;

// AddressSanitizer's shadow needs all address space; its own run is bounded by the machine.
void limit_memory() {
  if (kSanitized) return;
  unsigned long long pages = 0;
  if (std::FILE* statm = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(statm, "%llu", &pages) != 1) pages = 0;
    std::fclose(statm);
  }
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_AS, &limit) == 0);
  if (limit.rlim_cur != RLIM_INFINITY) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, pages * 4096 + kMaxMemory);
  REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
}

void try_input(const Target& target, const std::string& bytes) {
  const std::clock_t start = std::clock();
  try {
    target.run(bytes);
  } catch (const Error& error) {
    if (std::string(error.what()).empty()) FAIL("an Error without a text");
  } catch (const std::exception& error) {
    const std::string file =
        std::filesystem::temp_directory_path() / (std::string("lathe-finding-") + target.name);
    if (std::FILE* out = std::fopen(file.c_str(), "wb")) {
      std::fwrite(bytes.data(), 1, bytes.size(), out);
      std::fclose(out);
    }
    FAIL("not a lathe::Error: " << error.what() << "; the input was written to " << file);
  }
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  if (seconds > kMaxSeconds) FAIL("an input of " << bytes.size() << " bytes took " << seconds << " s");
}

std::vector<std::string> once_findings(const std::string& name) {
  namespace fs = std::filesystem;
  std::vector<std::string> paths, inputs;
  std::error_code absent;
  for (const auto& entry :
       fs::directory_iterator(test::source_folder() + "/tests/fuzz/corpus/" + name, absent))
    paths.push_back("tests/fuzz/corpus/" + name + "/" + entry.path().filename().string());
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) inputs.push_back(read_source_file(path));
  return inputs;
}

void replay(const std::string& name) {
  limit_memory();
  for (const Target& target : targets()) {
    if (target.name != name) continue;
    std::vector<std::string> seeds = target.seeds();
    for (const std::string& input : once_findings(name)) seeds.push_back(input);
    REQUIRE_FALSE(seeds.empty());
    for (std::size_t i = 0; i < seeds.size(); ++i) {
      INFO("seed " << i);
      try_input(target, seeds[i]);
    }
    Mutator mutator(seeds, target.words, 1);
    const int rounds = kSanitized ? target.rounds / kSanitizedShare : target.rounds;
    for (int round = 0; round < rounds; ++round) {
      INFO("round " << round << " of " << rounds);  // shown when the process is killed by a signal, too
      try_input(target, mutator.next());
    }
    return;
  }
  FAIL("no target " << name);
}

TEST_CASE("fuzz: safetensors files") { replay("safetensors"); }
TEST_CASE("fuzz: JSON") { replay("json"); }
TEST_CASE("fuzz: tokenizer.json") { replay("tokenizer_json"); }
TEST_CASE("fuzz: SentencePiece models") { replay("sentencepiece"); }
TEST_CASE("fuzz: recipes") { replay("recipe"); }
TEST_CASE("fuzz: shards in the limited process") { replay("shard"); }
TEST_CASE("fuzz: manifests and indices") { replay("manifest"); }
TEST_CASE("fuzz: lines of plain and gzip files") { replay("lines"); }
TEST_CASE("fuzz: chat templates") { replay("chat_template"); }
TEST_CASE("fuzz: GGUF files") { replay("gguf"); }

TEST_CASE("the fuzzer finds a planted fault") {
  // A mutator that never reaches the format's own numbers and words would make every test above a sham.
  std::vector<std::string> seeds = {std::string("\x08\0\0\0\0\0\0\0{\"a\": 1}", 16)};
  Mutator mutator(seeds, {"__metadata__"}, 1);
  int long_lengths = 0, words = 0, cuts = 0;
  for (int round = 0; round < 2000; ++round) {
    const std::string bytes = mutator.next();
    cuts += bytes.size() < 8;
    words += bytes.find("__metadata__") != bytes.npos;
    long_lengths += bytes.size() > 8 && static_cast<unsigned char>(bytes[7]) >= 0x80;
  }
  CHECK(cuts > 20);
  CHECK(words > 200);
  CHECK(long_lengths > 20);
}

}  // namespace
}  // namespace lathe::fuzz
