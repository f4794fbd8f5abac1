// Pictures that look the same, masks, and what the preflight report says.
#include "data/images/near_pictures.h"
#include "data/images/picture_loader.h"
#include "data/images/prepare_pictures.h"
#include "data/images/shapes.h"
#include "data/images/survey_pictures.h"
#include "data/io/faulty_file_system.h"
#include "data/random/philox.h"
#include "tests/places.h"
#include "tests/unit/data/images/support.h"

#include <cerrno>
#include <cmath>
#include <map>
#include <set>

using namespace lathe;
using namespace lathe::testing;

namespace {

// A smooth picture of its own for every seed.
Picture waves(std::uint64_t seed, std::int64_t width, std::int64_t height) {
  const RandomStream random({.seed = seed});
  Picture picture = plain_picture(width, height, 0, 0, 0);
  std::size_t at = 0;
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      for (std::uint64_t c = 0; c < 3; ++c) {
        const double u = 9 * static_cast<double>(x) / static_cast<double>(width),
                     v = 9 * static_cast<double>(y) / static_cast<double>(height);
        const double wave = std::sin((1 + random.uniform(c)) * u + 7 * random.uniform(3 + c)) *
                            std::cos((1 + random.uniform(6 + c)) * v);
        picture.values[at++] = static_cast<std::uint16_t>(32767 + 30000 * wave);
      }
  return picture;
}

std::string all_notes(const PreparedPictures& made) {
  std::string notes;
  for (const std::string& note : made.notes) notes += note + "\n";
  return notes;
}

}  // namespace

TEST_CASE("a picture is near to itself scaled, saved again or brightened, and to no other") {
  std::vector<std::optional<PictureLook>> looks;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const Picture picture = waves(seed, 64, 48);
    const std::string file = encode_png(picture);
    const Picture saved = decode_picture(std::as_bytes(std::span(file.data(), file.size())), "saved");
    Picture bright = picture;
    for (std::uint16_t& v : bright.values) v = static_cast<std::uint16_t>(v + (65535 - v) / 100);
    looks.push_back(look_of(picture));
    for (const Picture& same : {resized(picture, 41, 30), saved, bright})
      CHECK(near_pictures(*looks.back(), look_of(same)));
    CHECK_FALSE(near_pictures(*looks.back(), look_of(mirrored(picture))));
    CHECK_FALSE(near_pictures(*looks.back(), look_of(resized(picture, 64, 32))));  // stretched
  }
  const auto groups = near_picture_groups(looks);
  for (std::uint32_t i = 0; i < groups.size(); ++i) CHECK(groups[i] == i);
  looks.push_back(looks[7]);
  looks.push_back(std::nullopt);
  looks.push_back(look_of(resized(waves(7, 64, 48), 50, 40)));
  const auto more = near_picture_groups(looks);
  CHECK(more[40] == 7);
  CHECK(more[41] == 41);
  CHECK(more[42] == 7);
}

TEST_CASE("near-duplicates are named, and a split keeps them on one side") {
  const TemporaryFolder folder;
  for (std::uint64_t i = 0; i < 10; ++i) {
    write_text(folder / "set/p" + std::to_string(i) + ".png", encode_png(waves(i, 32, 32)));
    write_text(folder / "set/p" + std::to_string(i) + "_small.png",
               encode_png(resized(waves(i, 32, 32), 24, 24)));
  }
  Recipe recipe = picture_recipe(folder, pictures_in(folder / "set"), 16);
  recipe.data.validation.share = 0.3;
  const PreparedPictures made = prepare_pictures(recipe);
  CHECK(made.validation.at(0).pictures == 6);
  CHECK_THAT(all_notes(made), contains_text("10 group(s) of pictures look the same") &&
                                  contains_text("set/p0.png = set/p0_small.png"));
  std::map<std::string, int> sides;
  for (const PictureSet* set : {&made.train, &made.validation[0]}) {
    const PictureShard shard(set->shards.at(0), ShardTrust::Own);
    for (std::uint64_t i = 0; i < shard.pictures(); ++i)
      sides[std::string(shard.picture(i).name.substr(0, 6))] |= set == &made.train ? 1 : 2;
  }
  CHECK(sides.size() == 10);
  for (const auto& [name, side] : sides) CHECK(side != 3);

  recipe.data.validation = {};
  recipe.data.validation.sets = {pictures_in(folder / "set", "p3*.png")};
  CHECK_THAT(
      all_notes(prepare_pictures(recipe)),
      contains_text(
          "2 picture(s) of 'validation' are in the training set too, or nearly so: set/p3.png = set/p3.png"));
}

TEST_CASE("as many pictures are drawn as were asked for, those that are equal by chance too") {
  const TemporaryFolder folder;
  const PreparedPictures made = prepare_pictures(picture_recipe(folder, drawn(1000), 8));
  std::set<std::vector<std::uint16_t>> different;
  const PictureShard shard(made.train.shards.at(0), ShardTrust::Own);
  for (std::uint64_t i = 0; i < shard.pictures(); ++i)
    different.insert({shard.pixels(i).begin(), shard.pixels(i).end()});
  CHECK(made.train.pictures == 1000);
  CHECK(different.size() < 1000);
  CHECK(made.notes.empty());
}

