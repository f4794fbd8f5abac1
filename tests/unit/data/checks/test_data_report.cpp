#include "data/checks/data_report.h"

#include <filesystem>
#include <iostream>

#include "data/checks/personal.h"
#include "data/checks/text_signs.h"
#include "data/io/file_system.h"
#include "data/sources/examples.h"
#include "tests/catch.h"
#include "tests/complaints.h"
#include "tests/shared_data.h"

using namespace lathe;

namespace {

std::vector<Example> pairs(const std::vector<std::pair<std::string, std::string>>& texts,
                           const std::string& name = "t") {
  std::vector<Example> examples;
  for (const auto& [prompt, completion] : texts) {
    Example example;
    example.prompt = prompt;
    example.completion = completion;
    example.origin = name + ":" + std::to_string(examples.size() + 1);
    examples.push_back(example);
  }
  return examples;
}

const Finding* find(const DataReport& report, const std::string& kind) {
  for (const auto& finding : report.findings) {
    if (finding.kind == kind) return &finding;
  }
  return nullptr;
}

using Origins = std::vector<std::string>;
const std::vector<Example> kNone;

}  // namespace

TEST_CASE("report: a clean set has no findings") {
  const auto train =
      pairs({{"What is the capital of France?", "Paris"}, {"How many legs has a spider?", "Eight"}});
  const auto report = data_report({train, kNone});
  CHECK(report.findings.empty());
  CHECK(to_text(report) == "2 training examples\nnothing to object\n");
}

TEST_CASE("report: duplicates after NFC, case and spaces; near ones apart") {
  const std::string story =
      "Once upon a time a small fox lived in a wood near the river and every morning it walked to "
      "the old mill to see whether the miller had left some bread on the wall for the birds";
  const auto train = pairs({{"\xC3\x89t\xC3\xA9 ?", "Oui"},
                            {"E\xCC\x81T\xC3\x89  ?\n", "oui"},
                            {"Sum up", story},
                            {"Sum up:", story + " again"},
                            {"other", "thing"}});
  const auto report = data_report({train, kNone});
  const auto* exact = find(report, "exact_duplicate");
  REQUIRE(exact);
  CHECK(exact->count == 1);
  CHECK(exact->origins == Origins{"t:1 and t:2"});
  CHECK(exact->severity == Severity::Warning);
  const auto* near = find(report, "near_duplicate");
  REQUIRE(near);
  CHECK(near->count == 1);
  CHECK(near->origins == Origins{"t:3 and t:4"});
  CHECK(!find(report, "conflict"));
}

TEST_CASE("report: copies within the validation set are told of it, not of training") {
  const auto train = pairs({{"a", "b"}, {"c", "d"}}), held = pairs({{"e", "f"}, {"e", "F"}}, "v");
  const auto report = data_report({train, held});
  const auto* exact = find(report, "exact_duplicate");
  REQUIRE(exact);
  CHECK(exact->origins == Origins{"v:1 and v:2"});
  CHECK(contains(exact->says, "validation"));
  CHECK(!contains(exact->says, "training"));
}

TEST_CASE("report: answers that say that there is none") {
  const auto train = pairs(
      {{"a", "NULL"}, {"b", "NaN"}, {"c", "N/A"}, {"d", "todo "}, {"e", "none"}, {"f", "null hypothesis"}});
  const auto report = data_report({train, kNone});
  const auto* placeholder = find(report, "placeholder");
  REQUIRE(placeholder);
  CHECK(placeholder->count == 4);
  CHECK(placeholder->origins == Origins{"t:1 (NULL)", "t:2 (NaN)", "t:3 (N/A)"});
}

TEST_CASE("report: conflicting answers") {
  const auto train = pairs({{"Q", "yes"}, {"q ", "no"}, {"Q", "Yes"}, {"R", "no"}, {"Q", "perhaps"}});
  const auto report = data_report({train, kNone});
  const auto* conflict = find(report, "conflict");
  REQUIRE(conflict);
  CHECK(conflict->count == 2);
  CHECK(conflict->origins == Origins{"t:1 and t:2", "t:1 and t:5"});
}

