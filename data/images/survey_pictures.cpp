#include "data/images/survey_pictures.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <set>

#include "data/images/shapes.h"
#include "data/io/hash.h"
#include "data/io/threads.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

std::string hash_of(const Picture& picture) {
  return Sha256()
      .update(cat(picture.width, ' ', picture.height, ' ', picture.channels, '\n'))
      .update(std::as_bytes(std::span(picture.values)))
      .hex();
}

PictureFacts facts_of(const PictureFile& file, const PictureSurveyOptions& options) {
  PictureFacts facts;
  Picture picture;
  try {
    picture = load_picture(file, options.seed, options.side);
  } catch (const Error& error) {
    facts.damage = error.what();
    return facts;
  }
  facts.width = picture.width;
  facts.height = picture.height;
  facts.alpha = picture.has_alpha();
  facts.deep = picture.deep;
  facts.turned = picture.turned;
  facts.sha256 = hash_of(picture);
  if (const auto mask = load_mask(file, picture, options.masks)) facts.mask_sha256 = hash_of(*mask);
  if (!file.path.empty()) facts.look = look_of(picture);
  return facts;
}

}  // namespace

Picture load_picture(const PictureFile& file, std::uint64_t seed, std::int64_t side) {
  if (!file.path.empty()) return read_picture(file.path);
  return render_shape(draw_shape(seed, file.index, file.world), side);
}

MaskKind parse_masks(const std::string& name) {
  if (name == "none") return MaskKind::None;
  if (name == "file") return MaskKind::File;
  if (name == "alpha") return MaskKind::Alpha;
  fail_usage("data.masks: wanted none, file or alpha, found '", name, "'");
}

std::optional<Picture> load_mask(const PictureFile& file, const Picture& picture, MaskKind kind) {
  std::optional<Picture> mask;
  if (kind == MaskKind::File && !file.mask.empty()) {
    mask = with_channels(over_background(read_picture(file.mask), 0), 1);
    require(mask->width == picture.width && mask->height == picture.height, file.mask, ": the mask is ",
            mask->width, " x ", mask->height, ", its picture ", picture.width, " x ", picture.height,
            "; make them the same size");
  } else if (kind == MaskKind::Alpha && picture.has_alpha()) {
    mask = Picture{};
    mask->width = picture.width;
    mask->height = picture.height;
    mask->channels = 1;
    const auto channels = static_cast<std::size_t>(picture.channels);
    for (std::size_t i = channels - 1; i < picture.values.size(); i += channels)
      mask->values.push_back(picture.values[i]);
  }
  if (mask) {
    const bool black =
        std::all_of(mask->values.begin(), mask->values.end(), [](std::uint16_t v) { return v == 0; });
    require(!black, kind == MaskKind::File ? file.mask : file.path,
            ": the mask is black everywhere, nothing of the picture would be learned; leave the picture out");
  }
  return mask;
}

std::vector<PictureFacts> survey_pictures(const std::vector<PictureFile>& pictures,
                                          const PictureSurveyOptions& options) {
  std::vector<PictureFacts> facts(pictures.size());
  std::mutex mutex;
  std::size_t done = 0;
  parallel_for(pictures.size(), options.threads, [&](std::size_t i) {
    facts[i] = facts_of(pictures[i], options);
    if (!options.progress) return;
    const std::lock_guard lock(mutex);
    options.progress(static_cast<double>(++done) / static_cast<double>(pictures.size()));
  });
  return facts;
}

std::vector<std::uint32_t> alike_pictures(const std::vector<PictureFacts>& facts) {
  std::vector<std::optional<PictureLook>> looks;
  for (const PictureFacts& one : facts) looks.push_back(one.look);
  std::vector<std::uint32_t> alike = near_picture_groups(looks);
  std::map<std::string, std::uint32_t> groups;  // of equal pictures: the group of the first
  for (std::size_t i = 0; i < facts.size(); ++i)
    if (!facts[i].sha256.empty()) alike[i] = groups.emplace(facts[i].sha256, alike[i]).first->second;
  return alike;
}

namespace {

// Whole groups, by the smallest hash in each, as far as they fit.
void hold_out(const std::vector<PictureFacts>& facts, const std::vector<std::uint32_t>& alike,
              std::size_t wanted, std::vector<PictureFate>& fates) {
  std::map<std::uint32_t, std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < fates.size(); ++i)
    if (fates[i] == PictureFate::Keep) groups[alike[i]].push_back(i);
  std::map<std::string, const std::vector<std::size_t>*> order;
  for (const auto& [group, members] : groups) {
    std::string smallest = facts[members.front()].sha256;
    for (const std::size_t i : members) smallest = std::min(smallest, facts[i].sha256);
    order[smallest] = &members;
  }
  for (const auto& [hash, members] : order) {
    if (members->size() > wanted) continue;
    for (const std::size_t i : *members) fates[i] = PictureFate::HeldOut;
    wanted -= members->size();
  }
}

}  // namespace

std::vector<PictureFate> select_pictures(const std::vector<PictureFile>& pictures,
                                         const std::vector<PictureFacts>& facts,
                                         const std::vector<std::uint32_t>& alike,
                                         const PictureSelection& options) {
  std::vector<PictureFate> fates(pictures.size(), PictureFate::Keep);
  std::set<std::array<std::string, 3>> seen;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    if (!facts[i].damage.empty()) {
      fates[i] = PictureFate::Damaged;
    } else if (options.deduplicate && !pictures[i].path.empty() &&
               !seen.insert({facts[i].sha256, facts[i].mask_sha256, pictures[i].caption}).second) {
      fates[i] = PictureFate::Duplicate;
    } else {
      ++kept;
    }
  }
  if (options.validation_share <= 0) return fates;
  if (kept < 2) fail_usage("data.validation: a share wants at least two pictures, ", kept, " can be used");
  const auto wanted =
      static_cast<std::size_t>(std::llround(options.validation_share * static_cast<double>(kept)));
  hold_out(facts, alike, std::clamp<std::size_t>(wanted, 1, kept - 1), fates);
  return fates;
}

}  // namespace lathe
