#include "data/images/prepare_pictures.h"

#include <filesystem>
#include <optional>

#include "data/images/fit.h"
#include "data/images/picture_manifest.h"
#include "data/images/survey_pictures.h"
#include "data/io/hash.h"
#include "data/io/threads.h"
#include "data/shards/cache.h"
#include "data/shards/manifest.h"
#include "data/shards/picture_writer.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

namespace filesystem = std::filesystem;
constexpr std::size_t kNameDigits = 24;  // of a SHA-256 in a folder's name
constexpr std::uint32_t kHeldWorld = 1u
                                     << 16;  // generated validation sets never repeat the training pictures
constexpr std::uint64_t kShardValues = std::uint64_t{1} << 29;  // 1 GiB of pixels a shard

// The pictures of one set with all that is known of them.
struct SurveyedSet {
  std::string name;
  std::vector<SourceSection> sections;
  PictureList list;
  std::vector<PictureFacts> facts;  // parallel to list.pictures
  std::vector<PictureFate> fates;
};

class PicturePreparation {
 public:
  PicturePreparation(const Recipe& recipe, const PrepareProgress& progress, FileSystem& files)
      : recipe_(recipe),
        progress_(progress),
        files_(files),
        cache_(cache_directory(recipe)),
        size_(picture_size(recipe.data)),
        seed_(static_cast<std::uint64_t>(recipe.train.seed)),
        threads_(recipe.data.workers > 0 ? static_cast<int>(recipe.data.workers) : hardware_threads()),
        index_path_(cache_ + "/index-" + sha256_hex(quick_text()).substr(0, kNameDigits) + ".json") {}

  PreparedPictures run();

 private:
  Json settings() const;
  std::string quick_text() const;
  std::vector<SurveyedSet> list_sets() const;
  std::optional<PreparedPictures> find_ready(const std::string& fingerprint);
  PreparedPictures make();
  void survey();
  std::string hash_sets() const;
  PictureSetRecord write_set(const std::string& name, const SurveyedSet& set, PictureFate wanted);
  PictureShardRecord write_shard(const std::string& file, const SurveyedSet& set,
                                 std::span<const std::size_t> chosen, std::uint64_t first_number);
  void render(PictureShardWriter& writer, const SurveyedSet& set, std::span<const std::size_t> chosen,
              std::uint64_t first_number);
  PreparedPictures describe(const PictureManifest& manifest) const;
  void report(double fraction, const char* phase) const {
    if (progress_) progress_(phase, fraction);
  }

  const Recipe& recipe_;
  const PrepareProgress& progress_;
  FileSystem& files_;
  std::string cache_;
  PictureSize size_;
  std::uint64_t seed_;
  int threads_;
  std::string index_path_, folder_;
  std::vector<SurveyedSet> sets_;  // train first
};

// What shapes the pixels and captions beside the pictures themselves; stored in every shard.
Json PicturePreparation::settings() const {
  const DataSection& data = recipe_.data;
  return {{"format", kPictureShardVersion},
          {"width", size_.width},
          {"height", size_.height},
          {"channels", size_.channels},
          {"background", data.background},
          {"crops", data.crops},
          {"trigger", data.trigger},
          {"deduplicate", data.deduplicate},
          {"validation_share", data.validation.share}};
}

// Everything of the recipe that is read, places included: the key of the quick index.
std::string PicturePreparation::quick_text() const {
  const auto sections = [](const std::vector<SourceSection>& sources) {
    Json list = Json::array();
    for (const SourceSection& s : sources)
      list.push_back({s.path.empty() ? "" : filesystem::absolute(s.path).lexically_normal().string(), s.glob,
                      s.field, s.exclude, s.generate, s.count, s.caption, s.name});
    return list;
  };
  return Json{{"pictures", settings()},
              {"seed", seed_},
              {"train", sections(recipe_.data.train)},
              {"validation", sections(recipe_.data.validation.sets)}}
      .dump();
}

std::vector<SurveyedSet> PicturePreparation::list_sets() const {
  const DataSection& data = recipe_.data;
  std::vector<SurveyedSet> sets;
  sets.push_back({"train", data.train, list_pictures(data.train, seed_), {}, {}});
  for (std::size_t v = 0; v < data.validation.sets.size(); ++v) {
    const SourceSection& section = data.validation.sets[v];
    const std::string name = !section.name.empty()              ? section.name
                             : data.validation.sets.size() == 1 ? "validation"
                                                                : cat("validation-", v + 1);
    for (const SurveyedSet& other : sets)
      if (other.name == name)
        fail_usage("data.validation: two sets are called '", name, "'; give each a name of its own");
    const auto world = kHeldWorld + static_cast<std::uint32_t>(v);
    sets.push_back({name, {section}, list_pictures({section}, seed_, world), {}, {}});
  }
  for (SurveyedSet& set : sets) apply_trigger(data.trigger, set.list);
  return sets;
}

