#pragma once
// The first pass over pictures: every file is decoded once, so that what is damaged, doubled or held out is
// known before anything is written. Holds facts, never pixels.
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/images/list_pictures.h"
#include "data/images/near_pictures.h"
#include "data/images/picture.h"

namespace lathe {

struct PictureFacts {
  std::int64_t width = 0, height = 0;
  bool alpha = false, deep = false, turned = false;
  std::string sha256;                    // of size and values, whatever the file's format; empty when damaged
  std::string mask_sha256;               // of the mask; empty when it has none
  std::optional<PictureLook> look = {};  // of pictures from files, for near-duplicates
  std::string damage;                    // why it cannot be read; empty when it can
};

// What the picture of a list is: read from its file, or drawn `side` pixels wide.
Picture load_picture(const PictureFile& file, std::uint64_t seed, std::int64_t side);

enum class MaskKind : std::uint8_t { None, File, Alpha };
MaskKind parse_masks(const std::string& name);  // none | file | alpha

// The weight of each place of `picture`, 1 channel of its size, from <name>-mask.png (bright: in full) or
// from alpha; nothing where there is neither. Errors: a mask of another size than its picture, or black
// everywhere.
std::optional<Picture> load_mask(const PictureFile& file, const Picture& picture, MaskKind kind);

struct PictureSurveyOptions {
  std::uint64_t seed = 17;  // of generated pictures
  std::int64_t side = 64;
  MaskKind masks = MaskKind::None;
  int threads = 0;
  std::function<void(double)> progress = {};
};

// Parallel to `pictures`. A damaged mask is an Error, since its picture would be learned where it must not
// be.
std::vector<PictureFacts> survey_pictures(const std::vector<PictureFile>& pictures,
                                          const PictureSurveyOptions& options);

// For each picture the smallest index of those that are equal or nearly so (data/images/near_pictures.h).
std::vector<std::uint32_t> alike_pictures(const std::vector<PictureFacts>& facts);

enum class PictureFate : std::uint8_t { Keep, HeldOut, Duplicate, Damaged };

struct PictureSelection {
  bool deduplicate = true;      // of equal files with equal captions the first is kept
  double validation_share = 0;  // round(share * n) of the n kept are held out
};

// Which are held out is a function of their pixels alone: whole groups of `alike` pictures in the order of
// their smallest hashes, those that would overshoot passed over. Error when a share is asked for and there
// are fewer than two.
std::vector<PictureFate> select_pictures(const std::vector<PictureFile>& pictures,
                                         const std::vector<PictureFacts>& facts,
                                         const std::vector<std::uint32_t>& alike,
                                         const PictureSelection& options);

}  // namespace lathe
