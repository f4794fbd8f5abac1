#include "data/images/prepare_pictures.h"

#include <filesystem>
#include <map>
#include <optional>

#include "data/images/buckets.h"
#include "data/images/picture_manifest.h"
#include "data/images/picture_report.h"
#include "data/images/render_pictures.h"
#include "data/io/hash.h"
#include "data/io/threads.h"
#include "data/shards/cache.h"
#include "data/shards/manifest.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

namespace filesystem = std::filesystem;
constexpr std::size_t kNameDigits = 24;  // of a SHA-256 in a folder's name
constexpr std::uint32_t kHeldWorld = 1u
                                     << 16;  // generated validation sets never repeat the training pictures
constexpr std::uint64_t kShardValues = std::uint64_t{1} << 29;  // 1 GiB of pixels a shard

class PicturePreparation {
 public:
  PicturePreparation(const Recipe& recipe, const PrepareProgress& progress, FileSystem& files,
                     ReadyCheck check)
      : recipe_(recipe),
        progress_(progress),
        files_(files),
        check_(check),
        cache_(cache_directory(recipe)),
        size_(nominal_size(recipe.data)),
        threads_(recipe.data.workers > 0 ? static_cast<int>(recipe.data.workers) : hardware_threads()),
        index_path_(cache_ + "/index-" + sha256_hex(quick_text()).substr(0, kNameDigits) + ".json") {}

  PreparedPictures run();

 private:
  std::uint64_t seed() const { return static_cast<std::uint64_t>(recipe_.train.seed); }
  Json settings() const;
  std::string quick_text() const;
  std::vector<SurveyedSet> list_sets() const;
  std::optional<PreparedPictures> find_ready(const std::string& fingerprint);
  bool is_whole(const PictureManifest& manifest) const;
  PreparedPictures make();
  void survey();
  std::string hash_sets() const;
  void report(PictureManifest& manifest) const;
  PictureSetRecord write_set(const std::string& name, const SurveyedSet& set, PictureFate wanted);
  PictureShardRecord write_shard(const std::string& file, const PictureSize& size,
                                 std::span<const RenderItem> items);
  PreparedPictures describe(const PictureManifest& manifest) const;
  void tell(const char* phase, double fraction) const {
    if (progress_) progress_(phase, fraction);
  }

  const Recipe& recipe_;
  const PrepareProgress& progress_;
  FileSystem& files_;
  ReadyCheck check_;
  std::string cache_;
  PictureSize size_;
  int threads_;
  std::string index_path_, folder_;
  std::vector<SurveyedSet> sets_;        // train first
  std::vector<std::string> made_again_;  // shards that were damaged
};

// What shapes pixels and captions beside the pictures themselves; stored in every shard.
Json PicturePreparation::settings() const {
  const DataSection& data = recipe_.data;
  return {{"format", kPictureShardVersion},
          {"width", size_.width},
          {"height", size_.height},
          {"channels", size_.channels},
          {"bucket_step", data.bucket_step},
          {"background", data.background},
          {"crops", data.crops},
          {"masks", data.masks},
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
                      s.field, s.exclude, s.generate, s.count, s.caption, s.trigger, s.name});
    return list;
  };
  return Json{{"pictures", settings()},
              {"seed", seed()},
              {"train", sections(recipe_.data.train)},
              {"validation", sections(recipe_.data.validation.sets)}}
      .dump();
}

SurveyedSet listed(const std::string& name, const std::vector<SourceSection>& sections, PictureList list) {
  SurveyedSet set;
  set.name = name;
  set.sections = sections;
  set.list = std::move(list);
  return set;
}

std::vector<SurveyedSet> PicturePreparation::list_sets() const {
  const DataSection& data = recipe_.data;
  std::vector<SurveyedSet> sets;
  sets.push_back(listed("train", data.train, list_pictures(data.train, seed())));
  for (std::size_t v = 0; v < data.validation.sets.size(); ++v) {
    const SourceSection& section = data.validation.sets[v];
    const std::string name = !section.name.empty()              ? section.name
                             : data.validation.sets.size() == 1 ? "validation"
                                                                : cat("validation-", v + 1);
    for (const SurveyedSet& other : sets)
      if (other.name == name)
        fail_usage("data.validation: two sets are called '", name, "'; give each a name of its own");
    const auto world = kHeldWorld + static_cast<std::uint32_t>(v);
    sets.push_back(listed(name, {section}, list_pictures({section}, seed(), world)));
  }
  for (SurveyedSet& set : sets) apply_trigger(data.trigger, set.sections, set.list);
  return sets;
}

std::vector<Corpus> stamps_of(const std::vector<SurveyedSet>& sets) {
  std::vector<Corpus> corpora;
  for (const SurveyedSet& set : sets) corpora.push_back({set.name, set.sections, set.list.files});
  return corpora;
}