std::vector<Corpus> stamps_of(const std::vector<SurveyedSet>& sets) {
  std::vector<Corpus> corpora;
  for (const SurveyedSet& set : sets) corpora.push_back({set.name, set.sections, set.list.files});
  return corpora;
}

PreparedPictures PicturePreparation::run() {
  if (recipe_.data.train.empty()) fail_usage("data.train: no source is given");
  if (recipe_.data.masks != "none")
    fail_usage("data.masks: masks of pictures are not read; leave the key out");
  if (recipe_.data.bucket_step > 0)
    fail_usage("data.bucket_step: pictures are made of one size; leave the key out");
  sets_ = list_sets();
  if (auto ready = find_ready(fingerprint_files(stamps_of(sets_), ""))) return *ready;
  files_.make_directory(cache_);
  const CacheLock lock(cache_);
  wait_for_settled_times(stamps_of(sets_));
  sets_ = list_sets();
  const std::string fingerprint = fingerprint_files(stamps_of(sets_), "");
  if (auto ready = find_ready(fingerprint)) return *ready;  // another process made it while this one waited
  PreparedPictures data = make();
  if (fingerprint_files(stamps_of(list_sets()), "") ==
      fingerprint)  // else files changed meanwhile: read again next time
    write_quick_index(index_path_, {fingerprint, filesystem::path(folder_).filename().string()}, files_);
  return data;
}

std::optional<PreparedPictures> PicturePreparation::find_ready(const std::string& fingerprint) {
  const auto index = read_quick_index(index_path_);
  if (!index || index->fingerprint != fingerprint) return std::nullopt;
  folder_ = cache_ + "/" + index->folder;
  const auto manifest = read_picture_manifest(folder_);
  if (!manifest) return std::nullopt;
  PreparedPictures data = describe(*manifest);
  data.was_ready = true;
  return data;
}

void PicturePreparation::survey() {
  for (std::size_t s = 0; s < sets_.size(); ++s) {
    SurveyedSet& set = sets_[s];
    const auto progress = [&](double fraction) {
      report((static_cast<double>(s) + fraction) / static_cast<double>(sets_.size()), "reading");
    };
    set.facts = survey_pictures(
        set.list.pictures, {.seed = seed_, .side = size_.width, .threads = threads_, .progress = progress});
    set.fates = select_pictures(set.list.pictures, set.facts,
                                {.deduplicate = recipe_.data.deduplicate,
                                 .validation_share = s == 0 ? recipe_.data.validation.share : 0});
  }
}

std::string PicturePreparation::hash_sets() const {
  Sha256 hash;
  for (const SurveyedSet& set : sets_) {
    hash.update(cat("set ", set.name, ' ', set.list.pictures.size(), '\n'));
    for (std::size_t i = 0; i < set.list.pictures.size(); ++i) {
      const PictureFile& picture = set.list.pictures[i];
      hash.update(Json{picture.source, picture.name, picture.caption, set.facts[i].sha256}.dump() + "\n");
    }
  }
  return hash.hex();
}

PreparedPictures PicturePreparation::make() {
  remove_temporaries(cache_, files_);
  survey();
  PictureManifest manifest;
  manifest.data_sha256 = hash_sets();
  folder_ = cache_ + "/pictures-" +
            sha256_hex(Json{{"data", manifest.data_sha256}, {"settings", settings()}}.dump())
                .substr(0, kNameDigits);
  if (const auto found = read_picture_manifest(folder_)) {
    PreparedPictures data = describe(*found);
    data.was_ready = true;
    return data;
  }
  files_.make_directory(folder_);
  files_.sync_directory(cache_);  // or a power cut loses the folder with all that is published in it
  remove_temporaries(folder_, files_);
  manifest.sets.push_back(write_set("train", sets_[0], PictureFate::Keep));
  if (recipe_.data.validation.share > 0)
    manifest.sets.push_back(write_set("validation", sets_[0], PictureFate::HeldOut));
  for (std::size_t s = 1; s < sets_.size(); ++s)
    manifest.sets.push_back(write_set(sets_[s].name, sets_[s], PictureFate::Keep));
  manifest.ledger = Json::array();
  for (const SurveyedSet& set : sets_) {
    manifest.ledger.push_back(picture_ledger(set.name, set.list, set.fates));
    picture_notes(set.list, set.facts, set.fates, size_, manifest.notes);
  }
  write_picture_manifest(folder_, manifest, files_);
  return describe(manifest);
}

