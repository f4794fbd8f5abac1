#include "data/shards/encodings.h"

#include <filesystem>
#include <optional>

#include "data/io/hash.h"
#include "data/io/plain_name.h"
#include "data/io/threads.h"
#include "data/shards/cache.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

namespace filesystem = std::filesystem;
constexpr std::size_t kNameDigits = 24;             // of a SHA-256 in a file's name
constexpr std::uint64_t kShardOverhead = 16 << 10;  // structure and index, pages that are not filled

class EncodingPreparation {
 public:
  EncodingPreparation(const std::string& cache, const EncodingJob& job, FileSystem& files)
      : job_(job),
        files_(files),
        folder_(cache + "/encodings"),
        settings_(Json{{"encoder", job.encoder}, {"each", job.each}, {"width", job.width}}),
        index_(folder_ + "/index-" +
               sha256_hex(Json{settings_, job.what, job.items, job.quick}.dump()).substr(0, kNameDigits) +
               ".json"),
        sources_(read_index()),
        indexed_(!sources_.empty()) {
    if (!indexed_) sources_ = hash_items();
    found_.resize(sources_.size());
  }

  bool open_all();
  EncodingWork work() const;
  void make(const std::function<void(std::uint64_t)>& after_each);
  Encodings take() {
    std::vector<EncodingShard> shards;
    for (auto& shard : found_) shards.push_back(std::move(*shard));
    return {std::move(shards), job_.each};
  }
  const std::string& folder() const { return folder_; }

 private:
  std::uint64_t items_of(std::size_t shard) const {
    return std::min(job_.each, job_.items - shard * job_.each);
  }
  std::string path(std::size_t shard) const {
    return cat(folder_, '/', job_.what, '-', sources_[shard].substr(0, kNameDigits), ".h5");
  }
  std::vector<std::string> read_index() const;
  std::vector<std::string> hash_items() const;
  std::optional<EncodingShard> open(std::size_t shard) const;
  void write_index();

  const EncodingJob& job_;
  FileSystem& files_;
  std::string folder_;
  Json settings_;
  std::string index_;
  std::vector<std::string> sources_;  // SHA-256 of each shard's items and encoder
  bool indexed_;
  std::vector<std::optional<EncodingShard>> found_;
};

// Of the shards, as a preparation of the same items has named them; empty when it must be found out.
std::vector<std::string> EncodingPreparation::read_index() const {
  if (job_.quick.empty()) return {};
  try {
    auto sources = json_get<std::vector<std::string>>(read_json(index_), "shards", index_);
    bool plain = sources.size() == (job_.items + job_.each - 1) / job_.each;
    for (const std::string& source : sources)
      plain = plain && source.size() == 64 && is_plain_file_name(source);
    if (plain) return sources;
  } catch (const std::exception&) {  // absent or damaged: items are hashed again
  }
  return {};
}

std::vector<std::string> EncodingPreparation::hash_items() const {
  std::vector<std::string> keys(job_.items);
  parallel_for(keys.size(), 0, [&](std::size_t item) { keys[item] = job_.key(item); });
  std::vector<std::string> sources;
  for (std::uint64_t first = 0; first < job_.items; first += job_.each) {
    Sha256 hash;
    hash.update(Json{kEncodingShardVersion, settings_}.dump());
    for (std::uint64_t item = first; item < std::min(first + job_.each, job_.items); ++item)
      hash.update("\n" + keys[item]);
    sources.push_back(hash.hex());
  }
  return sources;
}

std::optional<EncodingShard> EncodingPreparation::open(std::size_t shard) const {
  if (!filesystem::exists(path(shard))) return std::nullopt;
  try {
    const EncodingShard found(path(shard), ShardTrust::Own);
    found.verify();
    const bool wanted = found.info().source_sha256 == sources_[shard] && found.info().settings == settings_ &&
                        found.items() == items_of(shard) && found.width() == job_.width;
    if (wanted) return found;
  } catch (const std::exception&) {  // damaged: it is made again
  }
  return std::nullopt;
}

bool EncodingPreparation::open_all() {
  bool all = true;
  for (std::size_t shard = 0; shard < found_.size(); ++shard) {
    if (!found_[shard]) found_[shard] = open(shard);
    all = all && found_[shard];
  }
  return all;
}

EncodingWork EncodingPreparation::work() const {
  EncodingWork work;
  work.folder = folder_;
  for (std::size_t shard = 0; shard < found_.size(); ++shard) {
    if (found_[shard]) continue;
    work.items += items_of(shard);
    work.bytes += items_of(shard) * job_.width * sizeof(float) + kShardOverhead;
    work.damaged += filesystem::exists(path(shard)) ? 1 : 0;
  }
  return work;
}

void EncodingPreparation::make(const std::function<void(std::uint64_t)>& after_each) {
  std::vector<float> values(job_.width);
  std::uint64_t made = 0;
  for (std::size_t shard = 0; shard < found_.size(); ++shard) {
    if (found_[shard]) continue;
    EncodingShardWriter writer(path(shard), job_.width, files_);
    const std::uint64_t first = shard * job_.each;
    for (std::uint64_t item = first; item < first + items_of(shard); ++item) {
      job_.encode(item, values);
      writer.add(values);
      if (after_each) after_each(++made);
    }
    writer.finish({sources_[shard], settings_});
    found_[shard] = open(shard);
    require(found_[shard].has_value(), path(shard), ": what was just written is not what is read back");
  }
  write_index();
}

void EncodingPreparation::write_index() {
  if (job_.quick.empty() || indexed_) return;
  write_file_atomically(index_, Json{{"shards", sources_}}.dump(1) + "\n", files_);
}

void check_room(const EncodingJob& job, const EncodingWork& work) {
  std::error_code error;
  const auto space = filesystem::space(work.folder, error);
  // A shard stands twice while it is published.
  const std::uint64_t wanted = work.bytes + job.each * job.width * sizeof(float);
  require(
      error || wanted <= space.available, work.folder, ": the ", job.what, " of ", work.items, " items take ",
      wanted >> 20, " MiB, and ", space.available >> 20,
      " MiB are free; name another folder with data.cache, or set data.cache_encodings: false, which keeps "
      "them in memory");
}

}  // namespace

Encodings prepare_encodings(const std::string& cache, const EncodingJob& job,
                            const std::function<void(const EncodingWork&)>& before,
                            const std::function<void(std::uint64_t)>& after_each, FileSystem& files) {
  EncodingPreparation preparation(cache, job, files);
  if (preparation.open_all()) return preparation.take();
  files.make_directory(preparation.folder());
  files.sync_directory(cache);  // or a power cut loses the folder with all that is published in it
  const CacheLock lock(cache);
  remove_temporaries(preparation.folder(), files);
  if (preparation.open_all()) return preparation.take();  // another process made it while this one waited
  const EncodingWork work = preparation.work();
  if (before) before(work);
  check_room(job, work);
  preparation.make(after_each);
  return preparation.take();
}

}  // namespace lathe
