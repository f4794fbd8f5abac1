#include "data/images/picture_report.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "data/images/buckets.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr std::size_t kNamesShown = 5;
constexpr double kMuchCropped = 0.25;  // of a picture's area

std::string some(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kNamesShown; ++i) text += (i ? ", " : "") + names[i];
  return names.size() > kNamesShown ? cat(text, " and ", names.size() - kNamesShown, " more") : text;
}

struct Counts {
  std::uint64_t files = 0, kept = 0, held_out = 0, duplicates = 0, damaged = 0, without_caption = 0;
  void add(PictureFate fate, bool silent) {
    ++files;
    kept += fate == PictureFate::Keep ? 1 : 0;
    held_out += fate == PictureFate::HeldOut ? 1 : 0;
    duplicates += fate == PictureFate::Duplicate ? 1 : 0;
    damaged += fate == PictureFate::Damaged ? 1 : 0;
    without_caption += silent ? 1 : 0;
  }
  Json to_json() const {
    return {{"files", files},           {"kept", kept},       {"held_out", held_out},
            {"duplicates", duplicates}, {"damaged", damaged}, {"without_caption", without_caption}};
  }
};

bool used(PictureFate fate) { return fate == PictureFate::Keep || fate == PictureFate::HeldOut; }

std::map<std::pair<std::int64_t, std::int64_t>, std::uint64_t> count_buckets(const SurveyedSet& set) {
  std::map<std::pair<std::int64_t, std::int64_t>, std::uint64_t> counts;
  for (std::size_t i = 0; i < set.fates.size(); ++i)
    if (set.fates[i] == PictureFate::Keep) ++counts[{set.sizes[i].width, set.sizes[i].height}];
  return counts;
}

// Names of the pictures that are used and for which `wanted` holds, each with what `add` says.
template <class Wanted, class Add>
std::vector<std::string> names_where(const SurveyedSet& set, const Wanted& wanted, const Add& add) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < set.fates.size(); ++i)
    if (used(set.fates[i]) && wanted(i)) names.push_back(set.list.pictures[i].name + add(i));
  return names;
}

void note_losses(const SurveyedSet& set, std::vector<std::string>& notes) {
  std::vector<std::string> damaged, doubled;
  for (std::size_t i = 0; i < set.fates.size(); ++i) {
    if (set.fates[i] == PictureFate::Damaged) damaged.push_back(set.facts[i].damage);
    if (set.fates[i] == PictureFate::Duplicate) doubled.push_back(set.list.pictures[i].name);
  }
  if (!damaged.empty())
    notes.push_back(cat(damaged.size(), " file(s) cannot be read and are left out: ", some(damaged)));
  if (!doubled.empty())
    notes.push_back(
        cat(doubled.size(), " exact duplicate(s) with the same caption are left out: ", some(doubled)));
}

void note_alike(const SurveyedSet& set, std::vector<std::string>& notes) {
  std::map<std::uint32_t, std::vector<std::string>> groups;
  for (std::size_t i = 0; i < set.fates.size(); ++i)
    if (used(set.fates[i]) && !set.list.pictures[i].path.empty())
      groups[set.alike[i]].push_back(set.list.pictures[i].name);
  std::vector<std::string> pairs;
  for (const auto& [group, names] : groups) {
    if (names.size() < 2) continue;
    pairs.push_back(names.size() == 2 ? names[0] + " = " + names[1]
                                      : cat(names[0], " = ", names[1], " and ", names.size() - 2, " more"));
  }
  if (!pairs.empty())
    notes.push_back(
        cat(pairs.size(),
            " group(s) of pictures look the same or nearly so, and count that much more: ", some(pairs)));
}

void note_sizes(const SurveyedSet& set, const PictureReportOptions& options,
                std::vector<std::string>& notes) {
  const auto size_text = [&](std::size_t i) {
    return cat(" (", set.facts[i].width, " x ", set.facts[i].height, ")");
  };
  const auto small = names_where(
      set,
      [&](std::size_t i) {
        return set.facts[i].width < set.sizes[i].width || set.facts[i].height < set.sizes[i].height;
      },
      size_text);
  if (!small.empty())
    notes.push_back(
        cat(small.size(),
            " picture(s) are smaller than what is learned and are enlarged, which blurs: ", some(small)));
  const auto cropped = names_where(
      set,
      [&](std::size_t i) {
        return cropped_share(set.facts[i].width, set.facts[i].height, set.sizes[i]) > kMuchCropped;
      },
      size_text);
  if (!cropped.empty())
    notes.push_back(
        cat(cropped.size(), " picture(s) lose more than a quarter of their area to the crop",
            options.buckets ? "" : " (data.bucket_step keeps shapes, data.crops shows more of them)", ": ",
            some(cropped)));
  if (!options.buckets) return;
  std::string plan;
  for (const auto& [size, count] : count_buckets(set))
    plan += cat(plan.empty() ? "" : ", ", size.first, " x ", size.second, ": ", count);
  notes.push_back(cat("buckets of '", set.name, "' (width x height: pictures): ", plan));
}