TEST_CASE("report: leaks between training and validation") {
  const auto train = pairs({{"Capital of France?", "Paris"}, {"Capital of Spain?", "Madrid"}});
  const auto validation = pairs({{"capital of FRANCE?", "It is Paris."}, {"Capital of Italy?", "Rome"}}, "v");
  const auto report = data_report({train, validation});
  const auto* leak = find(report, "leak");
  REQUIRE(leak);
  CHECK(leak->severity == Severity::Error);
  CHECK(leak->origins == Origins{"t:1 and v:1"});
  CHECK(report.has(Severity::Error));
  CHECK(!find(report, "conflict"));  // between the sets it is a leak, not a contradiction
}

TEST_CASE("report: a validation text that is nearly a training text") {
  const std::string words =
      "the quick brown fox jumps over the lazy dog while seven grey geese fly slowly across the "
      "evening sky and nobody in the little village below looks up to see them pass";
  const auto train = pairs({{"Continue one", words}}), validation = pairs({{"Continue two", words}}, "v");
  const auto report = data_report({train, validation});
  const auto* near = find(report, "near_leak");
  REQUIRE(near);
  CHECK(near->origins == Origins{"t:1 and v:1"});
  CHECK(!find(report, "leak"));
}

TEST_CASE("report: lengths through the callback") {
  const auto train = pairs({{"a", "bb"}, {"aaaa", "bbbbbbbb"}, {"aaa", "b"}});
  const auto length = [](const Example& e) { return e.prompt.size() + e.completion.size(); };
  const auto report = data_report({train, kNone, length, 10});
  CHECK(report.lengths.shortest == 3);
  CHECK(report.lengths.median == 4);
  CHECK(report.lengths.longest == 12);
  const auto* over = find(report, "over_length");
  REQUIRE(over);
  CHECK(over->origins == Origins{"t:2 (12)"});
  CHECK(
      contains(to_text(report),
               "3 training examples; tokens: 3 to 12, median 4, limit 10\nerror: over_length (1 example): "));
  CHECK(!find(data_report({train, kNone, length, 12}), "over_length"));
}

TEST_CASE("report: answers that the tokenizer would join to what stands before them") {
  const auto train = pairs({{"a", "b"}, {"c", "d"}}, "x.jsonl");
  const auto joined = [](bool apart) {
    return [apart](const Example& e) { return Measured(3, e.prompt == "c" ? 1 : 0, apart); };
  };
  const auto kept = data_report({train, kNone, joined(true), 10});
  REQUIRE(find(kept, "joined_answer"));
  CHECK(find(kept, "joined_answer")->severity == Severity::Note);
  CHECK(find(kept, "joined_answer")->origins == std::vector<std::string>{"x.jsonl:2"});
  CHECK(find(data_report({train, kNone, joined(false), 10}), "joined_answer")->severity == Severity::Warning);
  CHECK(!find(data_report({train, kNone, [](const Example&) { return 3; }, 10}), "joined_answer"));
}

TEST_CASE("report: a chat whose question is blank is empty") {
  std::vector<Example> chats(2);
  for (std::size_t i = 0; i < chats.size(); ++i) {
    chats[i].kind = ExampleKind::Chat;
    chats[i].origin = "c:" + std::to_string(i + 1);
    chats[i].messages = {{{"role", "system"}, {"content", "be brief"}},
                         {{"role", "user"}, {"content", i == 0 ? " \n" : "why?"}},
                         {{"role", "assistant"}, {"content", "because"}}};
  }
  CHECK(find(data_report({chats, kNone}), "empty")->origins == Origins{"c:1"});
}

TEST_CASE("report: empty texts, marks, damage, control characters, spaces") {
  const auto train = pairs(
      {{"a", " \n"}, {"", "b"}, {"c", "User: d"}, {"e", "caf\xC3\x83\xC2\xA9"}, {"f", "g\x01"}, {"h ", "i"}});
  const auto report = data_report({train, kNone});
  CHECK(find(report, "empty")->origins == Origins{"t:1", "t:2"});
  CHECK(find(report, "role_mark")->origins == Origins{"t:3 (completion: User:)"});
  CHECK(find(report, "encoding")->origins == Origins{"t:4 (completion: \xC3\x83\xC2\xA9)"});
  CHECK(find(report, "control_character")->origins == Origins{"t:5 (completion: U+0001)"});
  CHECK(find(report, "trailing_space")->origins == Origins{"t:6"});
  CHECK(report.findings.front().severity == Severity::Error);  // errors first
  CHECK(report.findings.back().severity == Severity::Note);
}