PreparedPictures PicturePreparation::run() {
  if (recipe_.data.train.empty()) fail_usage("data.train: no source is given");
  bucket_sizes(size_, recipe_.data.bucket_step);  // their errors before any work
  parse_masks(recipe_.data.masks);
  for (const SourceSection& section : recipe_.data.train)
    if (!section.generate.empty() && size_.width != size_.height)
      fail_usage("data.resolution: '", section.generate, "' are drawn in squares, found ", size_.width, " x ",
                 size_.height);
  sets_ = list_sets();
  if (auto ready = find_ready(fingerprint_files(stamps_of(sets_), ""))) return *ready;
  files_.make_directory(cache_);
  const CacheLock lock(cache_);
  wait_for_settled_times(stamps_of(sets_), "");
  sets_ = list_sets();
  const std::string fingerprint = fingerprint_files(stamps_of(sets_), "");
  if (auto ready = find_ready(fingerprint)) return *ready;  // another process made it while this one waited
  PreparedPictures data = make();
  // A file that changed meanwhile must be read again next time.
  if (fingerprint_files(stamps_of(list_sets()), "") == fingerprint)
    write_quick_index(index_path_, {fingerprint, filesystem::path(folder_).filename().string()}, files_);
  return data;
}

std::optional<PreparedPictures> PicturePreparation::find_ready(const std::string& fingerprint) {
  const auto index = read_quick_index(index_path_);
  if (!index || index->fingerprint != fingerprint) return std::nullopt;
  folder_ = cache_ + "/" + index->folder;
  const auto manifest = read_picture_manifest(folder_);
  if (!manifest || !is_whole(*manifest)) return std::nullopt;
  PreparedPictures data = describe(*manifest);
  data.was_ready = true;
  return data;
}

// By checksums, where they are to be read.
bool PicturePreparation::is_whole(const PictureManifest& manifest) const {
  if (check_ == ReadyCheck::Sizes) return true;
  try {
    for (const PictureSetRecord& set : manifest.sets)
      for (const PictureShardRecord& shard : set.shards)
        PictureShard(folder_ + "/" + shard.file, ShardTrust::Foreign).verify();
  } catch (const Error&) {
    return false;
  }
  return true;
}

void PicturePreparation::survey() {
  const DataSection& data = recipe_.data;
  const auto sizes = bucket_sizes(size_, data.bucket_step);
  for (std::size_t s = 0; s < sets_.size(); ++s) {
    SurveyedSet& set = sets_[s];
    const auto progress = [&](double fraction) {
      tell("reading", (static_cast<double>(s) + fraction) / static_cast<double>(sets_.size()));
    };
    set.facts = survey_pictures(set.list.pictures, {.seed = seed(),
                                                    .side = size_.width,
                                                    .masks = parse_masks(data.masks),
                                                    .threads = threads_,
                                                    .progress = progress});
    set.alike = alike_pictures(set.facts);
    set.fates = select_pictures(
        set.list.pictures, set.facts, set.alike,
        {.deduplicate = data.deduplicate, .validation_share = s == 0 ? data.validation.share : 0});
    for (const PictureFacts& facts : set.facts)
      set.sizes.push_back(facts.damage.empty() ? sizes[choose_bucket(facts.width, facts.height, sizes)]
                                               : size_);
  }
}

std::string PicturePreparation::hash_sets() const {
  Sha256 hash;
  for (const SurveyedSet& set : sets_) {
    hash.update(cat("set ", set.name, ' ', set.list.pictures.size(), '\n'));
    for (std::size_t i = 0; i < set.list.pictures.size(); ++i) {
      const PictureFile& picture = set.list.pictures[i];
      hash.update(
          Json{picture.source, picture.name, picture.caption, set.facts[i].sha256, set.facts[i].mask_sha256}
              .dump());
    }
  }
  return hash.hex();
}

void PicturePreparation::report(PictureManifest& manifest) const {
  const PictureReportOptions options{.background = recipe_.data.background,
                                     .buckets = recipe_.data.bucket_step > 0,
                                     .masks = parse_masks(recipe_.data.masks)};
  manifest.ledger = Json::array();
  for (const SurveyedSet& set : sets_) {
    manifest.ledger.push_back(picture_ledger(set));
    auto notes = picture_notes(set, options);
    if (&set != &sets_.front())
      for (std::string& leak : leak_notes(sets_.front(), set)) notes.push_back(std::move(leak));
    manifest.notes.insert(manifest.notes.end(), notes.begin(), notes.end());
  }
}