void note_kinds(const SurveyedSet& set, const PictureReportOptions& options,
                std::vector<std::string>& notes) {
  std::size_t turned = 0, clear = 0, masked = 0, all = 0;
  for (std::size_t i = 0; i < set.fates.size(); ++i) {
    if (!used(set.fates[i])) continue;
    ++all;
    turned += set.facts[i].turned ? 1 : 0;
    clear += set.facts[i].alpha ? 1 : 0;
    masked += set.facts[i].mask_sha256.empty() ? 0 : 1;
  }
  if (turned > 0) notes.push_back(cat(turned, " picture(s) are turned upright as their EXIF data says"));
  if (clear > 0)
    notes.push_back(cat(clear, " picture(s) have alpha, laid over grey ", options.background,
                        " (data.background: 0 black, 1 white)"));
  if (options.masks != MaskKind::None)
    notes.push_back(cat(masked, " of ", all, " picture(s) have a mask; the others are learned in full"));
  const auto with_file = std::count_if(set.list.pictures.begin(), set.list.pictures.end(),
                                       [](const PictureFile& picture) { return !picture.mask.empty(); });
  if (options.masks != MaskKind::File && with_file > 0)
    notes.push_back(cat(
        with_file, " picture(s) have a mask beside them that is not used ('data.masks: file' uses them)"));
}

}  // namespace

Json picture_ledger(const SurveyedSet& set) {
  Counts all;
  std::map<std::uint32_t, Counts> sources;
  for (std::size_t i = 0; i < set.fates.size(); ++i) {
    const bool silent = set.list.pictures[i].caption.empty();
    all.add(set.fates[i], silent);
    sources[set.list.pictures[i].source].add(set.fates[i], silent);
  }
  Json json = {{"set", set.name}};
  json.update(all.to_json());
  json["sources"] = Json::array();
  for (const auto& [source, counts] : sources) json["sources"].push_back(counts.to_json());
  json["buckets"] = Json::array();
  for (const auto& [size, count] : count_buckets(set))
    json["buckets"].push_back({{"width", size.first}, {"height", size.second}, {"pictures", count}});
  std::vector<LeftOut> damaged;
  for (std::size_t i = 0; i < set.fates.size(); ++i)
    if (set.fates[i] == PictureFate::Damaged)
      damaged.push_back({set.list.pictures[i].name, set.facts[i].damage});
  json["left_out"] = left_out_json(damaged);
  return json;
}

Json left_out_json(const std::vector<LeftOut>& files) {
  Json list = Json::array();
  for (const LeftOut& file : files) list.push_back({{"name", file.name}, {"reason", file.reason}});
  return list;
}

std::vector<std::string> picture_notes(const SurveyedSet& set, const PictureReportOptions& options) {
  std::vector<std::string> notes;
  note_losses(set, notes);
  note_alike(set, notes);
  note_sizes(set, options, notes);
  note_kinds(set, options, notes);
  return notes;
}

std::vector<std::string> leak_notes(const SurveyedSet& train, const SurveyedSet& held) {
  std::vector<PictureFacts> facts = train.facts;
  facts.insert(facts.end(), held.facts.begin(), held.facts.end());
  const auto alike = alike_pictures(facts);
  std::map<std::uint32_t, std::size_t> of_train;
  for (std::size_t i = 0; i < train.fates.size(); ++i)
    if (train.fates[i] == PictureFate::Keep) of_train.emplace(alike[i], i);
  std::vector<std::string> names;
  for (std::size_t k = 0; k < held.fates.size(); ++k) {
    if (!used(held.fates[k])) continue;
    const auto found = of_train.find(alike[train.fates.size() + k]);
    if (found != of_train.end())
      names.push_back(cat(held.list.pictures[k].name, " = ", train.list.pictures[found->second].name));
  }
  if (names.empty()) return {};
  return {cat(names.size(), " picture(s) of '", held.name,
              "' are in the training set too, or nearly so: ", some(names))};
}

}  // namespace lathe