PictureSetRecord PicturePreparation::write_set(const std::string& name, const SurveyedSet& set,
                                               PictureFate wanted) {
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < set.fates.size(); ++i)
    if (set.fates[i] == wanted) chosen.push_back(i);
  if (chosen.empty())
    fail("data: no picture remains for the set '", name, "' of ", set.fates.size(), " read",
         set.facts.empty() || set.facts[0].damage.empty() ? "" : ": " + set.facts[0].damage);
  const std::size_t most = static_cast<std::size_t>(std::max<std::uint64_t>(
      1, kShardValues / (size_.values() * static_cast<std::uint64_t>(recipe_.data.crops))));
  PictureSetRecord record{name, chosen.size(), {}};
  for (std::size_t at = 0; at < chosen.size(); at += most) {
    const std::string file = picture_file_name(name, size_, at / most);
    const auto part = std::span(chosen).subspan(at, std::min(most, chosen.size() - at));
    record.shards.push_back(write_shard(file, set, part, at));
    report(static_cast<double>(at + part.size()) / static_cast<double>(chosen.size()), "pictures");
  }
  return record;
}

PictureShardRecord PicturePreparation::write_shard(const std::string& file, const SurveyedSet& set,
                                                   std::span<const std::size_t> chosen,
                                                   std::uint64_t first_number) {
  const std::string path = folder_ + "/" + file;
  Sha256 hash;
  for (const std::size_t i : chosen) {
    const PictureFile& picture = set.list.pictures[i];
    hash.update(
        Json{picture.source, picture.name, picture.caption, set.facts[i].sha256, first_number}.dump() + "\n");
  }
  const PictureShardInfo info{hash.hex(), settings()};
  if (!is_finished_shard(path, info)) {  // else an interrupted preparation had finished it already
    PictureShardWriter writer(path, size_, files_);
    render(writer, set, chosen, first_number);
    writer.finish(info);
  }
  return {file, filesystem::file_size(path), sha256_file(path)};
}

// In chunks: pictures of a chunk are made in parallel and added in order.
void PicturePreparation::render(PictureShardWriter& writer, const SurveyedSet& set,
                                std::span<const std::size_t> chosen, std::uint64_t first_number) {
  const DataSection& data = recipe_.data;
  const auto chunk = static_cast<std::size_t>(4 * threads_);
  for (std::size_t at = 0; at < chosen.size(); at += chunk) {
    const std::size_t count = std::min(chunk, chosen.size() - at);
    std::vector<std::vector<Picture>> made(count);
    parallel_for(count, threads_, [&](std::size_t k) {
      const std::size_t i = chosen[at + k];
      Picture picture = load_picture(set.list.pictures[i], seed_, size_.width);
      require(picture.width == set.facts[i].width && picture.height == set.facts[i].height,
              set.list.pictures[i].path, ": the file changed while it was being prepared; run again");
      picture = with_channels(over_background(std::move(picture), data.background), size_.channels);
      const std::int64_t crops = crop_count(picture.width, picture.height, size_, data.crops);
      for (std::int64_t c = 0; c < crops; ++c) made[k].push_back(fit_picture(picture, size_, c, crops));
    });
    for (std::size_t k = 0; k < count; ++k) {
      const PictureFile& file = set.list.pictures[chosen[at + k]];
      for (std::size_t c = 0; c < made[k].size(); ++c) {
        const StoredPicture stored{.number = first_number + at + k,
                                   .crop = static_cast<std::uint16_t>(c),
                                   .source = static_cast<std::uint16_t>(file.source),
                                   .name = file.name,
                                   .caption = file.caption};
        writer.add(stored, made[k][c].values);
      }
    }
  }
}

PreparedPictures PicturePreparation::describe(const PictureManifest& manifest) const {
  PreparedPictures data;
  data.directory = folder_;
  data.channels = size_.channels;
  data.height = size_.height;
  data.width = size_.width;
  data.data_sha256 = manifest.data_sha256;
  data.ledger = manifest.ledger;
  data.notes = manifest.notes;
  for (std::size_t s = 0; s < manifest.sets.size(); ++s) {
    PictureSet set{.name = manifest.sets[s].name, .shards = {}, .pictures = manifest.sets[s].pictures};
    for (const PictureShardRecord& shard : manifest.sets[s].shards)
      set.shards.push_back(folder_ + "/" + shard.file);
    if (s > 0) {
      data.validation.push_back(std::move(set));
      continue;
    }
    set.flip = recipe_.data.flip;
    for (const SourceSection& section : recipe_.data.train)
      set.repeats.push_back(static_cast<std::uint32_t>(section.repeats));
    data.train = std::move(set);
  }
  data.captions = read_captions(data.train.shards);
  return data;
}

}  // namespace

PreparedPictures prepare_pictures(const Recipe& recipe, const PrepareProgress& progress) {
  return PicturePreparation(recipe, progress, real_file_system()).run();
}

}  // namespace lathe
