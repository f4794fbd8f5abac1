#pragma once
// The preflight report of pictures: where every file went, and what its owner should know before a model
// learns from it.
#include <cstdint>
#include <string>
#include <vector>

#include "data/images/survey_pictures.h"
#include "data/io/json.h"
#include "data/shards/picture_shard.h"

namespace lathe {

// The pictures of one set with all that is known of them; what follows `list` is parallel to list.pictures.
struct SurveyedSet {
  std::string name;
  std::vector<SourceSection> sections;
  PictureList list;
  std::vector<PictureFacts> facts;
  std::vector<std::uint32_t> alike;
  std::vector<PictureFate> fates;
  std::vector<PictureSize> sizes;  // what each is made
};

// files = kept + held_out + duplicates + damaged, for the set and for each of its sources; buckets with their
// pictures; left_out, the damaged by name, each with the reason.
Json picture_ledger(const SurveyedSet& set);

Json left_out_json(const std::vector<LeftOut>& files);

struct PictureReportOptions {
  double background = 1;
  bool buckets = false;
  MaskKind masks = MaskKind::None;
};

// A line each, for one set, of the pictures themselves (set.list.notes has those of files and captions):
// damage, duplicates, near-duplicates, small pictures, crops, what was turned or laid over the background,
// the plan of the buckets.
std::vector<std::string> picture_notes(const SurveyedSet& set, const PictureReportOptions& options);

// Pictures of the second set that are equal or nearly so to pictures of the first; nothing when there are
// none.
std::vector<std::string> leak_notes(const SurveyedSet& train, const SurveyedSet& held);

}  // namespace lathe
