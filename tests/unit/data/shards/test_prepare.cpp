#include <cerrno>
#include <chrono>
#include <map>
#include <set>

#include "data/io/faulty_file_system.h"
#include "data/io/hash.h"
#include "tests/unit/data/shards/support.h"

using namespace lathe;
using testing::contains_text;
using testing::CountingTools;

namespace {

// A corpus of two sources: 40 small files, a jsonl with a duplicate and an empty record.
struct Workplace {
  TemporaryFolder folder;
  Recipe recipe;
  Workplace() {
    for (int i = 0; i < 40; ++i) write_text(folder / ("corpus/" + std::to_string(i) + ".txt"), text(i));
    write_text(folder / "more.jsonl", "{\"text\": \"first record\"}\n{\"text\": \"" + text(3) +
                                          "\"}\n{\"text\": \"\"}\n{\"text\": \"last record\"}\n");
    recipe.name = "x";
    recipe.directory = folder / "runs/x";
    recipe.tokenizer.train = "byte_bpe";
    recipe.tokenizer.vocab_size = 700;  // ByteTokenizer without shift
    recipe.data.train.resize(2);
    recipe.data.train[0].path = folder / "corpus";
    recipe.data.train[1].path = folder / "more.jsonl";
    recipe.data.train[1].weight = 2;
    recipe.data.sequence_length = 32;
    recipe.data.workers = 2;
  }
  // Different words in every text: near-duplicate grouping must not tie them.
  static std::string text(int i) {
    std::string result;
    for (int w = 0; w < 5 + i % 7; ++w)
      result += "w" + sha256_hex(std::to_string(i * 100 + w)).substr(0, 6) + " ";
    return result;
  }
  std::string cache() const { return folder / "runs/.lathe_cache"; }
};

std::multiset<std::string> texts_of(const PreparedSet& set) {
  std::multiset<std::string> texts;
  for (const std::string& path : set.shards) {
    const TokenShard shard(path);
    for (std::uint64_t d = 0; d < shard.documents(); ++d) {
      std::vector<std::int32_t> ids(shard.document_length(d));
      shard.read(d, 0, ids);
      std::string text;
      for (std::size_t i = 0; i + 1 < ids.size(); ++i) text += static_cast<char>(ids[i]);
      if (ids.back() != 256) text += "<no end>";
      texts.insert(text);
    }
  }
  return texts;
}

void check_balance(const TokenLedger& ledger, std::uint64_t sequence_length) {
  CHECK(ledger.documents_read ==
        ledger.documents_kept + ledger.documents_duplicate + ledger.documents_dropped);
  CHECK(ledger.tokens_read == ledger.tokens_kept + ledger.tokens_truncated + ledger.tokens_dropped);
  CHECK(ledger.row_tokens == ledger.tokens_kept - ledger.documents_kept);
  CHECK(ledger.rows * sequence_length == ledger.row_tokens + ledger.padded);
}

std::map<std::string, std::string> shard_bytes(const PreparedData& data) {
  std::map<std::string, std::string> bytes;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data.directory)) {
    bytes[entry.path().filename().string()] = read_bytes(entry.path().string());
  }
  return bytes;
}

}  // namespace

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

TEST_CASE("unchanged data is ready at once, without being read") {
  Workplace place;
  CountingTools counting;
  const PreparedData first = prepare_data_with(place.recipe, {}, counting.tools());
  CHECK(counting.trained == 1);
  const auto begin = std::chrono::steady_clock::now();
  const PreparedData again = prepare_data_with(
      place.recipe, [](const std::string& phase, double) { FAIL("worked on " + phase); },  // "reading" too
      counting.tools());
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(500));
  CHECK(again.was_ready);
  CHECK(counting.trained == 1);
  CHECK(again.directory == first.directory);
  CHECK(again.train.shards == first.train.shards);
  CHECK(again.train.weights == first.train.weights);
  CHECK(again.train.bytes == first.train.bytes);
  CHECK(again.train.ledger == first.train.ledger);
  CHECK(again.data_sha256 == first.data_sha256);
}

