#include "data/shards/cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <thread>

#include "data/io/hash.h"
#include "data/io/plain_name.h"
#include "data/shards/layout.h"
#include "data/shards/packing.h"

namespace lathe {
namespace {

namespace filesystem = std::filesystem;
constexpr const char* kChecksums = "checksums.json";
constexpr std::int64_t kClockTickNs = 20'000'000;  // no coarser on Linux file systems with nanosecond times

Json section_to_json(const SourceSection& section) {
  Json json = {{"path", filesystem::absolute(section.path).lexically_normal().string()},
               {"glob", section.glob},
               {"field", section.field},
               {"exclude", section.exclude}};
  if (may_be_array(section)) json["array"] = "documents";  // older shards took it for one text
  return json;
}

std::string stamp_text(const SourceFile& file) {
  return cat(file.source, ' ', file.bytes, ' ', file.modified_ns, ' ', file.changed_ns, ' ', file.inode, ' ',
             file.path, '\n');
}

// The tokenizer's file, or its folder and the files in it; nothing when it is to be trained.
std::vector<SourceFile> tokenizer_stamps(const std::string& tokenizer_path) {
  std::vector<SourceFile> files;
  if (tokenizer_path.empty() || !filesystem::exists(tokenizer_path)) return files;  // loading it says so
  std::vector<filesystem::path> paths{tokenizer_path};
  std::error_code error;
  for (const auto& entry : filesystem::directory_iterator(tokenizer_path, error)) {
    if (entry.is_regular_file(error)) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  for (const auto& path : paths) files.push_back(stamp_file(path.string(), "", 0));
  return files;
}

bool holds(const std::string& folder, const std::vector<TokenizerFile>& files) {
  try {
    return std::all_of(files.begin(), files.end(), [&](const TokenizerFile& file) {
      return read_file(folder + "/" + file.name) == file.content;
    });
  } catch (const Error&) {  // absent
    return false;
  }
}

}  // namespace

std::string cache_directory(const Recipe& recipe) {
  if (!recipe.data.cache.empty()) return filesystem::absolute(recipe.data.cache).lexically_normal().string();
  filesystem::path run = recipe.directory.empty() ? "runs/" + recipe.name : recipe.directory;
  run = filesystem::absolute(run).lexically_normal();
  if (!run.has_filename()) run = run.parent_path();  // "runs/x/"
  return (run.parent_path() / ".lathe_cache").string();
}

CacheLock::CacheLock(const std::string& cache)
    : descriptor_(open((cache + "/prepare.lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600)) {
  require(descriptor_ >= 0, cache, "/prepare.lock: cannot be created: ", std::strerror(errno),
          "; name another folder with data.cache");
  while (flock(descriptor_, LOCK_EX) != 0 && errno == EINTR) {
  }
}

CacheLock::~CacheLock() { close(descriptor_); }

void remove_temporaries(const std::string& folder, FileSystem& files) {
  std::error_code error;
  std::vector<std::string> found;
  for (const auto& entry : filesystem::directory_iterator(folder, error)) {
    if (entry.path().filename().string().find(".tmp-") != std::string::npos)
      found.push_back(entry.path().string());
  }
  for (const std::string& path : found) files.remove_all(path);
}

std::vector<Corpus> list_corpora(const DataSection& data) {
  require(data.train.size() < 65536, "data.train: at most 65535 sources, found ", data.train.size());
  const auto listed = [](const std::string& name, const std::vector<SourceSection>& sections) {
    Corpus corpus{name, sections, {}};
    corpus.files = list_source_files(sections, &corpus.left_out);
    return corpus;
  };
  std::vector<Corpus> corpora{listed("train", data.train)};
  std::set<std::string> names{"train"};
  for (const SourceSection& section : data.validation.sets) {
    const std::string name = !section.name.empty() ? section.name
                             : data.validation.sets.size() == 1
                                 ? "validation"
                                 : filesystem::path(section.path).stem().string();
    if (!names.insert(name).second) {
      fail_usage("data.validation: two sets are called '", name, "'; give each a name of its own");
    }
    corpora.push_back(listed(name, {section}));
  }
  return corpora;
}

void wait_for_settled_times(const std::vector<Corpus>& corpora, const std::string& tokenizer_path) {
  using namespace std::chrono;
  std::int64_t newest = 0;
  for (const SourceFile& file : tokenizer_stamps(tokenizer_path)) newest = std::max(newest, file.changed_ns);
  for (const Corpus& corpus : corpora) {
    for (const SourceFile& file : corpus.files) newest = std::max(newest, file.changed_ns);
  }
  const auto now = duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count();
  const std::int64_t age = now - newest;
  if (age >= 0 && age < kClockTickNs) std::this_thread::sleep_for(nanoseconds(kClockTickNs));
}

Json shard_settings(const Recipe& recipe) {
  const DataSection& data = recipe.data;
  Json settings = {{"format", kShardVersion},
                   {"sequence_length", data.sequence_length},
                   {"packing", data.packing},
                   {"packing_window", data.packing ? kPackingWindow : 0},
                   {"overlength", data.overlength.empty() ? "split" : data.overlength},
                   {"deduplicate", data.deduplicate},
                   {"encoding", data.encoding},
                   {"validation_share", data.validation.share}};
  const FillInMiddleSection& fim = data.fill_in_middle;
  if (fim.rate > 0) settings["fill_in_middle"] = {fim.rate, fim.spm_rate, recipe.train.seed};
  return settings;
}

std::string quick_key(const Recipe& recipe) {
  Json train = Json::array(), validation = Json::array();
  for (const SourceSection& section : recipe.data.train) train.push_back(section_to_json(section));
  for (const SourceSection& section : recipe.data.validation.sets) {
    validation.push_back(section_to_json(section));
    validation.back()["name"] = section.name;
  }
  const Json key = {
      {"settings", shard_settings(recipe)},
      {"train", train},
      {"validation", validation},
      {"model", recipe.model.path},
      {"tokenizer",
       {recipe.tokenizer.path, recipe.tokenizer.train, recipe.tokenizer.vocab_size, recipe.tokenizer.pattern,
        recipe.tokenizer.add_tokens, recipe.tokenizer.add_special_tokens}}};
  return sha256_hex(key.dump());
}

std::string fingerprint_files(const std::vector<Corpus>& corpora, const std::string& tokenizer_path) {
  Sha256 hash;
  for (const Corpus& corpus : corpora) {
    hash.update(cat("set ", corpus.name, '\n'));
    for (const SourceFile& file : corpus.files) hash.update(stamp_text(file));
  }
  for (const SourceFile& file : tokenizer_stamps(tokenizer_path)) hash.update(stamp_text(file));
  return hash.hex();
}

bool is_published_whole(const std::string& folder) {
  try {
    const std::string path = folder + "/" + kChecksums;
    if (!filesystem::exists(path)) return filesystem::exists(folder + "/tokenizer.json");
    for (const auto& [name, sha256] :
         json_get<std::map<std::string, std::string>>(read_json(path), "sha256", path))
      if (!is_plain_file_name(name) || sha256_file(folder + "/" + name) != sha256) return false;
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

void publish_tokenizer(const Tokenizer& tokenizer, const std::string& folder, FileSystem& files) {
  std::vector<TokenizerFile> contents = tokenizer.files();
  if (holds(folder, contents)) return;
  std::map<std::string, std::string> checksums;
  for (const TokenizerFile& content : contents) checksums[content.name] = sha256_hex(content.content);
  contents.push_back({kChecksums, Json{{"sha256", checksums}}.dump(1) + "\n"});
  const std::string temporary = cat(folder, ".tmp-", getpid());
  files.make_directory(temporary);
  for (const TokenizerFile& content : contents) {
    const auto file = files.create(temporary + "/" + content.name);
    file->write(std::as_bytes(std::span(content.content)));
    file->sync();
    file->close();
  }
  std::error_code error;
  if (filesystem::exists(folder, error)) files.remove_all(folder);
  publish_directory(temporary, folder, files);
}

}  // namespace lathe
