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

PictureFacts facts_of(const PictureFile& file, const PictureSurveyOptions& options) {
  PictureFacts facts;
  try {
    const Picture picture = load_picture(file, options.seed, options.side);
    facts.width = picture.width;
    facts.height = picture.height;
    facts.alpha = picture.has_alpha();
    facts.deep = picture.deep;
    facts.turned = picture.turned;
    facts.sha256 = Sha256()
                       .update(cat(picture.width, ' ', picture.height, ' ', picture.channels, '\n'))
                       .update(std::as_bytes(std::span(picture.values)))
                       .hex();
  } catch (const Error& error) {
    facts.damage = error.what();
  }
  return facts;
}

}  // namespace

Picture load_picture(const PictureFile& file, std::uint64_t seed, std::int64_t side) {
  if (!file.path.empty()) return read_picture(file.path);
  return render_shape(draw_shape(seed, file.index, file.world), side);
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

std::vector<PictureFate> select_pictures(const std::vector<PictureFile>& pictures,
                                         const std::vector<PictureFacts>& facts,
                                         const PictureSelection& options) {
  std::vector<PictureFate> fates(pictures.size(), PictureFate::Keep);
  std::set<std::pair<std::string, std::string>> seen;
  std::map<std::string, std::vector<std::size_t>> groups;  // by pixels, in the order of their hashes
  std::size_t kept = 0;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    if (!facts[i].damage.empty()) {
      fates[i] = PictureFate::Damaged;
    } else if (options.deduplicate && !seen.emplace(facts[i].sha256, pictures[i].caption).second) {
      fates[i] = PictureFate::Duplicate;
    } else {
      groups[facts[i].sha256].push_back(i);
      ++kept;
    }
  }
  if (options.validation_share <= 0) return fates;
  require(kept >= 2, "data.validation: a share wants at least two pictures, ", kept, " can be used");
  const auto wanted =
      static_cast<std::size_t>(std::llround(options.validation_share * static_cast<double>(kept)));
  std::size_t left = std::clamp<std::size_t>(wanted, 1, kept - 1);
  for (const auto& [hash, members] : groups) {
    if (members.size() > left) continue;
    for (const std::size_t i : members) fates[i] = PictureFate::HeldOut;
    left -= members.size();
    if (left == 0) break;
  }
  return fates;
}

}  // namespace lathe
