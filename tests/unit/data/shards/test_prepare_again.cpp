#include <cerrno>
#include <chrono>

#include "data/io/faulty_file_system.h"
#include "tests/unit/data/shards/corpus.h"

using namespace lathe;
using testing::contains_text;
using testing::CountingTools;
using testing::shard_bytes;
using testing::texts_of;
using testing::Workplace;

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
