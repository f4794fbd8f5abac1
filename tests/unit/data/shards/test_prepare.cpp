#include "tests/unit/data/shards/corpus.h"

using namespace lathe;
using testing::check_balance;
using testing::contains_text;
using testing::CountingTools;
using testing::shard_bytes;
using testing::texts_of;
using testing::Workplace;

TEST_CASE("a corpus becomes one shard a source with every document once") {
  Workplace place;
  CountingTools counting;
  std::set<std::string> phases;
  const auto progress = [&](const std::string& phase, double fraction) {
    phases.insert(phase);
    CHECK((fraction >= 0 && fraction <= 1));
  };
  const PreparedData data = prepare_data_with(place.recipe, progress, counting.tools());
  CHECK_FALSE(data.was_ready);
  CHECK(phases == std::set<std::string>{"reading", "tokenizer", "tokenising"});
  CHECK(data.train.name == "train");
  REQUIRE(data.train.shards.size() == 2);
  CHECK(data.train.weights == std::vector<double>{0, 2});
  CHECK(data.validation.empty());
  std::multiset<std::string> expected{"first record", "last record"};
  std::uint64_t bytes = 12 + 11;
  for (int i = 0; i < 40; ++i) {
    expected.insert(Workplace::text(i));
    bytes += Workplace::text(i).size();
  }
  CHECK(texts_of(data.train) == expected);
  CHECK(data.train.bytes == bytes);
  const TokenLedger& ledger = data.train.ledger;
  CHECK(ledger.documents_read == 44);  // with the copy and the empty one
  CHECK(ledger.documents_kept == 42);
  CHECK(ledger.documents_duplicate == 1);
  CHECK(ledger.documents_dropped == 1);
  CHECK(ledger.bytes_kept == bytes);
  CHECK(ledger.tokens_kept == bytes + 42);  // one EOS each
  check_balance(ledger, 32);
  CHECK(TokenShard(data.train.shards[1]).document_source(0) == 1);
  CHECK(std::filesystem::path(data.directory).parent_path() == place.cache());
  CHECK(std::filesystem::exists(data.tokenizer_path + "/tokenizer.json"));
  CHECK(data.tokenizer->vocab_size() == 257);
  CHECK(data.data_sha256.size() == 64);
  const std::multiset<std::string> trained(counting.training_texts.begin(), counting.training_texts.end());
  CHECK(trained == expected);
}

TEST_CASE("a share is held out and the tokenizer never sees it") {
  Workplace place;
  place.recipe.data.validation.share = 0.25;
  CountingTools counting;
  const PreparedData data = prepare_data_with(place.recipe, {}, counting.tools());
  REQUIRE(data.validation.size() == 1);
  CHECK(data.validation[0].name == "validation");
  const auto held = texts_of(data.validation[0]), kept = texts_of(data.train);
  CHECK(held.size() + kept.size() == 42);
  CHECK(held.size() >= 6);
  CHECK(held.size() <= 16);
  for (const std::string& text : held) CHECK(kept.count(text) == 0);
  const std::multiset<std::string> trained(counting.training_texts.begin(), counting.training_texts.end());
  CHECK(trained == kept);
  check_balance(data.train.ledger, 32);
  check_balance(data.validation[0].ledger, 32);
  CHECK(data.train.ledger.documents_read + data.validation[0].ledger.documents_read == 44);
}

TEST_CASE("validation sets of their own keep their names") {
  Workplace place;
  write_text(place.folder / "held/a.txt", "something else entirely");
  place.recipe.data.validation.sets.resize(2);
  place.recipe.data.validation.sets[0].path = place.folder / "held";
  place.recipe.data.validation.sets[0].name = "own words";
  place.recipe.data.validation.sets[1].path = place.folder / "more.jsonl";
  CountingTools counting;
  const PreparedData data = prepare_data_with(place.recipe, {}, counting.tools());
  REQUIRE(data.validation.size() == 2);
  CHECK(data.validation[0].name == "own words");
  CHECK(data.validation[1].name == "more");
  CHECK(data.validation[0].bytes == 23);
  CHECK(texts_of(data.validation[1]).size() == 3);  // the record that train holds twice counts here
  place.recipe.data.validation.sets[1].name = "own words";
  CHECK_THROWS_WITH(prepare_data_with(place.recipe, {}, counting.tools()), contains_text("own words"));
}

