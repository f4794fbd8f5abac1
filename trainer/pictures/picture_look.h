#pragma once
// A look at a folder of pictures, and at a base, before anything is trained: what a recipe for them depends
// on. Decodes every picture once; reads no weights. Deterministic.
#include <optional>
#include <string>
#include <vector>

#include "checkpoints/diffusion/pipeline.h"
#include "data/images/survey_pictures.h"

namespace lathe {

enum class CaptionSource { Table, Sidecars, Names };

struct FolderLook {
  PictureList list;
  std::vector<PictureFacts> facts;                     // parallel to list.pictures
  std::size_t readable = 0, captions = 0, alike = 0;   // captions: different ones; alike: groups of pictures
  std::int64_t smallest = 0, middle = 0, largest = 0;  // of the shorter sides, in points
  bool grey = false, alpha = false, masks = false, varied = false;  // varied: squares would lose much of some
  std::string bad_mask;  // why one cannot be used: then `data.masks: file` would be refused
  CaptionSource source = CaptionSource::Names;
  std::vector<std::string> shared_words;  // in every caption
  // Captions that are names of classes: a few, each of several pictures.
  bool classes() const;
};

// Whether a folder is one of pictures that lathe reads, not of texts with a few between them.
bool holds_pictures(const std::string& path);
// Errors: a folder without a readable picture, captions that do not parse.
FolderLook look_at_pictures(const std::string& folder);

}  // namespace lathe
