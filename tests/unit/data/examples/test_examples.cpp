#include <zlib.h>

#include "tests/catch.h"
#include "tests/unit/data/examples/support.h"

using namespace lathe;

namespace {

// One file of each known shape and what must come out of it.
struct Case {
  std::string name, content, format, wanted;
};

const Case kCases[] = {
    {"a.jsonl", "{\"prompt\":\"p\",\"completion\":\" c\"}\n\n{\"prompt\":\"q\",\"completion\":\"d\"}",
     "prompt_completion", "p ->  c\nq -> d\n"},
    {"b.json", "[{\"instruction\":\"i\",\"response\":\"r\"}]", "prompt_completion", "i -> r\n"},
    {"c.csv", "Question,Answer,id\nq,a,1\n", "prompt_completion", "q -> a\n"},
    {"d.json",
     "[{\"instruction\":\"i\",\"input\":\"x\",\"output\":\"o\"},{\"instruction\":\"j\",\"input\":\"\","
     "\"output\":\"p\"}]",
     "alpaca", "i\n\nx -> o\nj -> p\n"},
    {"e.jsonl", "{\"instruction\":\"i\",\"context\":\"x\",\"response\":\"r\",\"category\":\"qa\"}", "dolly",
     "i\n\nx -> r\n"},
    {"f.jsonl",
     "{\"system\":\"s\",\"messages\":[{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"assistant\","
     "\"content\":\"a\"}]}",
     "messages",
     "[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"assistant\","
     "\"content\":\"a\"}]\n"},
    {"g.jsonl",
     "{\"conversations\":[{\"from\":\"human\",\"value\":\"u\"},{\"from\":\"gpt\",\"value\":\"a\"}]}",
     "sharegpt", "[{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"assistant\",\"content\":\"a\"}]\n"},
    {"h.jsonl",
     "{\"schemaVersion\":\"bedrock-conversation-2024\",\"system\":[{\"text\":\"s\"}],\"messages\":[{\"role\":"
     "\"user\",\"content\":"
     "[{\"text\":\"u\"}]},{\"role\":\"assistant\",\"content\":[{\"text\":\"a\"},{\"text\":\"b\"}]}]}",
     "bedrock",
     "[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"assistant\","
     "\"content\":\"ab\"}]\n"},
    {"i.jsonl", "{\"text\":\"one\"}\n{\"text\":\"two\"}", "text", " -> one\n -> two\n"},
    {"j.jsonl", "{\"input\":\"continued\"}", "text", " -> continued\n"},
    {"k.txt", "whole\ntext\n", "text", " -> whole\ntext\n\n"},
    {"q.jsonl",
     "{\"prompt\":[{\"role\":\"user\",\"content\":\"u\"}],\"completion\":[{\"role\":\"assistant\","
     "\"content\":\"a\"}]}",
     "prompt_completion",
     "[{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"assistant\",\"content\":\"a\"}]\n"},
    {"m.csv", "question;R\xC9PONSE\nO\xF9 ?;L\xE0\n", "prompt_completion", "O\xC3\xB9 ? -> L\xC3\xA0\n"},
    {"n.jsonl", "{\"instruction\":\"i\",\"output\":\"o\",\"system\":\"s\",\"history\":[[\"a\",\"b\"]]}",
     "alpaca",
     "[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\","
     "\"content\":\"b\"},"
     "{\"role\":\"user\",\"content\":\"i\"},{\"role\":\"assistant\",\"content\":\"o\"}]\n"},
    {"o.tsv", "prompt\tcompletion\na, b\tc\n", "prompt_completion", "a, b -> c\n"},
    {"p.csv", "text,label\n\"good, really\",positive\n", "prompt_completion", "good, really -> positive\n"},
};

}  // namespace

TEST_CASE("every known shape, told from its columns") {
  for (const auto& c : kCases) {
    INFO(c.name);
    const TemporaryFolder folder;
    const auto set = read_examples(folder.write(c.name, c.content));
    CHECK(set.files.at(0).shape.format == c.format);
    CHECK(summary(set) == c.wanted);
    CHECK(set.files[0].examples == set.examples.size());
  }
}

TEST_CASE("what was detected is told in one line") {
  const TemporaryFolder folder;
  const auto path = folder.write("faq.csv", "id;Question;R\xE9ponse\n1;Qui ?;Andr\xE9\n");
  const auto set = read_examples(path);
  CHECK(describe(set.files[0]) ==
        path +
            ": 1 example, prompt_completion (prompt: Question, completion: R\xC3\xA9ponse), "
            "csv with semicolon, CP1252");
  REQUIRE(set.notes.size() == 2);
  CHECK(contains(set.notes[0], "read as CP1252 (R\xC3\xA9ponse, Andr\xC3\xA9)"));
  CHECK(contains(set.notes[1], "columns that are not used: 'id'"));
  CHECK(set.examples[0].origin == "faq.csv:2");
}