TEST_CASE("report: secrets are masked in every rendering") {
  const auto train = pairs({{"call", "06 12 34 56 78"}, {"card", "4111 1111 1111 1111 and 06 12 34 56 78"}});
  const auto report = data_report({train, kNone});
  CHECK(find(report, "phone")->count == 2);
  CHECK(find(report, "phone")->origins[0] == "t:1 (completion: 06...78)");
  CHECK(find(report, "card")->severity == Severity::Error);
  for (const std::string& text : {to_text(report), to_json(report).dump()}) {
    CHECK(!contains(text, "12 34"));
    CHECK(!contains(text, "1111 1111"));
  }
}

TEST_CASE("report: at most three origins, all counted; JSON says the same") {
  const auto train = pairs({{"a", "x"}, {"a", "x"}, {"a", "x"}, {"a", "x"}, {"a", "x"}});
  const auto report = data_report({train, kNone});
  CHECK(contains(to_text(report), "exact_duplicate (4 examples)"));
  CHECK(contains(to_text(report), "    t:1 and t:4\n    and 1 more\n"));
  const Json json = to_json(report);
  CHECK(json["train"] == 5);
  CHECK(json["findings"][0]["kind"] == "exact_duplicate");
  CHECK(json["findings"][0]["severity"] == "warning");
  CHECK(json["findings"][0]["count"] == 4);
  CHECK(json["findings"][0]["origins"].size() == 3);
  CHECK(!json.contains("lengths"));
}

TEST_CASE("report: conversations are compared by what is asked and answered") {
  const auto chat = [](const std::string& question, const std::string& answer, const std::string& origin) {
    Example example;
    example.kind = ExampleKind::Chat;
    example.messages = Json::parse("[{\"role\":\"user\"},{\"role\":\"assistant\"}]");
    example.messages[0]["content"] = question;
    example.messages[1]["content"] = answer;
    example.origin = origin;
    return example;
  };
  const std::vector<Example> train = {chat("Hi", "Hello", "t:1"), chat("hi", "Go away", "t:2"),
                                      chat("Bye [INST]", "See you", "t:3")};
  const auto report = data_report({train, kNone});
  CHECK(find(report, "conflict")->origins == Origins{"t:1 and t:2"});
  CHECK(find(report, "role_mark")->origins == Origins{"t:3 (message 1: [INST])"});
}

// Published sets hold what people really wrote. Each match in them was looked at once: they are addresses and
// numbers, and a longer list here would be false alarms.
TEST_CASE("report: no false alarms on published instruction sets") {
  const std::string folder = test::shared_data("instruct/");
  if (test::skipped_without(folder)) return;
  struct Wanted {
    const char* file;
    std::size_t emails, phones, damaged;
  };
  const Wanted all[] = {{"alpaca_en_demo.json", 2, 0, 0},   {"identity.json", 0, 0, 0},
                        {"instruction-data.json", 0, 0, 0}, {"glaive_toolcall_en_demo.json", 9, 0, 0},
                        {"train_ft.jsonl", 0, 0, 0},        {"mlx/train.jsonl", 0, 0, 0},
                        {"c4_demo.jsonl", 7, 4, 4},         {"mlx/wwdc25/data/all.jsonl", 0, 0, 0}};
  for (const auto& wanted : all) {
    INFO(wanted.file);
    const auto set = read_examples(folder + wanted.file);
    const auto report = data_report({set.examples, kNone});
    const auto count = [&](const char* kind) { return find(report, kind) ? find(report, kind)->count : 0; };
    CHECK(count("email") == wanted.emails);
    CHECK(count("phone") == wanted.phones);
    CHECK(count("encoding") == wanted.damaged);
    for (const char* kind :
         {"card", "iban", "nir", "siret", "api_key", "private_key", "role_mark", "empty"}) {
      INFO(kind);
      CHECK(count(kind) == 0);
    }
  }
}

TEST_CASE("report: novels in two languages hold nothing personal and no damage") {
  const std::string folder = test::shared_data("text/");
  if (test::skipped_without(folder)) return;
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".txt") continue;
    const std::string text = read_file(entry.path().string());
    INFO(entry.path().filename().string());
    ++files;
    std::string kinds;
    for (const auto& match : find_personal(text)) kinds += std::string(match.kind) + " ";
    // One edition prints its publisher's telephone and address.
    CHECK(kinds == (entry.path().filename() == "botchan.txt" ? "phone email " : ""));
    CHECK(encoding_damage(text).value_or("") == "");
    CHECK(role_mark(text).value_or("") == "");
  }
  CHECK(files > 5);
}
