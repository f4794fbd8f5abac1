// From folders of pictures to shards to batches.
#include <algorithm>
#include <map>
#include <set>

#include "data/images/fit.h"
#include "data/images/picture_loader.h"
#include "data/images/prepare_pictures.h"
#include "data/shards/picture_shard.h"
#include "tests/places.h"
#include "tests/unit/data/images/support.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

// Twelve pictures of different reds, two of them the same, one damaged.
void write_reds(const TemporaryFolder& folder) {
  for (int i = 0; i < 12; ++i)
    write_plain(folder / "reds/red" + std::string(1, static_cast<char>('a' + i)) + ".png", 4, 4, 20 * i, 0,
                51);
  write_plain(folder / "reds/redz.png", 4, 4, 20, 0, 51);  // as redb
  write_text(folder / "reds/broken.png", read_bytes(folder / "reds/reda.png").substr(0, 40));
}

}  // namespace

TEST_CASE("a folder becomes shards, and what was left out is counted and named") {
  const TemporaryFolder folder;
  write_reds(folder);
  write_text(folder / "reds/redb.txt", "the same");
  write_text(folder / "reds/redz.txt", "the same");
  const Recipe recipe = picture_recipe(folder, pictures_in(folder / "reds"), 4);
  const PreparedPictures made = prepare_pictures(recipe);
  CHECK_FALSE(made.was_ready);
  CHECK(made.train.pictures == 12);
  CHECK(made.width == 4);
  CHECK(made.height == 4);
  CHECK(made.captions.size() == 12);
  CHECK(made.captions[1] == "the same");
  CHECK(made.validation.empty());
  const Json& ledger = made.ledger.at(0);
  CHECK(ledger.at("files") == 14);
  CHECK(ledger.at("kept") == 12);
  CHECK(ledger.at("duplicates") == 1);
  CHECK(ledger.at("damaged") == 1);
  CHECK(ledger.at("held_out") == 0);
  std::string notes;
  for (const std::string& note : made.notes) notes += note + "\n";
  CHECK_THAT(notes,
             contains_text("1 file(s) cannot be read and are left out") && contains_text("broken.png"));
  CHECK_THAT(notes, contains_text("1 exact duplicate(s)") && contains_text("redz.png"));

  const PictureShard shard(made.train.shards.at(0), ShardTrust::Foreign);
  CHECK(shard.size() == PictureSize{4, 4, 3});
  CHECK(shard.picture(1).name == "reds/redb.png");
  CHECK(shard.picture(1).caption == "the same");
  CHECK(std::vector<std::uint16_t>(shard.pixels(3).begin(), shard.pixels(3).begin() + 3) ==
        std::vector<std::uint16_t>{257 * 60, 0, 257 * 51});
  shard.verify();

  const PreparedPictures again = prepare_pictures(recipe);
  CHECK(again.was_ready);
  CHECK(again.directory == made.directory);
  CHECK(again.captions == made.captions);
  CHECK(again.notes == made.notes);
  CHECK(again.data_sha256 == made.data_sha256);
}

TEST_CASE(
    "the shards' bytes do not depend on threads, and a changed caption or setting gives another folder") {
  const TemporaryFolder folder;
  write_reds(folder);
  Recipe recipe = picture_recipe(folder, pictures_in(folder / "reds"), 3);
  recipe.data.workers = 1;
  recipe.data.cache = folder / "one";
  const PreparedPictures one = prepare_pictures(recipe);
  recipe.data.workers = 7;
  recipe.data.cache = folder / "seven";
  const PreparedPictures seven = prepare_pictures(recipe);
  CHECK(read_bytes(one.train.shards.at(0)) == read_bytes(seven.train.shards.at(0)));
  CHECK(std::filesystem::path(one.directory).filename() == std::filesystem::path(seven.directory).filename());

  write_text(folder / "reds/reda.txt", "another");
  const PreparedPictures changed = prepare_pictures(recipe);
  CHECK(changed.directory != seven.directory);
  CHECK(changed.data_sha256 != seven.data_sha256);
  const auto time = std::filesystem::last_write_time(folder / "reds/reda.txt");
  write_text(folder / "reds/reda.txt", "a third");  // of the same length and time
  std::filesystem::last_write_time(folder / "reds/reda.txt", time);
  CHECK(prepare_pictures(recipe).captions.at(0) == "a third");
  recipe.data.channels = 1;
  CHECK(prepare_pictures(recipe).directory != changed.directory);
}

