#include "data/sources/choices.h"
#include "tests/catch.h"
#include "tests/unit/data/examples/support.h"

using namespace lathe;

namespace {

Example only_example(const std::string& record, const ExampleOptions& options = {}) {
  TemporaryFolder folder;
  const ExampleSet set = read_examples(folder.write("q.jsonl", record + "\n"), options);
  REQUIRE(set.examples.size() == 1);
  return set.examples[0];
}

std::string error_for(const std::string& record) {
  TemporaryFolder folder;
  return read_error(folder.write("q.jsonl", record + "\n"));
}

const std::vector<std::string> kCities = {"Rome", "Paris", "Oslo"};

}  // namespace

TEST_CASE("choice questions of the published sets are read with their right answer") {
  for (
      const char* record : {
          R"({"question": "Q", "choices": ["Rome", "Paris", "Oslo"], "answer": 1})",        // MMLU
          R"({"question": "Q", "choices": ["Rome", "Paris", "Oslo"], "answer": "B"})",      // by letter
          R"({"question": "Q", "options": ["Rome", "Paris", "Oslo"], "answer": "Paris"})",  // by text
          R"({"ctx": "Q", "endings": ["Rome", "Paris", "Oslo"], "label": "1"})",            // HellaSwag
          R"({"id": "x", "question": "Q", "choices": {"text": ["Rome", "Paris", "Oslo"], "label": ["A", "B", "C"]},
               "answerKey": "B"})",                                                         // ARC
          R"({"question": "Q", "choices": {"text": ["Rome", "Paris", "Oslo"], "label": ["1", "2", "3"]}, "answerKey": "2"})",
          R"({"prompt": "Q", "choices": ["Rome", "Paris", "Oslo"], "completion": "Paris"})",
          R"({"Question": "Q", "Choices": "[\"Rome\", \"Paris\", \"Oslo\"]", "Answer": "Paris"})",  // a CSV
                                                                                                    // cell
      }) {
    INFO(record);
    std::string line = record;
    for (std::size_t at; (at = line.find('\n')) != std::string::npos;) line[at] = ' ';
    const Example example = only_example(line);
    CHECK(example.kind == ExampleKind::PromptCompletion);
    CHECK(example.prompt == "Q");
    CHECK(example.completion == "Paris");
    CHECK(example.choices == kCities);
  }
}

TEST_CASE("the text of a choice goes before its number, and a system text makes a conversation") {
  const Example numbers = only_example(R"({"question": "Q", "choices": ["2", "1", "0"], "answer": "0"})");
  CHECK(numbers.completion == "0");
  const Example chat =
      only_example(R"({"question": "Q", "choices": ["a", "b"], "answer": 0, "system": "Be brief."})");
  CHECK(chat.kind == ExampleKind::Chat);
  CHECK(chat.messages.back()["content"] == "a");
  CHECK(chat.choices.size() == 2);
}

TEST_CASE("a template's {choice} stands for each choice") {
  ExampleOptions options;
  options.prompt_template = "{question}\nAnswer:";
  options.completion_template = " {choice}";
  TemporaryFolder folder;
  const std::string path = folder.write(
      "q.jsonl", R"({"question": "Q", "choices": ["Rome", "Paris"], "answer": 0, "subject": "x"})"
                 "\n");
  const ExampleSet set = read_examples(path, options);
  CHECK(set.examples[0].prompt == "Q\nAnswer:");
  CHECK(set.examples[0].completion == " Rome");
  CHECK(set.examples[0].choices == std::vector<std::string>{" Rome", " Paris"});
  CHECK(set.files[0].unused == std::vector<std::string>{"subject"});
}

TEST_CASE("columns may be named") {
  ExampleOptions options;
  options.columns = {{"prompt", "ask"}, {"choices", "of"}, {"answer", "right"}};
  CHECK(only_example(R"({"ask": "Q", "of": ["x", "y"], "right": "y"})", options).completion == "y");
}

TEST_CASE("choices that cannot be meant are errors with the record and what was found") {
  const auto says = [](const std::string& record, const std::string& text) {
    const std::string error = error_for(record);
    INFO(error);
    CHECK(error.find("q.jsonl:1") != std::string::npos);
    CHECK(error.find(text) != std::string::npos);
  };
  says(R"({"question": "Q", "choices": ["a", "b"], "answer": 2})", "wanted one of the 2 choices");
  says(R"({"question": "Q", "choices": ["a", "b"], "answer": -1})", "found -1");
  says(R"({"question": "Q", "choices": ["a", "b"], "answer": "c"})", "found \"c\"");
  says(R"({"question": "Q", "choices": ["a", "a"], "answer": 0})", "'a' is there twice");
  says(R"({"question": "Q", "choices": ["a"], "answer": 0})", "two or more");
  says(R"({"question": "Q", "choices": ["a", " "], "answer": 0})", "number 2 is empty");
  says(R"({"question": "Q", "choices": [1, 2], "answer": 0})", "write it in quotes");
  says(R"({"question": "Q", "choices": {"text": ["a", "b"], "label": ["A"]}, "answerKey": "A"})",
       "2 texts and 1 labels");
  // A label decides alone: "B" of an ARC question with labels 1 and 2 is no letter.
  says(R"({"question": "Q", "choices": {"text": ["a", "b"], "label": ["1", "2"]}, "answerKey": "B"})",
       "or its label");
}