TEST_CASE("every kind of change is noticed, and only what it touches is made again") {
  Workplace place;
  CountingTools counting;
  const std::string before = prepare_data_with(place.recipe, {}, counting.tools()).directory;
  const auto now = [&] { return prepare_data_with(place.recipe, {}, counting.tools()); };

  SECTION("a text of the same length") {
    std::string text = Workplace::text(5);
    text[3] = text[3] == 'x' ? 'y' : 'x';
    write_text(place.folder / "corpus/5.txt", text);
    const PreparedData data = now();
    CHECK(data.directory != before);
    CHECK(texts_of(data.train).count(text) == 1);
    CHECK(counting.trained == 2);
  }
  SECTION("a text of the same length whose time is set back, as cp -p and rsync -t do") {
    const std::string path = place.folder / "corpus/5.txt";
    const auto time = std::filesystem::last_write_time(path);
    std::string text = Workplace::text(5);
    text[3] = text[3] == 'x' ? 'y' : 'x';
    write_text(path, text);
    std::filesystem::last_write_time(path, time);
    const PreparedData data = now();
    CHECK(data.directory != before);
    CHECK(texts_of(data.train).count(text) == 1);
  }
  SECTION("another file of the same length and time that took a text's name") {
    const std::string path = place.folder / "corpus/5.txt";
    std::string text = Workplace::text(5);
    text[3] = text[3] == 'x' ? 'y' : 'x';
    write_text(place.folder / "other", text);
    std::filesystem::last_write_time(place.folder / "other", std::filesystem::last_write_time(path));
    std::filesystem::rename(place.folder / "other", path);
    CHECK(texts_of(now().train).count(text) == 1);
  }
  SECTION("a new file") {
    write_text(place.folder / "corpus/new.txt", "one more text");
    CHECK(texts_of(now().train).count("one more text") == 1);
  }
  SECTION("a file that went") {
    std::filesystem::remove(place.folder / "corpus/5.txt");
    CHECK(now().directory != before);
  }
  SECTION("a touched file with the same content is read again and found the same") {
    const std::string path = place.folder / "corpus/5.txt";
    std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) + std::chrono::seconds(5));
    const PreparedData data = now();
    CHECK(data.was_ready);
    CHECK(data.directory == before);
    CHECK(counting.trained == 1);
  }
  SECTION("the row length changes shards and keeps the tokenizer") {
    place.recipe.data.sequence_length = 33;
    CHECK(now().directory != before);
    CHECK(counting.trained == 1);
  }
  SECTION("packing") {
    place.recipe.data.packing = false;
    const PreparedData data = now();
    CHECK(data.directory != before);
    CHECK(TokenShard(data.train.shards[0]).row(0).size() == 1);
  }
  SECTION("deduplication") {
    place.recipe.data.deduplicate = false;
    const PreparedData data = now();
    CHECK(data.directory != before);
    CHECK(data.train.ledger.documents_kept == 43);
  }
  SECTION("the tokenizer's settings") {
    place.recipe.tokenizer.vocab_size = 701;
    const PreparedData data = now();
    CHECK(data.directory != before);
    CHECK(data.tokenizer->vocab_size() == 258);
  }
  SECTION("a given tokenizer, by its content") {
    write_text(place.folder / "given/tokenizer.json", "{\"shift\": 3}");
    place.recipe.tokenizer.train = "";
    place.recipe.tokenizer.path = place.folder / "given";
    const PreparedData data = now();
    CHECK(data.directory != before);
    CHECK(data.tokenizer->vocab_size() == 260);
    CHECK(now().was_ready);
    write_text(place.folder / "given/tokenizer.json", "{\"shift\": 4}");
    const PreparedData changed = now();
    CHECK_FALSE(changed.was_ready);
    CHECK(changed.directory != data.directory);
    CHECK(TokenShard(changed.train.shards[0]).info().vocab_size == 261);
    const auto time = std::filesystem::last_write_time(place.folder / "given/tokenizer.json");
    write_text(place.folder / "given/tokenizer.json", "{\"shift\": 5}");
    std::filesystem::last_write_time(place.folder / "given/tokenizer.json", time);
    CHECK(now().tokenizer->vocab_size() == 262);
  }
  SECTION("weights change nothing that is stored") {
    place.recipe.data.train[0].weight = 5;
    const PreparedData data = now();
    CHECK(data.was_ready);
    CHECK(data.train.weights == std::vector<double>{5, 2});
  }
  SECTION("a shard that was cut short is made again") {
    std::filesystem::resize_file(before + "/train-0.h5", 5000);
    const PreparedData data = now();
    CHECK_FALSE(data.was_ready);
    CHECK(texts_of(data.train).size() == 42);
    CHECK(counting.trained == 1);
  }
  SECTION("a damaged shard of the same size: told of by checksums, made again with the same bytes") {
    const std::string path = before + "/train-0.h5", whole = read_bytes(path);
    std::string damaged = whole;
    const std::size_t at = damaged.find(std::string("w\0", 2));  // an id of /tokens
    REQUIRE(at != damaged.npos);
    damaged[at] = 'x';
    const auto checked = [&] {
      PrepareTools tools = counting.tools();
      tools.check = ReadyCheck::Checksums;
      return prepare_data_with(place.recipe, {}, tools);
    };
    CHECK(checked().was_ready);
    for (const std::string& bytes : {damaged, std::string(whole.size(), '\0')}) {
      write_text(path, bytes);
      CHECK(now().was_ready);  // sizes alone do not tell
      const PreparedData data = checked();
      CHECK_FALSE(data.was_ready);
      CHECK_THAT(data.notes.at(0), contains_text("train-0.h5") && contains_text("damaged"));
      CHECK(data.directory == before);
      CHECK(read_bytes(path) == whole);
      CHECK(checked().was_ready);
    }
    CHECK(counting.trained == 1);
    std::filesystem::remove(before + "/prepared.json");  // killed before its end, and damaged
    write_text(path, damaged);
    CHECK(read_bytes(now().train.shards[0]) == whole);
  }
  SECTION("a damaged tokenizer is trained again, by its checksum or because it cannot be read") {
    const std::string path = now().tokenizer_path + "/tokenizer.json", whole = read_bytes(path);
    for (const char* bytes : {"{\"shift\": 6}", "{\"shi", ""}) {
      write_text(path, bytes);
      const PreparedData data = now();
      CHECK(data.directory == before);
      CHECK(read_bytes(path) == whole);
    }
    CHECK(counting.trained == 4);
    std::filesystem::remove(now().tokenizer_path + "/checksums.json");  // as older programs left it
    CHECK(now().was_ready);
    write_text(path, "{\"shi");
    CHECK(now().directory == before);
    CHECK(read_bytes(path) == whole);
  }
  SECTION("a tokenizer that was removed is trained again") {
    for (const auto& entry : std::filesystem::directory_iterator(place.cache())) {
      if (entry.path().filename().string().rfind("tokenizer-", 0) == 0)
        std::filesystem::remove_all(entry.path());
    }
    const PreparedData data = now();
    CHECK(counting.trained == 2);
    CHECK(std::filesystem::exists(data.tokenizer_path + "/tokenizer.json"));
  }
}

