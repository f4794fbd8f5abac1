#pragma once
// The first pass over pictures: every file is decoded once, so that what is damaged, doubled or held out is
// known before anything is written. Holds facts, never pixels.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/images/list_pictures.h"
#include "data/images/picture.h"

namespace lathe {

struct PictureFacts {
  std::int64_t width = 0, height = 0;
  bool alpha = false, deep = false, turned = false;
  std::string sha256;  // of size and values, whatever the file's format; empty when damaged
  std::string damage;  // why it cannot be read; empty when it can
};

// What the picture of a list is: read from its file, or drawn `side` pixels wide.
Picture load_picture(const PictureFile& file, std::uint64_t seed, std::int64_t side);

struct PictureSurveyOptions {
  std::uint64_t seed = 17;  // of generated pictures
  std::int64_t side = 64;
  int threads = 0;
  std::function<void(double)> progress = {};
};

// Parallel to `pictures`.
std::vector<PictureFacts> survey_pictures(const std::vector<PictureFile>& pictures,
                                          const PictureSurveyOptions& options);

enum class PictureFate : std::uint8_t { Keep, HeldOut, Duplicate, Damaged };

struct PictureSelection {
  bool deduplicate = true;      // of equal pictures with equal captions the first is kept
  double validation_share = 0;  // round(share * n) of the n kept are held out, equal pictures on one side
};

// Which are held out is a function of their pixels alone: whole groups of equal pictures in the order of
// their hashes, those that would overshoot passed over. Error when a share is asked for and there are fewer
// than two.
std::vector<PictureFate> select_pictures(const std::vector<PictureFile>& pictures,
                                         const std::vector<PictureFacts>& facts,
                                         const PictureSelection& options);

}  // namespace lathe
