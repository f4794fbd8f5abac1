#include "checkpoints/store/store.h"

#include <unistd.h>

#include <cerrno>
#include <set>

#include "checkpoints/formats/safetensors.h"
#include "data/io/faulty_file_system.h"
#include "tests/unit/checkpoints/support.h"

namespace lathe {
namespace {

namespace files = std::filesystem;

std::vector<CheckpointFile> content(float value) {
  return {{"model.safetensors", {floats("w", {3}, {value, value, value}), floats("b", {1}, {value})}, ""},
          {"state.json", {}, cat("{\"value\": ", value, ".000000}\n")},
          {"part/weights.safetensors", {floats("w", {1}, {value})}, ""},
          {"part/config.json", {}, "{}\n"}};
}
float value_in(const std::string& path) {
  return values_of(read_safetensors(path + "/model.safetensors").tensors[0])[0];
}
std::set<std::int64_t> steps(const CheckpointStore& store) {
  std::set<std::int64_t> all;
  for (const CheckpointEntry& entry : store.list()) all.insert(entry.step);
  return all;
}
std::optional<CheckpointEntry> newest(const std::string& run, std::vector<std::string>* warnings = nullptr) {
  return CheckpointStore(run).newest([&](const std::string& text) {
    if (warnings) warnings->push_back(text);
  });
}
std::string run_in(const TemporaryFolder& folder) {
  const std::string run = folder / "run";
  files::create_directory(run);
  return run;
}

TEST_CASE("a step is written with its manifest and found again") {
  TemporaryFolder folder;
  CheckpointStore store(folder.path());
  CHECK_FALSE(store.newest({}));
  CHECK(store.list().empty());
  const std::string path = store.save(100, content(1), 2, {});
  CHECK(path == folder / "checkpoints/step-00000100");
  CHECK(CheckpointStore::check(path).empty());
  CHECK(read_bytes(path + "/state.json") == "{\"value\": 1.000000}\n");
  const Json manifest = Json::parse(read_bytes(path + "/MANIFEST.json"));
  CHECK(manifest["format"] == "lathe-checkpoint");
  CHECK(manifest["version"] == 1);
  CHECK(manifest["step"] == 100);
  REQUIRE(manifest["files"].size() == 4);
  CHECK(manifest["files"][3]["name"] == "part/config.json");
  CHECK(read_bytes(path + "/part/config.json") == "{}\n");
  CHECK(manifest["files"][1]["name"] == "state.json");
  CHECK(manifest["files"][1]["size"] == 20);
  // printf '{"value": 1.000000}\n' | sha256sum
  CHECK(manifest["files"][1]["sha256"] == "9d727fccc8d785e52b42298a3618ee09a4554651e44aa92727d8a05d011f83dd");
  CHECK(newest(folder.path())->step == 100);
  CHECK(value_in(newest(folder.path())->path) == 1);
}

TEST_CASE("the last ones and the best one stay") {
  TemporaryFolder folder;
  CheckpointStore store(folder.path());
  for (const std::int64_t step : {10, 20, 30, 40, 50})
    store.save(step, content(static_cast<float>(step)), 2, 20);
  CHECK(steps(store) == std::set<std::int64_t>{20, 40, 50});
  store.save(60, content(60), 1, {});
  CHECK(steps(store) == std::set<std::int64_t>{60});
  CHECK(files::directory_iterator(folder / "checkpoints") != files::directory_iterator());
  for (const auto& entry : files::directory_iterator(folder / "checkpoints"))
    CHECK(entry.path().filename() == "step-00000060");
}

TEST_CASE("damaged steps take nobody's place") {
  TemporaryFolder folder;
  CheckpointStore store(folder.path());
  store.save(10, content(10), 2, {});
  const std::string damaged = store.save(20, content(20), 2, {});
  files::remove(damaged + "/state.json");
  store.save(30, content(30), 2, {});
  CHECK(steps(store) == std::set<std::int64_t>{10, 20, 30});
  store.save(40, content(40), 2, {});
  CHECK(steps(store) == std::set<std::int64_t>{30, 40});
}

TEST_CASE("damaged steps that are newer than what is taken are put aside under a name of their own") {
  TemporaryFolder folder;
  CheckpointStore store(folder.path());
  for (const std::int64_t step : {10, 20, 30}) store.save(step, content(static_cast<float>(step)), 3, {});
  files::create_directories(folder / "checkpoints/step-00000030.damaged");
  CHECK(store.put_aside_after(10) ==
        std::vector<std::string>{"step-00000020.damaged", "step-00000030.damaged-2"});
  CHECK(steps(store) == std::set<std::int64_t>{10});
  CHECK(files::exists(folder / "checkpoints/step-00000020.damaged/state.json"));
  CHECK(store.put_aside_after(10).empty());
}

TEST_CASE("a whole step is left as it is, a damaged one is replaced") {
  TemporaryFolder folder;
  CheckpointStore store(folder.path());
  const std::string path = store.save(7, content(1), 1, {});
  store.save(7, content(2), 1, {});
  CHECK(value_in(path) == 1);
  write_text(path + "/state.json", "{\"value\": 1.000001}\n");
  CHECK_FALSE(CheckpointStore::check(path).empty());
  store.save(7, content(2), 1, {});
  CHECK(value_in(path) == 2);
  CHECK(CheckpointStore::check(path).empty());
}

TEST_CASE("damage is named and the one before is taken") {
  TemporaryFolder folder;
  CheckpointStore store(folder.path());
  const std::string old = store.save(1, content(1), 9, {}), path = store.save(2, content(2), 9, {});
  const std::string model = path + "/model.safetensors", manifest = path + "/MANIFEST.json";
  const std::string good_model = read_bytes(model), good_manifest = read_bytes(manifest);
  const auto damage = [&](const std::string& phrase) {
    std::vector<std::string> warnings;
    const auto found = newest(folder.path(), &warnings);
    REQUIRE(found);
    CHECK(found->path == old);
    REQUIRE(warnings.size() == 1);
    INFO(warnings[0]);
    CHECK(warnings[0].find("skipping the damaged checkpoint step-00000002") == 0);
    CHECK(warnings[0].find(phrase) != std::string::npos);
    write_text(model, good_model);
    write_text(manifest, good_manifest);
    REQUIRE(CheckpointStore::check(path).empty());
  };
  write_text(model, good_model.substr(0, good_model.size() - 1));
  damage("MANIFEST.json says");
  std::string flipped = good_model;
  flipped.back() = static_cast<char>(flipped.back() ^ 1);
  write_text(model, flipped);
  damage("does not have the SHA-256");
  files::remove(model);
  damage("model.safetensors: No such file");
  files::remove(manifest);
  damage("MANIFEST.json");
  write_text(manifest, "");
  damage("MANIFEST.json");
  Json other = Json::parse(good_manifest);
  other["step"] = 3;
  write_text(manifest, other.dump());
  damage("is of step 3");
  other = Json::parse(good_manifest);
  other["files"][0]["name"] = "../step-00000001/model.safetensors";
  write_text(manifest, other.dump());
  damage("not a plain file name");
  for (const std::string name : {"part/../../step-00000001/state.json", "part/inner/config.json", "/part",
                                 "part/", "./state.json", "part\\config.json"}) {
    other["files"][0]["name"] = name;
    write_text(manifest, other.dump());
    damage("not a plain file name");
  }
}

TEST_CASE("files of a checkpoint lie in one level of folders at most, under plain names") {
  TemporaryFolder folder;
  for (const std::string name : {"../a", "a/../b", "a/b/c", "/a", "a/", "./a", "a//b", ""}) {
    const std::string text = error_of([&] {
      CheckpointStore(folder.path()).save(1, {{name, {}, "x"}}, 1, {});
    });
    CHECK(text.find("is not plain") != std::string::npos);
  }
  CHECK(files::is_empty(folder / "checkpoints"));
}

TEST_CASE("a flipped bit in any file is seen") {
  TemporaryFolder folder;
  const std::string path = CheckpointStore(folder.path()).save(2, content(2), 9, {});
  std::size_t unseen = 0;
  for (const std::string name : {"MANIFEST.json", "model.safetensors", "state.json", "part/config.json"}) {
    const std::string good = read_bytes(path + "/" + name);
    const std::size_t stride = name == "MANIFEST.json" ? 1 : 7;  // the others are hashed whole
    for (std::size_t bit = 0; bit < 8 * good.size(); bit += stride) {
      std::string bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      write_text(path + "/" + name, bad);
      unseen += CheckpointStore::check(path).empty();
    }
    write_text(path + "/" + name, good);
  }
  CHECK(unseen == 0);
  CHECK(CheckpointStore::check(path).empty());
}

// Saves step 2 over a durable step 1, with the disk failing at call n; returns whether the save went through.
bool save_second(const std::string& run, FaultyFileSystem& fs) {
  try {
    CheckpointStore(run, fs).save(2, content(2), 1, {});
    return true;
  } catch (const Error&) {
    return false;
  }
}

TEST_CASE("a power cut after any call leaves the old checkpoint or the new one, whole") {
  std::size_t cuts = 0, olds = 0, news = 0;
  for (std::size_t n = 1;; ++n) {
    TemporaryFolder folder;
    const std::string run = run_in(folder);
    CheckpointStore(run).save(1, content(1), 1, {});
    FaultyFileSystem fs(folder.path());
    fs.crash_at(n);
    const bool finished = save_second(run, fs);
    using Unsynced = FaultyFileSystem::Unsynced;
    for (const Unsynced bytes : {Unsynced::Drop, Unsynced::Keep, Unsynced::Tear})
      for (const Unsynced names : {Unsynced::Drop, Unsynced::Keep}) {
        TemporaryFolder after;
        fs.materialise(after / "disk", {.bytes = bytes, .names = names});
        std::vector<std::string> warnings;
        const auto found = newest(after / "disk/run", &warnings);
        REQUIRE(found);
        REQUIRE(value_in(found->path) == static_cast<float>(found->step));
        REQUIRE(warnings.empty());  // an interrupted save or removal never looks like damage
        if (finished) REQUIRE(found->step == 2);
        (found->step == 1 ? olds : news) += 1;
        for (const auto& entry : files::directory_iterator(after / "disk/run/checkpoints"))
          REQUIRE(entry.path().filename().string().find(".tmp-") == std::string::npos);
        ++cuts;
      }
    if (finished) break;
  }
  CHECK(cuts > 60);
  CHECK(olds > 20);
  CHECK(news > 6);
}

TEST_CASE("a full or failing disk at any call leaves a whole checkpoint and a store that works") {
  for (const int error : {ENOSPC, EIO}) {
    for (std::size_t n = 1;; ++n) {
      TemporaryFolder folder;
      const std::string run = run_in(folder);
      CheckpointStore(run).save(1, content(1), 1, {});
      FaultyFileSystem fs(folder.path());
      fs.fail_at(n, error);
      const bool finished = save_second(run, fs);
      const auto found = newest(run);
      REQUIRE(found);
      REQUIRE(value_in(found->path) == static_cast<float>(found->step));
      if (n > fs.calls()) {
        REQUIRE(finished);
        break;
      }
      CheckpointStore(run).save(3, content(3), 1, {});  // and the next save goes through and cleans up
      REQUIRE(newest(run)->step == 3);
      const auto left =
          std::distance(files::directory_iterator(run + "/checkpoints"), files::directory_iterator());
      REQUIRE(left == 1);
    }
  }
}

TEST_CASE("a failed save says which disk call failed, and leaves nothing behind") {
  TemporaryFolder folder;
  const std::string run = run_in(folder);
  FaultyFileSystem fs(folder.path());
  fs.fail_at(6, ENOSPC);
  const std::string text = error_of([&] { CheckpointStore(run, fs).save(2, content(2), 1, {}); });
  CHECK(text.find("No space left") != std::string::npos);
  CHECK(files::is_empty(run + "/checkpoints"));
}

TEST_CASE("the first save makes its folder durable too") {
  TemporaryFolder folder, after;
  const std::string run = run_in(folder);
  FaultyFileSystem fs(folder.path());
  CheckpointStore(run, fs).save(1, content(1), 1, {});
  fs.materialise(after / "disk");
  CHECK(newest(after / "disk/run")->step == 1);
}

TEST_CASE("temporaries of dead processes go, those of living ones and foreign names stay") {
  TemporaryFolder folder;
  CheckpointStore store(folder.path());
  store.save(1, content(1), 1, {});
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  std::string name = host;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  const std::string base = folder / "checkpoints/";
  const std::string dead = base + "step-00000002.tmp-" + name + "-2147483600-0";
  const std::string alive = base + "step-00000003.tmp-" + name + "-" + std::to_string(getppid()) + "-0";
  const std::string abroad = base + "step-00000004.tmp-otherhost-1-0", foreign = base + "notes";
  for (const std::string& path : {dead, alive, abroad, foreign, base + "step-12", base + "step-x"})
    files::create_directory(path);
  CHECK(newest(folder.path())->step == 1);
  CHECK_FALSE(files::exists(dead));
  CHECK(files::exists(alive));
  CHECK(files::exists(abroad));
  CHECK(files::exists(foreign));
  CHECK(steps(store) == std::set<std::int64_t>{1});
  store.save(2, content(2), 1, {});  // the only writer clears all
  CHECK_FALSE(files::exists(alive));
  CHECK_FALSE(files::exists(abroad));
  CHECK(files::exists(foreign));
}

TEST_CASE("bad arguments") {
  TemporaryFolder folder;
  CheckpointStore store(folder.path());
  CHECK_FALSE(error_of([&] { store.save(-1, content(1), 1, {}); }).empty());
  CHECK_FALSE(error_of([&] { store.save(1, content(1), 0, {}); }).empty());
  CHECK(error_of([&] {
          store.save(1, {{"a/b/c", {}, "x"}}, 1, {});
        }).find("'a/b/c' is not plain") != std::string::npos);
  CHECK_FALSE(error_of([&] { store.save(1, {{"MANIFEST.json", {}, "x"}}, 1, {}); }).empty());
  CHECK_FALSE(error_of([&] { store.save(1, {{"a", {}, "x"}, {"a", {}, "y"}}, 1, {}); }).empty());
  CHECK(files::is_empty(folder / "checkpoints"));
}

}  // namespace
}  // namespace lathe