TEST_CASE("an interrupted preparation goes on, a damaged shard is made again") {
  const TemporaryFolder folder;
  write_reds(folder);
  const Recipe recipe = picture_recipe(folder, pictures_in(folder / "reds"), 4);
  const PreparedPictures made = prepare_pictures(recipe);
  const std::string shard = made.train.shards.at(0), bytes = read_bytes(shard);
  std::filesystem::remove(made.directory + "/prepared.json");
  write_text(made.directory + "/train-4x4-0.h5.tmp-99", "half");
  const auto time = std::filesystem::last_write_time(shard);
  const PreparedPictures resumed = prepare_pictures(recipe);
  CHECK_FALSE(resumed.was_ready);
  CHECK(std::filesystem::last_write_time(shard) == time);  // not written again
  CHECK_FALSE(std::filesystem::exists(made.directory + "/train-4x4-0.h5.tmp-99"));

  std::filesystem::remove(made.directory + "/prepared.json");
  std::string damaged = bytes;
  const auto at = damaged.find(std::string("\x3C\x3C\x00\x00\x33\x33", 6));  // a pixel: 60, 0, 51
  REQUIRE(at != std::string::npos);
  damaged[at] = static_cast<char>(damaged[at] + 1);
  write_text(shard, damaged);
  CHECK_THROWS_WITH(PictureShard(shard, ShardTrust::Own).verify(), contains_text("checksum"));
  prepare_pictures(recipe);
  CHECK(read_bytes(shard) == bytes);

  write_text(shard, damaged);  // of something complete
  CHECK(prepare_pictures(recipe).was_ready);
  const PreparedPictures mended = prepare_pictures(recipe, {}, ReadyCheck::Checksums);
  CHECK_FALSE(mended.was_ready);
  CHECK_THAT(mended.notes.back(), contains_text("train-4x4-0.h5") && contains_text("damaged"));
  CHECK(read_bytes(shard) == bytes);
  CHECK(prepare_pictures(recipe, {}, ReadyCheck::Checksums).was_ready);
}

TEST_CASE("a share of the pictures is held out, exactly, with equal pictures on one side") {
  const TemporaryFolder folder;
  write_reds(folder);
  write_text(folder / "reds/redb.txt", "one");
  write_text(folder / "reds/redz.txt", "two");  // the same picture under two captions stays twice
  Recipe recipe = picture_recipe(folder, pictures_in(folder / "reds"), 4);
  for (const double share : {0.1, 0.25, 0.5}) {
    recipe.data.validation.share = share;
    const PreparedPictures made = prepare_pictures(recipe);
    REQUIRE(made.validation.size() == 1);
    CHECK(made.validation[0].pictures == static_cast<std::uint64_t>(std::llround(share * 13)));
    CHECK(made.train.pictures + made.validation[0].pictures == 13);
    std::map<std::vector<std::uint16_t>, std::set<std::string>> sides;
    for (const PictureSet* set : {&made.train, &made.validation[0]}) {
      const PictureShard shard(set->shards.at(0), ShardTrust::Own);
      for (std::uint64_t i = 0; i < shard.pictures(); ++i)
        sides[{shard.pixels(i).begin(), shard.pixels(i).end()}].insert(set->name);
    }
    CHECK(sides.size() == 12);
    for (const auto& [pixels, names] : sides) CHECK(names.size() == 1);
  }
}