TEST_CASE("small, cropped, turned, clear and masked pictures are named or counted") {
  const TemporaryFolder folder;
  write_plain(folder / "set/small.png", 5, 5, 200, 0, 0);
  write_plain(folder / "set/wide.png", 40, 8, 0, 200, 0);
  write_plain(folder / "set/wide-mask.png", 40, 8, 255, 255, 255);
  std::filesystem::copy(test::source_folder() + "/tests/fixtures/pictures/turned_6.jpg",
                        folder / "set/turned.jpg");
  std::filesystem::copy(test::source_folder() + "/tests/fixtures/pictures/alpha.png",
                        folder / "set/clear.png");
  const std::string notes =
      all_notes(prepare_pictures(picture_recipe(folder, pictures_in(folder / "set"), 8)));
  CHECK_THAT(notes, contains_text("enlarged, which blurs") && contains_text("set/small.png (5 x 5)"));
  CHECK_THAT(notes, contains_text("lose more than a quarter of their area") &&
                        contains_text("set/wide.png (40 x 8)"));
  CHECK_THAT(notes, contains_text("1 picture(s) are turned upright"));
  CHECK_THAT(notes, contains_text("1 picture(s) have alpha, laid over grey 1"));
  CHECK_THAT(notes, contains_text("1 picture(s) have a mask beside them that is not used"));
}

TEST_CASE("masks from files weigh the loss where they are bright, pictures without one count in full") {
  const TemporaryFolder folder;
  write_plain(folder / "set/a.png", 4, 2, 10, 20, 30);
  write_plain(folder / "set/b.png", 4, 2, 40, 50, 60);
  Picture half = plain_picture(4, 2, 0, 0, 0);
  for (const std::size_t x : {0u, 1u, 4u, 5u})  // the left half
    for (std::size_t c = 0; c < 3; ++c) half.values[3 * x + c] = 65535;
  write_text(folder / "set/a-mask.png", encode_png(half));
  Recipe recipe = picture_recipe(folder, pictures_in(folder / "set"), 4);
  recipe.data.resolution = {4, 2};
  recipe.data.masks = "file";
  recipe.data.flip = true;
  const PreparedPictures made = prepare_pictures(recipe);
  CHECK(made.train.pictures == 2);
  CHECK_THAT(all_notes(made), contains_text("1 of 2 picture(s) have a mask"));
  const PictureBatch batch = PictureLoader(made.train, 1, false).read(0, 4);  // a, a mirrored, b, b mirrored
  const std::vector<float> wanted = {1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1,
                                     1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  CHECK(batch.masks == wanted);
  recipe.data.masks = "none";
  const PreparedPictures plain = prepare_pictures(recipe);
  CHECK(plain.directory != made.directory);
  CHECK(PictureLoader(plain.train, 1).read(0, 1).masks.empty());

  recipe.data.masks = "file";
  write_plain(folder / "set/b-mask.png", 3, 2, 255, 255, 255);
  CHECK_THROWS_WITH(prepare_pictures(recipe),
                    contains_text("b-mask.png: the mask is 3 x 2, its picture 4 x 2"));
  write_plain(folder / "set/b-mask.png", 4, 2, 0, 0, 0);
  CHECK_THROWS_WITH(prepare_pictures(recipe), contains_text("b-mask.png: the mask is black everywhere"));
}

TEST_CASE("alpha as a mask weighs the loss where the picture is opaque") {
  const TemporaryFolder folder;
  Picture clear;
  clear.width = 2;
  clear.height = 1;
  clear.channels = 4;
  clear.values = {65535, 0, 0, 65535, 0, 65535, 0, 0};
  write_text(folder / "set/a.png", encode_png(clear));
  Recipe recipe = picture_recipe(folder, pictures_in(folder / "set"), 2);
  recipe.data.resolution = {2, 1};
  recipe.data.masks = "alpha";
  recipe.data.background = 0;
  const PictureBatch batch = PictureLoader(prepare_pictures(recipe).train, 1).read(0, 1);
  CHECK(batch.masks == std::vector<float>{1, 0});
  CHECK(batch.pixels == std::vector<float>{1, -1, -1, -1, -1, -1});
}

TEST_CASE(
    "a full disk or a power cut at any call leaves a cache that the next start completes, byte for byte") {
  std::string expected;
  const auto bytes_of = [](const PreparedPictures& made) {
    std::string bytes;
    for (const std::string& shard : made.train.shards) bytes += read_bytes(shard);
    for (const PictureSet& set : made.validation)
      for (const std::string& shard : set.shards) bytes += read_bytes(shard);
    return bytes;
  };
  const auto recipe_in = [](const TemporaryFolder& folder) {
    Recipe recipe = picture_recipe(folder, drawn(9), 8);
    recipe.data.validation.share = 0.3;
    return recipe;
  };
  {
    const TemporaryFolder folder;
    expected = bytes_of(prepare_pictures(recipe_in(folder)));
  }
  bool finished = false;
  int failures = 0;
  for (std::size_t n = 1; !finished; ++n) {
    const TemporaryFolder folder;
    FaultyFileSystem faulty(folder.path());
    if (n % 2 == 0)
      faulty.fail_at(n, ENOSPC);
    else
      faulty.crash_at(n);
    try {
      prepare_pictures_with(recipe_in(folder), {}, faulty);
      finished = true;
    } catch (const Error&) {
      ++failures;
    }
    faulty.materialise(folder.path() + "-cut");  // the disk after a power cut, seen from the same path
    std::filesystem::remove_all(folder.path());
    std::filesystem::rename(folder.path() + "-cut", folder.path());
    CHECK(bytes_of(prepare_pictures(recipe_in(folder))) == expected);
  }
  CHECK(failures > 15);
}
