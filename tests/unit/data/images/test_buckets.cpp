// Aspect buckets: their sizes, who gets which, and the order that keeps a batch of one size.
#include <map>
#include <set>

#include "data/images/buckets.h"
#include "data/images/picture_loader.h"
#include "tests/unit/data/images/support.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

std::vector<std::pair<std::int64_t, std::int64_t>> sides(const std::vector<PictureSize>& sizes) {
  std::vector<std::pair<std::int64_t, std::int64_t>> out;
  for (const PictureSize& size : sizes) out.emplace_back(size.width, size.height);
  return out;
}

// 11 square, 5 wide and 2 tall pictures, each of its own red.
Recipe shapes_of_paper(const TemporaryFolder& folder) {
  const auto write = [&](const std::string& name, int count, std::int64_t width, std::int64_t height) {
    for (int i = 0; i < count; ++i)
      write_plain(folder / "set/" + name + std::to_string(i) + ".png", width, height, 20 * i, 255 - 20 * i,
                  99);
  };
  write("square", 11, 16, 16);
  write("wide", 5, 32, 16);
  write("tall", 2, 9, 27);
  Recipe recipe = picture_recipe(folder, pictures_in(folder / "set"), 16);
  recipe.data.bucket_step = 8;
  return recipe;
}

}  // namespace

TEST_CASE("buckets are the largest sizes of the area in multiples of the step, both ways round") {
  // Area 256, sides 8 to 32: 8 x 32, 16 x 16, 24 x 8 (256 / 24 = 10.7), 32 x 8.
  CHECK(sides(bucket_sizes({16, 16, 3}, 8)) ==
        std::vector<std::pair<std::int64_t, std::int64_t>>{{8, 24}, {8, 32}, {16, 16}, {24, 8}, {32, 8}});
  // The sizes that users of Stable Diffusion 1 know, from 256 to 1024 in steps of 64.
  const auto classic = sides(bucket_sizes({512, 512, 3}, 64));
  const std::set<std::pair<std::int64_t, std::int64_t>> known(classic.begin(), classic.end());
  for (const auto& size : std::vector<std::pair<std::int64_t, std::int64_t>>{{256, 1024},
                                                                             {320, 768},
                                                                             {384, 640},
                                                                             {448, 576},
                                                                             {512, 512},
                                                                             {576, 448},
                                                                             {640, 384},
                                                                             {768, 320},
                                                                             {1024, 256}})
    CHECK(known.count(size) == 1);
  for (const auto& [width, height] : classic) CHECK(width * height <= 512 * 512);
  CHECK(sides(bucket_sizes({96, 32, 3}, 0)) == std::vector<std::pair<std::int64_t, std::int64_t>>{{96, 32}});
  CHECK_THROWS_WITH(bucket_sizes({60, 64, 3}, 8), contains_text("no multiple of data.bucket_step 8"));
}

TEST_CASE("a picture gets the bucket whose shape is nearest to its own") {
  const auto sizes = bucket_sizes({16, 16, 3}, 8);  // shapes 1/3, 1/4, 1, 3, 4
  const auto chosen = [&](std::int64_t width, std::int64_t height) {
    return sides(sizes)[choose_bucket(width, height, sizes)];
  };
  CHECK(chosen(100, 100) == std::pair<std::int64_t, std::int64_t>(16, 16));
  CHECK(chosen(300, 100) == std::pair<std::int64_t, std::int64_t>(24, 8));
  CHECK(chosen(100, 1000) == std::pair<std::int64_t, std::int64_t>(8, 32));
  CHECK(chosen(170, 100) ==
        std::pair<std::int64_t, std::int64_t>(16, 16));  // 1.7 is nearer to 1 than to 3 as a ratio
  CHECK(chosen(180, 100) == std::pair<std::int64_t, std::int64_t>(24, 8));
  CHECK(cropped_share(300, 100, {16, 16, 3}) == Approx(2.0 / 3));
  CHECK(cropped_share(32, 32, {16, 16, 3}) == 0);
}

TEST_CASE("no picture of any bucket is left out, groups are of one size, and all are seen equally often") {
  const TemporaryFolder folder;
  const PreparedPictures made = prepare_pictures(shapes_of_paper(folder));
  CHECK(made.train.pictures == 18);
  CHECK(made.captions.size() == 18);
  CHECK(made.ledger.at(0).at("buckets").dump() ==
        "[{\"width\":8,\"height\":24,\"pictures\":2},{\"width\":16,\"height\":16,\"pictures\":11},{\"width\":"
        "24,\"height\":8,\"pictures\":5}]");
  std::string notes;
  for (const std::string& note : made.notes) notes += note + "\n";
  CHECK_THAT(notes, contains_text("8 x 24: 2, 16 x 16: 11, 24 x 8: 5"));

  constexpr std::int64_t kGroup = 4;
  const PictureLoader loader(made.train, 9, true, kGroup);
  CHECK(loader.rows_per_epoch() == 18);
  CHECK(loader.sizes().size() == 3);
  std::map<std::uint64_t, std::uint64_t> seen;
  std::map<std::pair<std::uint64_t, std::uint64_t>, int> visits;
  constexpr std::uint64_t kGroups = 450;  // 100 epochs of 18 rows
  for (std::uint64_t k = 0; k < kGroups; ++k) {
    const PictureBatch batch = loader.read(k * kGroup, kGroup);
    CHECK(batch.pixels.size() == static_cast<std::size_t>(kGroup * 3 * batch.width * batch.height));
    for (std::size_t i = 0; i < kGroup; ++i) {
      ++seen[batch.ids[i]];
      CHECK(++visits[{batch.ids[i], batch.visits[i]}] == 1);
    }
    const PictureBatch half = loader.read(k * kGroup + 2, 2);  // another micro-batch
    CHECK(half.ids[1] == batch.ids[3]);
  }
  CHECK(seen.size() == 18);
  // A bucket's groups are within one of their share after any number; of its R pictures each is seen within
  // one as often.
  for (const auto& [id, count] : seen) CHECK(std::abs(static_cast<double>(count) - 100) <= 4.0 * 2 / 2 + 1);
  CHECK_THROWS_WITH(loader.read(2, 4), contains_text("several sizes"));
  CHECK(loader.rows_of_one_size(2, 4) == 2);

  const PictureLoader stored(made.train, 9, false);
  CHECK(stored.rows_of_one_size(0, 100) == 2);
  CHECK(stored.rows_of_one_size(2, 100) == 11);
  CHECK(stored.rows_of_one_size(13, 3) == 3);
  std::set<std::uint64_t> all;
  for (std::uint64_t at = 0; at < 18;) {
    const PictureBatch batch = stored.read(at, stored.rows_of_one_size(at, 100));
    all.insert(batch.ids.begin(), batch.ids.end());
    at += static_cast<std::uint64_t>(batch.count);
  }
  CHECK(all.size() == 18);
}

TEST_CASE("a set of one size has the same order under any group") {
  const TemporaryFolder folder;
  const PreparedPictures made = prepare_pictures(picture_recipe(folder, drawn(23), 8));
  CHECK(PictureLoader(made.train, 4, true, 1).read(5, 30).ids ==
        PictureLoader(made.train, 4, true, 8).read(5, 30).ids);
}