PreparedPictures PicturePreparation::make() {
  remove_temporaries(cache_, files_);
  survey();
  PictureManifest manifest;
  manifest.data_sha256 = hash_sets();
  const Json key = {{"data", manifest.data_sha256}, {"settings", settings()}};
  folder_ = cache_ + "/pictures-" + sha256_hex(key.dump()).substr(0, kNameDigits);
  if (const auto found = read_picture_manifest(folder_); found && is_whole(*found)) {
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
  report(manifest);
  write_picture_manifest(folder_, manifest, files_);
  return describe(manifest);
}

// A picture's number is its place in the set, whatever its bucket.
PictureSetRecord PicturePreparation::write_set(const std::string& name, const SurveyedSet& set,
                                               PictureFate wanted) {
  std::map<std::pair<std::int64_t, std::int64_t>, std::vector<RenderItem>> buckets;
  PictureSetRecord record{name, 0, {}};
  for (std::size_t i = 0; i < set.fates.size(); ++i) {
    if (set.fates[i] != wanted) continue;
    buckets[{set.sizes[i].width, set.sizes[i].height}].push_back(
        {&set.list.pictures[i], &set.facts[i], record.pictures++});
  }
  if (record.pictures == 0) {
    const auto damaged = std::find(set.fates.begin(), set.fates.end(), PictureFate::Damaged);
    const auto at = static_cast<std::size_t>(damaged - set.fates.begin());
    fail("data: no picture remains for the set '", name, "' of ", set.fates.size(), " read",
         damaged == set.fates.end() ? "" : ": " + set.facts[at].damage);
  }
  std::size_t done = 0;
  for (const auto& [sides, items] : buckets) {
    const PictureSize size{sides.first, sides.second, size_.channels};
    const std::uint64_t each = size.values() * static_cast<std::uint64_t>(recipe_.data.crops);
    const std::size_t most = std::max<std::size_t>(1, kShardValues / each);
    for (std::size_t at = 0; at < items.size(); at += most) {
      const auto part = std::span(items).subspan(at, std::min(most, items.size() - at));
      record.shards.push_back(write_shard(picture_file_name(name, size, at / most), size, part));
      done += part.size();
      tell("pictures", static_cast<double>(done) / static_cast<double>(record.pictures));
    }
  }
  return record;
}

PictureShardRecord PicturePreparation::write_shard(const std::string& file, const PictureSize& size,
                                                   std::span<const RenderItem> items) {
  const std::string path = folder_ + "/" + file;
  Sha256 hash;
  for (const RenderItem& item : items)
    hash.update(Json{item.file->source, item.file->name, item.file->caption, item.facts->sha256,
                     item.facts->mask_sha256, item.number}
                    .dump());
  const PictureShardInfo info{hash.hex(), settings()};
  if (!is_finished_shard(path, info)) {  // else an interrupted preparation had finished it already
    if (filesystem::exists(path)) made_again_.push_back(path);
    PictureShardWriter writer(path, size, files_);
    render_pictures(writer, size, items,
                    {.seed = seed(),
                     .side = size_.width,
                     .background = recipe_.data.background,
                     .crops = recipe_.data.crops,
                     .masks = parse_masks(recipe_.data.masks),
                     .threads = threads_});
    writer.finish(info);
  }
  return {file, filesystem::file_size(path), sha256_file(path)};
}

PreparedPictures PicturePreparation::describe(const PictureManifest& manifest) const {
  PreparedPictures data;
  data.directory = folder_;
  data.channels = size_.channels;
  data.height = size_.height;
  data.width = size_.width;
  data.data_sha256 = manifest.data_sha256;
  data.ledger = manifest.ledger;
  // What the sources' listing says is told of today's files; the shards' own notes are those of their
  // pictures.
  for (std::size_t s = 0; s < sets_.size() && s < data.ledger.size(); ++s)
    for (Json& file : left_out_json(sets_[s].list.left_out)) data.ledger[s]["left_out"].push_back(file);
  for (const SurveyedSet& set : sets_)
    data.notes.insert(data.notes.end(), set.list.notes.begin(), set.list.notes.end());
  if (recipe_.data.flip)
    for (std::string& note : side_notes(sets_.front().name, sets_.front().list))
      data.notes.push_back(std::move(note));
  data.notes.insert(data.notes.end(), manifest.notes.begin(), manifest.notes.end());
  for (const std::string& path : made_again_) data.notes.push_back(cat(path, ": was damaged, made again"));
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

PreparedPictures prepare_pictures_with(const Recipe& recipe, const PrepareProgress& progress,
                                       FileSystem& files, ReadyCheck check) {
  return PicturePreparation(recipe, progress, files, check).run();
}

PreparedPictures prepare_pictures(const Recipe& recipe, const PrepareProgress& progress, ReadyCheck check) {
  return prepare_pictures_with(recipe, progress, real_file_system(), check);
}

}  // namespace lathe