TEST_CASE("what a validation set holds is not trained on") {
  Workplace place;
  const PreparedData alone = prepare_data_with(place.recipe, {}, CountingTools().tools());
  place.recipe.data.validation.sets.resize(1);
  place.recipe.data.validation.sets[0].path = place.folder / "more.jsonl";
  place.recipe.data.validation.sets[0].name = "held";
  const PreparedData apart = prepare_data_with(place.recipe, {}, CountingTools().tools());
  const auto held = texts_of(apart.validation[0]), kept = texts_of(apart.train);
  for (const std::string& text : held) CHECK(kept.count(text) == 0);
  CHECK(alone.train.ledger.documents_kept > apart.train.ledger.documents_kept);
  CHECK(apart.train.ledger.documents_duplicate > alone.train.ledger.documents_duplicate);
  REQUIRE_FALSE(apart.notes.empty());
  CHECK_THAT(apart.notes.front(), contains_text("held: ") && contains_text("left out of training"));
  place.recipe.data.deduplicate = false;
  const PreparedData both = prepare_data_with(place.recipe, {}, CountingTools().tools());
  CHECK_THAT(both.notes.front(), contains_text("so its loss is of texts that were seen"));
}

TEST_CASE("the files do not depend on the number of threads, the time or the folder") {
  Workplace one, two;
  one.recipe.data.validation.share = two.recipe.data.validation.share = 0.2;
  one.recipe.data.workers = 1;
  two.recipe.data.workers = 5;
  CountingTools counting;
  const PreparedData a = prepare_data_with(one.recipe, {}, counting.tools());
  const PreparedData b = prepare_data_with(two.recipe, {}, counting.tools());
  CHECK(a.data_sha256 == b.data_sha256);
  CHECK(std::filesystem::path(a.directory).filename() == std::filesystem::path(b.directory).filename());
  CHECK(shard_bytes(a) == shard_bytes(b));
  CHECK(shard_bytes(a).size() == 5);  // two sources, validation, held-out.txt, prepared.json
}

TEST_CASE("the held-out files are listed by their names inside the source") {
  Workplace place;
  place.recipe.data.train.resize(1);
  place.recipe.data.validation.share = 0.2;
  CountingTools counting;
  const PreparedData data = prepare_data_with(place.recipe, {}, counting.tools());
  std::multiset<std::string> listed;
  std::ifstream list(data.directory + "/held-out.txt");
  for (std::string name; std::getline(list, name);)
    listed.insert(read_bytes(place.recipe.data.train[0].path + "/../" + name));
  CHECK_FALSE(listed.empty());
  CHECK(listed == texts_of(data.validation[0]));
}

TEST_CASE("one long document is cut: its end is held out, the tokenizer sees the rest") {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "line " + std::to_string(i) + (i % 5 == 4 ? "\n\n" : "\n");
  std::map<std::string, std::string> written;
  for (const int threads : {1, 4}) {
    Workplace place;
    write_text(place.folder / "one/book.txt", text);
    place.recipe.data.train.resize(1);
    place.recipe.data.train[0].path = place.folder / "one/book.txt";
    place.recipe.data.validation.share = 0.1;
    place.recipe.data.workers = threads;
    CountingTools counting;
    const PreparedData data = prepare_data_with(place.recipe, {}, counting.tools());
    REQUIRE(texts_of(data.train).size() == 1);
    REQUIRE(texts_of(data.validation.at(0)).size() == 1);
    const std::string kept = *texts_of(data.train).begin(), held = *texts_of(data.validation[0]).begin();
    CHECK(kept + held == text);
    CHECK(kept.ends_with("\n\n"));
    CHECK(held.starts_with("line 90\n"));  // 810 bytes, 81 wanted: the nearest blank line leaves ten lines
    CHECK(counting.training_texts == std::vector<std::string>{kept});
    for (const PreparedSet* set : {&data.train, &data.validation[0]}) {
      check_balance(set->ledger, 32);
      CHECK(set->ledger.documents_cut == 1);
      CHECK(set->ledger.bytes_read == (set == &data.train ? kept : held).size());
    }
    CHECK(data.notes.back().find(cat("the last ", held.size(), " bytes of 1 document, cut")) !=
          std::string::npos);
    CHECK(read_bytes(data.directory + "/held-out.txt") == cat("book.txt\t", kept.size(), '\n'));
    if (!written.empty()) CHECK(written == shard_bytes(data));
    written = shard_bytes(data);
    CHECK(prepare_data_with(place.recipe, {}, counting.tools()).was_ready);
    place.recipe.data.validation.share = 0.2;  // another cut is another folder and another tokenizer
    const PreparedData other = prepare_data_with(place.recipe, {}, counting.tools());
    CHECK(other.directory != data.directory);
    CHECK(counting.trained == 2);
  }
}

