#include "trainer/pictures/picture_look.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>

#include "data/images/buckets.h"
#include "data/sources/foreign.h"

namespace lathe {

namespace {

namespace fs = std::filesystem;

constexpr double kMuchCropped = 0.15;  // of a picture
constexpr double kSomeCropped = 0.1;   // of the pictures
constexpr std::size_t kMostClasses = 100, kPicturesOfClass = 8;

std::vector<std::string> words_of(const std::string& caption) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : caption + " ") {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || byte >= 0x80)
      word += static_cast<char>(byte < 0x80 ? std::tolower(byte) : byte);
    else if (!word.empty())
      words.push_back(std::exchange(word, {}));
  }
  return words;
}

// "a", "of" and their kind say nothing of a set.
bool speaks(const std::string& word) {
  static const std::set<std::string> kSmall{"a",  "an",  "and", "at",    "by",      "des",
                                            "du", "in",  "la",  "le",    "of",      "on",
                                            "or", "the", "to",  "photo", "picture", "with"};
  return !kSmall.contains(word);
}

std::vector<std::string> shared_words(const std::vector<PictureFile>& pictures) {
  std::vector<std::string> shared;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const std::vector<std::string> words = words_of(pictures[i].caption);
    if (i == 0)
      std::ranges::copy_if(words, std::back_inserter(shared), speaks);
    else
      std::erase_if(shared,
                    [&](const std::string& word) { return std::ranges::find(words, word) == words.end(); });
  }
  return shared;
}

CaptionSource source_of(const PictureList& list) {
  for (const SourceFile& file : list.files) {
    const std::string name = fs::path(file.path).filename().string();
    if (name == "metadata.jsonl" || name == "metadata.csv") return CaptionSource::Table;
  }
  for (const SourceFile& file : list.files) {
    std::string end = fs::path(file.path).extension().string();
    std::ranges::transform(end, end.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (end == ".txt" || end == ".caption") return CaptionSource::Sidecars;
  }
  return CaptionSource::Names;
}

bool is_grey(const PictureLook& look) {
  for (std::size_t i = 0; i + 2 < look.colours.size(); i += 3) {
    const auto [low, high] = std::minmax({look.colours[i], look.colours[i + 1], look.colours[i + 2]});
    if (high - low > 1) return false;
  }
  return true;
}

void add_facts(FolderLook& look) {
  std::vector<std::int64_t> sides;
  std::size_t cropped = 0;
  look.grey = true;
  for (const PictureFacts& facts : look.facts) {
    if (!facts.damage.empty()) continue;
    sides.push_back(std::min(facts.width, facts.height));
    look.alpha = look.alpha || facts.alpha;
    look.grey = look.grey && facts.look && is_grey(*facts.look);
    cropped += cropped_share(facts.width, facts.height, {64, 64, 3}) > kMuchCropped ? 1 : 0;
  }
  look.readable = sides.size();
  if (sides.empty()) return;
  std::ranges::sort(sides);
  look.smallest = sides.front();
  look.middle = sides[sides.size() / 2];
  look.largest = sides.back();
  look.varied = static_cast<double>(cropped) > kSomeCropped * static_cast<double>(sides.size());
}

// Empty for a picture without a mask, or with one that can be used.
std::string objection_to_mask(const PictureFile& file) {
  if (file.mask.empty()) return "";
  try {
    load_mask(file, load_picture(file, 0, 0), MaskKind::File);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

bool FolderLook::classes() const {
  return captions >= 2 && captions <= kMostClasses && readable >= kPicturesOfClass * captions;
}

// Pictures among many texts illustrate them; a text of a picture's name is its caption.
bool holds_pictures(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return false;
  std::set<std::string> pictures;
  std::vector<std::string> texts;  // their paths without an ending
  for (auto entry = fs::recursive_directory_iterator(path, error); !error && entry != fs::end(entry);
       entry.increment(error)) {
    const std::string end = text_extension(entry->path().string());
    const std::string stem = (entry->path().parent_path() / entry->path().stem()).string();
    if (end == ".png" || end == ".jpg" || end == ".jpeg" || end == ".webp")
      pictures.insert(stem);
    else if (is_known_text(entry->path().string()) && entry->path().stem() != "metadata")
      texts.push_back(stem);
  }
  const auto alone = std::ranges::count_if(texts, [&](const auto& stem) { return !pictures.contains(stem); });
  return !pictures.empty() && pictures.size() >= static_cast<std::size_t>(alone);
}

FolderLook look_at_pictures(const std::string& folder) {
  SourceSection section;
  section.path = folder;
  FolderLook look;
  look.list = list_pictures({section}, 17);
  look.facts = survey_pictures(look.list.pictures, {});
  add_facts(look);
  if (look.readable == 0)
    fail_usage("--data ", folder, ": none of its ", look.facts.size(), " pictures can be read",
               look.facts.empty() ? std::string() : ": " + look.facts.front().damage);
  std::set<std::string> captions;
  for (const PictureFile& picture : look.list.pictures) {
    captions.insert(picture.caption);
    look.masks = look.masks || !picture.mask.empty();
  }
  for (std::size_t i = 0; look.masks && look.bad_mask.empty() && i < look.facts.size(); ++i)
    if (look.facts[i].damage.empty()) look.bad_mask = objection_to_mask(look.list.pictures[i]);
  look.captions = captions.size();
  look.source = source_of(look.list);
  look.shared_words = shared_words(look.list.pictures);
  const std::vector<std::uint32_t> alike = alike_pictures(look.facts);
  std::set<std::uint32_t> different;
  for (std::size_t i = 0; i < alike.size(); ++i)
    if (look.facts[i].damage.empty()) different.insert(alike[i]);
  look.alike = different.size();
  return look;
}

}  // namespace lathe