TEST_CASE("named validation sets are sets of their own, and drawn ones never repeat the training pictures") {
  const TemporaryFolder folder;
  write_reds(folder);
  Recipe recipe = picture_recipe(folder, drawn(40), 8);
  recipe.data.validation.sets = {pictures_in(folder / "reds"), drawn(40, "new")};
  recipe.data.validation.sets[0].name = "reds";
  const PreparedPictures made = prepare_pictures(recipe);
  REQUIRE(made.validation.size() == 2);
  CHECK(made.validation[0].name == "reds");
  CHECK(made.validation[0].pictures == 13);  // two of them equal, under names of their own
  CHECK(made.validation[1].pictures == 40);
  const PictureShard train(made.train.shards[0], ShardTrust::Own),
      held(made.validation[1].shards[0], ShardTrust::Own);
  for (std::uint64_t i = 0; i < 40; ++i) CHECK_FALSE(std::ranges::equal(train.pixels(i), held.pixels(i)));
  recipe.data.validation.sets[1].name = "reds";
  CHECK_THROWS_WITH(prepare_pictures(recipe), contains_text("two sets are called 'reds'"));
}

TEST_CASE("what the loader gives: every picture once an epoch, the same for any cut of the rows") {
  const TemporaryFolder folder;
  const PreparedPictures made = prepare_pictures(picture_recipe(folder, drawn(37), 8));
  const PictureLoader loader(made.train, 5);
  REQUIRE(loader.rows_per_epoch() == 37);
  const PictureBatch two = loader.read(0, 74);
  CHECK(two.count == 74);
  CHECK(two.channels == 3);
  CHECK(two.pixels.size() == 74 * 3 * 8 * 8);
  for (const std::size_t epoch : {0, 1}) {
    std::set<std::uint64_t> ids(two.ids.begin() + static_cast<std::ptrdiff_t>(37 * epoch),
                                two.ids.begin() + static_cast<std::ptrdiff_t>(37 * (epoch + 1)));
    CHECK(ids.size() == 37);
    for (std::size_t i = 37 * epoch; i < 37 * (epoch + 1); ++i) CHECK(two.visits[i] == epoch);
  }
  CHECK_FALSE(std::equal(two.ids.begin(), two.ids.begin() + 37, two.ids.begin() + 37));
  const PictureBatch part = loader.read(30, 10);  // over the end of an epoch
  CHECK(std::equal(part.ids.begin(), part.ids.end(), two.ids.begin() + 30));
  CHECK(std::equal(part.pixels.begin(), part.pixels.end(), two.pixels.begin() + 30 * 192));
  CHECK(std::equal(part.captions.begin(), part.captions.end(), two.captions.begin() + 30));
  CHECK(PictureLoader(made.train, 6).read(0, 37).ids != loader.read(0, 37).ids);
  const std::string number = std::to_string(two.ids[40]);
  CHECK(loader.preview(40).name == "shapes/" + std::string(5 - number.size(), '0') + number);

  const PictureBatch stored = PictureLoader(made.train, 5, false).read(0, 37);
  for (std::size_t i = 0; i < 37; ++i) {
    CHECK(stored.ids[i] == i);
    CHECK(stored.captions[i] == made.captions[i]);
  }
}