TEST_CASE("origins are lines, in arrays too") {
  const TemporaryFolder folder;
  const auto pretty =
      read_examples(folder.write("a.json",
                                 "[\n {\"prompt\": \"[{,\\\"\",\n  \"completion\": \"c\"},\n\n"
                                 " {\"prompt\": \"q\", \"completion\": \"d\"}\n]"));
  CHECK(pretty.examples[0].origin == "a.json:2");
  CHECK(pretty.examples[1].origin == "a.json:5");
  const auto one = read_examples(folder.write("b.json", "[{\"text\":\"a\"},{\"text\":\"b\"}]"));
  CHECK(one.examples[1].origin == "b.json:record 2");
}

TEST_CASE("containers are told by content, gzip too") {
  const TemporaryFolder folder;
  CHECK(
      read_examples(folder.write("lines.json", "{\"text\":\"a\"}\n{\"text\":\"b\"}\n")).files[0].container ==
      "jsonl");
  CHECK(read_examples(folder.write("array.jsonl", "[{\"text\":\"a\"}]")).files[0].container == "json");
  const std::string path = folder / "z.jsonl.gz";
  const gzFile file = gzopen(path.c_str(), "wb");
  gzputs(file, "{\"prompt\":\"p\",\"completion\":\"c\"}\n");
  gzclose(file);
  CHECK(summary(read_examples(path)) == "p -> c\n");
}

TEST_CASE("the format is that of all records, not of the first") {
  const TemporaryFolder folder;
  const auto path =
      folder.write("a.jsonl",
                   "{\"prompt\":\"a\",\"completion\":\"b\"}\n{\"prompt\":\"a\",\"completion\":\"b\"}\n"
                   "{\"prompt\":\"c\",\"complation\":\"d\"}\n");
  CHECK(contains(read_error(path),
                 "a.jsonl:3: wanted 'prompt' and 'completion' (format prompt_completion, as 2 of 3 records), "
                 "found 'prompt', 'complation'"));
  const auto mixed = folder.write("m.jsonl",
                                  "{\"prompt\":\"a\",\"completion\":\"b\"}\n{\"text\":\"t\"}\n"
                                  "{\"prompt\":\"a\",\"completion\":\"b\"}\n");
  CHECK(contains(read_error(mixed), "two formats are mixed, prompt_completion and text"));
  std::string many;
  for (int i = 0; i < 14; ++i) many += "{\"prompt\":\"a\",\"completion\":\"b\"}\n";
  for (int i = 0; i < 13; ++i) many += "{\"text\":\"t\"}\n";
  const std::string told = read_error(folder.write("many.jsonl", many));  // the cause before the many
  CHECK(contains(told.substr(0, told.find('\n')), "two formats are mixed"));
  CHECK(contains(told, "and 4 more like these"));
}

TEST_CASE("columns that contradict each other, and tables without names, are errors that say what to do") {
  const TemporaryFolder folder;
  const auto path = folder.write("a.jsonl", "{\"t\":\"a\",\"c\":\"b\"}\n");
  const auto error = [&](const ColumnMap& columns) {
    return error_of([&] { read_examples(path, {.columns = columns}); });
  };
  CHECK(contains(error({{"text", "t"}, {"completion", "c"}}),
                 "'text' is the whole example and 'completion' a part of one"));
  CHECK(contains(read_error(path), "--columns prompt="));
  const auto table = folder.write("b.csv", "where is the cat,on the mat\nwhere is the dog,on the log\n");
  CHECK(contains(read_error(table), "the first row looks like an example"));
}

TEST_CASE("fields that are missing, empty, null or of another type each give one clear error") {
  const TemporaryFolder folder;
  const auto error = read_error(folder.write(
      "a.jsonl",
      "{\"prompt\":\"ok\",\"completion\":\"ok\"}\n{\"prompt\":\"\",\"completion\":\"b\"}\n"
      "{\"prompt\":\"a\",\"completion\":null}\n{\"prompt\":\"a\",\"completion\":3}\n"
      "{\"prompt\":\"a\",\"completion\":[\"x\"]}\n{\"prompt\":\"a\",\"completion\":\" \\n\"}\n"));
  CHECK(contains(error, "a.jsonl:2: 'prompt' is empty"));
  CHECK(contains(error, "a.jsonl:3: 'completion': wanted text, found null"));
  CHECK(contains(error, "a.jsonl:4: 'completion': wanted text, found 3; write it in quotes: \"3\""));
  CHECK(contains(error, "a.jsonl:5: 'completion': wanted text, found a list"));
  CHECK(contains(error, "a.jsonl:6: 'completion' is empty"));
  CHECK(!contains(error, "a.jsonl:1:"));
  CHECK(contains(read_error(folder.write("b.csv", "prompt,completion\na,\n")),
                 "b.csv:2: 'completion' is empty"));
}