TEST_CASE("overlength policies count what they leave out") {
  Workplace place;
  place.recipe.data.train.resize(1);
  place.recipe.data.train[0].path = place.folder / "long.jsonl";
  const std::string tail(60, 'z');
  write_text(place.folder / "long.jsonl", "{\"text\": \"short\"}\n{\"text\": \"" + tail +
                                              "\"}\n{\"text\": \"0123456789012345678901234567890!\"}\n");
  CountingTools counting;
  SECTION("split") {
    const PreparedData data = prepare_data_with(place.recipe, {}, counting.tools());
    CHECK(data.train.ledger.tokens_kept == 6 + 61 + 33);
    check_balance(data.train.ledger, 32);
  }
  SECTION("truncate keeps 33 tokens and their bytes") {
    place.recipe.data.overlength = "truncate";
    const PreparedData data = prepare_data_with(place.recipe, {}, counting.tools());
    CHECK(data.train.ledger.tokens_kept == 6 + 33 + 33);
    CHECK(data.train.ledger.tokens_truncated == 28);
    CHECK(data.train.bytes == 5 + 33 + 32);
    check_balance(data.train.ledger, 32);
  }
  SECTION("drop") {
    place.recipe.data.overlength = "drop";
    const PreparedData data = prepare_data_with(place.recipe, {}, counting.tools());
    CHECK(data.train.ledger.documents_dropped == 1);
    CHECK(data.train.ledger.tokens_dropped == 61);
    CHECK(texts_of(data.train).size() == 2);
    check_balance(data.train.ledger, 32);
  }
  SECTION("error names the document") {
    place.recipe.data.overlength = "error";
    CHECK_THROWS_WITH(prepare_data_with(place.recipe, {}, counting.tools()),
                      contains_text("long.jsonl:2") && contains_text("60 tokens"));
  }
}

TEST_CASE("nothing to train on is said, with what became of it") {
  Workplace place;
  CountingTools counting;
  place.recipe.data.train.resize(1);
  place.recipe.data.train[0].path = place.folder / "long.jsonl";
  place.recipe.data.overlength = "drop";
  write_text(place.folder / "long.jsonl", "{\"text\": \"" + std::string(60, 'z') + "\"}\n");
  CHECK_THROWS_WITH(prepare_data_with(place.recipe, {}, counting.tools()),
                    contains_text("nothing remains") && contains_text("1 document(s) read") &&
                        contains_text("data.overlength"));
  place.recipe.tokenizer.train = "";
  CHECK_THROWS_WITH(prepare_data_with(place.recipe, {}, counting.tools()), contains_text("tokenizer"));
}

TEST_CASE("ledgers are counts and nothing else") {
  TokenLedger ledger;
  ledger.rows = 3;
  ledger.padded = 1ull << 60;
  CHECK(TokenLedger::from_json(ledger.to_json()) == ledger);
  Json json = ledger.to_json();
  json["rows"] = -1;
  CHECK_THROWS_WITH(TokenLedger::from_json(json), contains_text("rows"));
  json.erase("rows");
  CHECK_THROWS_AS(TokenLedger::from_json(json), Error);
  TokenLedger sum = ledger;
  sum += ledger;
  CHECK(sum.rows == 6);
}