TEST_CASE("a batch holds planes from -1 to 1") {
  const TemporaryFolder folder;
  Picture picture = plain_picture(2, 1, 0, 255, 51);
  picture.values[3] = 65535;  // the second pixel's red
  write_text(folder / "one/a.png", encode_png(picture));
  Recipe recipe = picture_recipe(folder, pictures_in(folder / "one"), 2);
  recipe.data.resolution = {2, 1};
  const PictureBatch batch = PictureLoader(prepare_pictures(recipe).train, 1).read(0, 1);
  CHECK(batch.width == 2);
  CHECK(batch.height == 1);
  const std::vector<float> wanted = {-1, 1, 1, 1, -0.6f, -0.6f};  // red of both, green of both, blue of both
  REQUIRE(batch.pixels.size() == wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(batch.pixels[i] == Approx(wanted[i]).epsilon(1e-6));
}

TEST_CASE("pictures are scaled until they cover the size and cropped in the middle") {
  const auto covered = [](std::int64_t w, std::int64_t h, PictureSize size) {
    const CoverSize cover = cover_size(w, h, size);
    return std::pair(cover.width, cover.height);
  };
  CHECK(covered(100, 50, {64, 64, 3}) == std::pair<std::int64_t, std::int64_t>(128, 64));
  CHECK(covered(50, 101, {64, 64, 3}) == std::pair<std::int64_t, std::int64_t>(64, 129));
  CHECK(covered(64, 64, {64, 64, 3}) == std::pair<std::int64_t, std::int64_t>(64, 64));
  CHECK(covered(100, 100, {64, 32, 3}) == std::pair<std::int64_t, std::int64_t>(64, 64));
  CHECK(covered(3, 7, {5, 5, 3}) == std::pair<std::int64_t, std::int64_t>(5, 11));

  Picture row{.width = 7, .height = 1, .channels = 1, .values = {10, 20, 30, 40, 50, 60, 70}};
  CHECK(fit_picture(row, {1, 1, 1}).values == std::vector<std::uint16_t>{40});
  CHECK(fit_picture(row, {4, 1, 1}).values == std::vector<std::uint16_t>{30, 40, 50, 60});  // 1.5 goes to 2
  CHECK(fit_picture(row, {4, 1, 1}, 0, 3).values == std::vector<std::uint16_t>{10, 20, 30, 40});
  CHECK(fit_picture(row, {4, 1, 1}, 2, 3).values == std::vector<std::uint16_t>{40, 50, 60, 70});
  CHECK(crop_count(7, 1, {4, 1, 1}, 3) == 3);
  CHECK(crop_count(7, 1, {6, 1, 1}, 3) == 2);
  CHECK(crop_count(7, 7, {4, 4, 1}, 3) == 1);
}

TEST_CASE("crops are variants: stored one after the other, one number a picture, ids of their own") {
  const TemporaryFolder folder;
  write_plain(folder / "set/wide.png", 8, 4, 200, 0, 0);
  write_plain(folder / "set/square.png", 4, 4, 0, 200, 0);
  Recipe recipe = picture_recipe(folder, pictures_in(folder / "set"), 4);
  recipe.data.crops = 3;
  const PreparedPictures made = prepare_pictures(recipe);
  CHECK(made.train.pictures == 2);
  const PictureShard shard(made.train.shards.at(0), ShardTrust::Own);
  REQUIRE(shard.pictures() == 4);
  CHECK(shard.picture(0).name == "set/square.png");
  CHECK(shard.picture(3).number == 1);
  CHECK(shard.picture(3).crop == 2);
  const PictureBatch batch = PictureLoader(made.train, 1).read(0, 4);
  const std::uint64_t crop = std::uint64_t{1} << 41;
  CHECK(std::set<std::uint64_t>(batch.ids.begin(), batch.ids.end()) ==
        std::set<std::uint64_t>{0, 1, crop + 1, 2 * crop + 1});
}

TEST_CASE("mirrored pictures and repeats are rows of their own, each variant's visits are counted") {
  const TemporaryFolder folder;
  Picture picture = plain_picture(3, 1, 0, 0, 0);
  picture.values = {0, 0, 0, 32768, 0, 0, 65535, 0, 0};  // red grows to the right
  write_text(folder / "one/a.png", encode_png(picture));
  write_plain(folder / "two/b.png", 3, 1, 9, 9, 9);
  Recipe recipe = picture_recipe(folder, pictures_in(folder / "one"), 3);
  recipe.data.train.push_back(pictures_in(folder / "two"));
  recipe.data.train[1].repeats = 3;
  recipe.data.resolution = {3, 1};
  recipe.data.flip = true;
  const PreparedPictures made = prepare_pictures(recipe);
  CHECK(made.train.pictures == 2);
  const PictureLoader loader(made.train, 3);
  REQUIRE(loader.rows_per_epoch() == 2 + 6);
  const PictureBatch batch = loader.read(0, 16);
  std::map<std::uint64_t, std::multiset<std::uint64_t>> visits;
  for (std::size_t i = 0; i < 16; ++i) {
    visits[batch.ids[i]].insert(batch.visits[i]);
    if ((batch.ids[i] & 0xFF) != 0) continue;
    const bool mirrored = batch.ids[i] == picture_id(0, 0, true);
    CHECK(batch.pixels[9 * i] == (mirrored ? 1 : -1));
    CHECK(batch.pixels[9 * i + 2] == (mirrored ? -1 : 1));
  }
  const std::multiset<std::uint64_t> twice = {0, 1}, often = {0, 1, 2, 3, 4, 5};
  CHECK(visits == std::map<std::uint64_t, std::multiset<std::uint64_t>>{{picture_id(0, 0, false), twice},
                                                                        {picture_id(0, 0, true), twice},
                                                                        {picture_id(1, 0, false), often},
                                                                        {picture_id(1, 0, true), often}});
  recipe.data.flip = false;  // the same shards
  const PreparedPictures plain = prepare_pictures(recipe);
  CHECK(plain.directory == made.directory);
  CHECK(PictureLoader(plain.train, 3).rows_per_epoch() == 4);
}

TEST_CASE("alpha lies over the background, grey and 16 bits are kept") {
  const TemporaryFolder folder;
  Picture clear{.width = 2, .height = 2, .channels = 4, .values = {}};
  for (int i = 0; i < 4; ++i)
    for (const int v : {65535, 0, 0, 0}) clear.values.push_back(static_cast<std::uint16_t>(v));
  write_text(folder / "set/clear.png", encode_png(clear));
  Recipe recipe = picture_recipe(folder, pictures_in(folder / "set"), 2);
  for (const double background : {1.0, 0.0}) {
    recipe.data.background = background;
    const PictureShard shard(prepare_pictures(recipe).train.shards.at(0), ShardTrust::Own);
    for (const std::uint16_t v : shard.pixels(0)) CHECK(v == (background > 0 ? 65535 : 0));
  }
  recipe.data.train = {pictures_in(test::source_folder() + "/tests/fixtures/pictures", "deep.png")};
  recipe.data.channels = 1;
  recipe.data.resolution = {5, 4};
  const PictureShard deep(prepare_pictures(recipe).train.shards.at(0), ShardTrust::Own);
  const Picture wanted =
      with_channels(over_background(read_picture(recipe.data.train[0].path + "/deep.png"), 1), 1);
  CHECK(wanted.deep);
  CHECK(std::ranges::equal(deep.pixels(0), wanted.values));
}

TEST_CASE("what cannot be trained on is one clear error") {
  const TemporaryFolder folder;
  write_text(folder / "set/a.png", "no picture");
  CHECK_THROWS_WITH(prepare_pictures(picture_recipe(folder, pictures_in(folder / "set"), 4)),
                    contains_text("no picture remains") && contains_text("a.png"));
  Recipe recipe = picture_recipe(folder, pictures_in(folder / "set"), 4);
  recipe.data.train.clear();
  CHECK_THROWS_WITH(prepare_pictures(recipe), contains_text("data.train"));
}

TEST_CASE("what is said of the files is said of today's, whatever shards are ready") {
  const TemporaryFolder folder;
  write_plain(folder / "set/a.png", 4, 4, 1, 2, 3);
  write_text(folder / "set/metadata.jsonl", "{\"file_name\": \"a.png\", \"text\": \"on the left\"}\n");
  Recipe recipe = picture_recipe(folder, pictures_in(folder / "set"), 4);
  CHECK(prepare_pictures(recipe).notes.empty());
  write_text(folder / "set/metadata.jsonl",
             "{\"file_name\": \"a.png\", \"text\": \"on the left\"}\n{\"file_name\": \"gone.png\", \"text\": "
             "\"x\"}\n");
  const PreparedPictures again = prepare_pictures(recipe);
  CHECK(again.was_ready);
  REQUIRE(again.notes.size() == 1);
  CHECK_THAT(again.notes[0], contains_text("gone.png"));
  recipe.data.flip = true;
  CHECK(prepare_pictures(recipe).notes.size() == 2);  // and the side
  recipe.data.flip = false;
  CHECK(prepare_pictures(recipe).notes.size() == 1);
}