TEST_CASE("what does not parse says where, all of it at once") {
  const TemporaryFolder folder;
  const auto error = read_error(
      folder.write("a.jsonl", "{\"text\":\"a\"}\n{'text':1}\n[1]\n{\"text\":\"a\",\"text\":\"b\"}\n"));
  CHECK(contains(error, "a.jsonl:2: byte"));
  CHECK(contains(error, "a.jsonl:3: wanted an object with named fields, found a list"));
  CHECK(contains(error, "a.jsonl:4: byte"));
  CHECK(contains(error, "duplicate key 'text'"));
  std::string many;
  for (int i = 0; i < 14; ++i) many += "nonsense\n";
  CHECK(contains(read_error(folder.write("b.jsonl", many)), "and 4 more like these"));
  CHECK(contains(read_error(folder.write("c.json", "{\n\"text\": \"a\"\n}")), "found a single object"));
  CHECK(contains(read_error(folder.write("d.jsonl", " \n")), "the file is empty"));
  CHECK(contains(read_error(folder.write("e.json", "[]")), "no records"));
  CHECK(contains(read_error(folder / "none.jsonl"), "none.jsonl: cannot open"));
}

TEST_CASE("a table without names keeps its first record: the advice puts a row before it") {
  const TemporaryFolder folder;
  std::string rows;
  for (int i = 0; i < 9; ++i) rows += cat("q", i, ";a", i, "\n");
  const auto table = folder.write("plain.csv", rows);
  const std::string advice = read_error(table);
  CHECK(contains(advice,
                 "(echo 'prompt;completion'; cat " + table + ") > " + folder.path() + "/plain.named.csv"));
  CHECK(!contains(advice, "prompt: q0"));
  const auto noted = read_examples(table, {.columns = {{"prompt", "q0"}, {"completion", "a0"}}});
  REQUIRE(noted.notes.size() == 1);
  CHECK(contains(noted.notes[0], "the first row looks like an example"));
  CHECK(contains(read_error(folder.write("labels.csv", "fine thing,good\nbad thing,bad\nso so,good\n")),
                 "looks like an example"));
  CHECK(!contains(read_error(folder.write("named.csv", "mail,reply\nhello,hi\n")), "looks like"));
}

TEST_CASE("records under a key, or over several lines, are told with the command that lays them out") {
  const TemporaryFolder folder;
  const std::string record = "{\"prompt\": \"a\", \"completion\": \"b\"}";
  for (const std::string& text : {"{\"data\": [" + record + ", " + record + "]}",
                                  "{\n\"data\": [" + record + ",\n" + record + "]\n}\n"}) {
    const std::string error = read_error(folder.write("wrapped.json", text));
    CHECK(contains(error, "2 records under 'data'"));
    CHECK(contains(error,
                   "jq -c '.data[]' " + (folder / "wrapped.json") + " > " + (folder / "wrapped.data.jsonl")));
  }
  const std::string spread = "{\n \"prompt\": \"a\",\n \"completion\": \"b }\"\n}\n";
  const std::string error = read_error(folder.write("pretty.jsonl", spread + spread));
  CHECK(contains(error, "the records span several lines (the first one 4)"));
  CHECK(contains(error, "jq -c . "));
  CHECK(contains(error, "pretty.lines.jsonl"));
  CHECK(!contains(error, "parse error"));
  CHECK(contains(read_error(folder.write("one.json", spread)), "jq -c . "));
}