TEST_CASE("what a killed preparation finished is kept, the rest is made") {
  Workplace place;
  place.recipe.data.validation.share = 0.2;
  CountingTools counting;
  const PreparedData whole = prepare_data_with(place.recipe, {}, counting.tools());
  const auto expected = shard_bytes(whole);
  const auto kept_time = std::filesystem::last_write_time(whole.train.shards[0]);
  std::filesystem::remove(whole.directory + "/prepared.json");
  std::filesystem::remove(whole.validation[0].shards[0]);
  write_text(whole.directory + "/train-1.h5.tmp-99999", "half");
  const PreparedData resumed = prepare_data_with(place.recipe, {}, counting.tools());
  CHECK_FALSE(resumed.was_ready);
  CHECK(counting.trained == 1);
  CHECK(std::filesystem::last_write_time(whole.train.shards[0]) == kept_time);
  CHECK(shard_bytes(resumed) == expected);
  CHECK(resumed.train.ledger == whole.train.ledger);
}

TEST_CASE("whichever call fails or is the last, a later run gives the same files") {
  Workplace reference;
  CountingTools counting;
  const auto expected = shard_bytes(prepare_data_with(reference.recipe, {}, counting.tools()));
  bool finished = false;
  int failures = 0;
  for (std::size_t n = 1; !finished; n += 1) {
    Workplace place;
    FaultyFileSystem faulty(place.folder.path());
    if (n % 2 == 0)
      faulty.fail_at(n, ENOSPC);
    else
      faulty.crash_at(n);
    try {
      prepare_data_with(place.recipe, {}, counting.tools(faulty));
      finished = true;
    } catch (const Error&) {
      ++failures;
    }
    // The disk after a power cut, seen from the same path.
    faulty.materialise(place.folder.path() + "-cut", {});
    std::filesystem::remove_all(place.folder.path());
    std::filesystem::rename(place.folder.path() + "-cut", place.folder.path());
    CHECK(shard_bytes(prepare_data_with(place.recipe, {}, counting.tools())) == expected);
  }
  CHECK(failures > 20);
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
