// Files that are nearly right: whatever stands in them, the answer is examples or an Error that begins with
// the path.
#include "data/random/philox.h"
#include "tests/catch.h"
#include "tests/unit/data/examples/support.h"

using namespace lathe;

namespace {

const char* const kSeeds[][2] = {
    {"a.jsonl",
     R"({"messages":[{"role":"user","content":[{"text":"u"}]},{"role":"assistant","content":"a","tool_calls":[]}],"tools":"[]"})"},
    {"b.json",
     R"([{"conversations":[{"from":"human","value":"u"},{"from":"function_call","value":"{\"name\":1}"}]}])"},
    {"c.jsonl",
     "{\"instruction\":\"i\",\"input\":null,\"output\":\"o\",\"history\":[[\"a\",\"b\"]],\"system\":\"s\"}"
     "\n"},
    {"d.csv", "sep=;\r\nprompt;completion\r\n\"a;\"\"b\";c\r\n;\r\n"},
    {"e.csv", "Question,R\xE9ponse,\n\"x\n\",\xFC,\n"},
    {"f.jsonl",
     R"({"prompt":[{"role":"user","content":"u"}],"completion":[{"role":"assistant","content":null}]})"},
};
const std::string kPieces[] = {"\"",       "{",          "}",  "[",    "]",    ",",
                               ":",        ";",          "\n", "\r",   "null", "1",
                               "\\",       "[]",         "{}", "\xC3", "\xFF", std::string(1, '\0'),
                               "\"role\"", "\"content\""};

std::string mutated(std::string text, std::uint64_t trial) {
  const RandomStream stream({.seed = 3, .purpose = Purpose::Noise, .sample = trial});
  const std::uint32_t edits = 1 + stream.bits(0) % 3;
  for (std::uint32_t i = 0; i < edits; ++i) {
    const std::size_t at = stream.bits(4 * i + 1) % (text.size() + 1);
    const std::size_t cut = stream.bits(4 * i + 2) % 4;
    text.replace(at, std::min(cut, text.size() - at), kPieces[stream.bits(4 * i + 3) % std::size(kPieces)]);
  }
  return text;
}

}  // namespace

TEST_CASE("mutated files give examples or an Error that names the file") {
  const TemporaryFolder folder;
  std::size_t read = 0, refused = 0;
  for (const auto& [name, seed] : kSeeds) {
    for (std::uint64_t trial = 0; trial < 500; ++trial) {
      const std::string text = mutated(seed, trial), path = folder.write(name, text);
      INFO(text);
      try {
        const auto set = read_examples(path);
        CHECK(!set.examples.empty());
        ++read;
      } catch (const Error& e) {
        CHECK(std::string(e.what()).starts_with(path));
        ++refused;
      }
    }
  }
  CHECK(read > 100);
  CHECK(refused > 1000);
}