TEST_CASE("unknown columns ask which is which") {
  const TemporaryFolder folder;
  const auto path = folder.write("a.csv", "mail,reply\nhello,hi\n");
  CHECK(contains(
      read_error(path),
      "found 'mail', 'reply'; say which is which, e.g. data.columns: {prompt: mail, completion: reply}"));
  const auto set = read_examples(path, {.columns = {{"prompt", "mail"}, {"completion", "reply"}}});
  CHECK(summary(set) == "hello -> hi\n");
  CHECK(contains(read_error(path, {.columns = {{"prompt", "mial"}, {"completion", "reply"}}}),
                 "no record has a column 'mial'"));
  CHECK(contains(read_error(path, {.columns = {{"question", "mail"}}}), "wanted prompt, completion, input"));
  CHECK(contains(read_error(path, {.columns = {{"prompt", "mail"}}}),
                 "wanted prompt and completion, or text, or messages"));
  const auto preference = folder.write("p.jsonl", "{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"r\"}");
  CHECK(contains(read_error(preference), "preference data"));
  CHECK(summary(read_examples(preference, {.columns = {{"prompt", "prompt"}, {"completion", "chosen"}}})) ==
        "p -> c\n");
}

TEST_CASE("the format can be given") {
  const TemporaryFolder folder;
  const auto path = folder.write("a.jsonl", "{\"text\":\"t\",\"prompt\":\"p\",\"completion\":\"c\"}");
  CHECK(summary(read_examples(path)) == "p -> c\n");
  CHECK(summary(read_examples(path, {.format = "text"})) == " -> t\n");
  CHECK(contains(read_error(path, {.format = "chatml"}),
                 "data.format: wanted one of bedrock, messages, sharegpt"));
  CHECK(contains(read_error(path, {.format = "sharegpt"}),
                 "no record has the columns of data.format 'sharegpt'"));
}

TEST_CASE("templates: one text or a pair, braces doubled") {
  const TemporaryFolder folder;
  const auto path = folder.write("a.jsonl", "{\"q\":\"Who?\",\"a b\":\"Me\",\"n\":3}");
  CHECK(summary(read_examples(path, {.text_template = "{{Q}} {q} A{n}: {a b}"})) == " -> {Q} Who? A3: Me\n");
  CHECK(summary(read_examples(path, {.prompt_template = "Q: {q}", .completion_template = " {a b}"})) ==
        "Q: Who? ->  Me\n");
  CHECK(contains(read_error(path, {.text_template = "{Q}"}), "a.jsonl:1: the template wants a field 'Q'"));
  CHECK(contains(read_error(path, {.text_template = "no slot"}), "wanted at least one {column}"));
  CHECK(contains(read_error(path, {.text_template = "a } b {q}"}), "character 3: a '}' without its '{'"));
  CHECK(contains(read_error(path, {.text_template = "{q"}), "does not close"));
  CHECK(contains(read_error(path, {.prompt_template = "{q}"}), "wanted both prompt and completion"));
  CHECK(contains(read_error(path, {.columns = {{"text", "q"}}, .text_template = "{q}"}),
                 "wanted one of them, found both"));
}

TEST_CASE("JumpStart's template.json beside the data") {
  const TemporaryFolder folder;
  folder.write("d/train.jsonl", "{\"instruction\":\"Sum\",\"context\":\"1 2\",\"response\":\"3\"}");
  folder.write("d/template.json",
               "{\"prompt\":\"### {instruction}\\n{context}\\n\",\"completion\":\" {response}\"}");
  const auto set = read_examples(folder / "d");
  CHECK(summary(set) == "### Sum\n1 2\n ->  3\n");
  CHECK(set.files.at(0).shape.format == "template");
  CHECK(contains(set.notes.at(0), "template.json"));
  CHECK(read_examples(folder / "d", {.format = "dolly"}).files[0].shape.format == "dolly");
  folder.write("d/template.json", "{\"prompt\":\"{instruction}\"}");
  CHECK(contains(read_error(folder / "d"), "template.json: key 'completion' is missing"));
}

TEST_CASE("folders: record files in order, never a validation file in training") {
  const TemporaryFolder folder;
  folder.write("d/b.csv", "prompt,completion\n3,4\n");
  folder.write("d/a.jsonl", "{\"prompt\":\"1\",\"completion\":\"2\"}");
  folder.write("d/README.md", "no data");
  CHECK(summary(read_examples(folder / "d")) == "1 -> 2\n3 -> 4\n");
  folder.write("e/train.jsonl", "{\"text\":\"a\"}");
  folder.write("e/valid.jsonl", "{\"text\":\"a\"}");
  CHECK(contains(read_error(folder / "e"), "holds training and validation files"));
  folder.write("f/x.parquet", "PAR1");
  CHECK(contains(read_error(folder / "f"), "pd.read_parquet"));
  CHECK(contains(read_error(folder.write("x.xlsx", "PK")), "pd.read_excel"));
  CHECK(contains(read_error("s3://bucket/a.jsonl"), "aws s3 cp"));
}
