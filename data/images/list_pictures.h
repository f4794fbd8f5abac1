#pragma once
// Which pictures the sources mean and what is said of each. Deterministic: files are sorted by their path's
// bytes.
//
// A caption comes from the first of: metadata.jsonl or metadata.csv in the picture's folder or one above it
// (columns file_name and the source's `field`, as Hugging Face's imagefolder), <name>.txt or <name>.caption
// beside it, the source's `caption`; where a source has none of these at all, the names of folders and file
// are the caption.
#include <cstdint>
#include <string>
#include <vector>

#include "data/sources/documents.h"
#include "recipes/schema/data_sections.h"

namespace lathe {

struct PictureFile {
  std::string path;         // absolute; empty for a generated one
  std::string name;         // "folder/below/file.png", or "shapes/00017"
  std::string caption;      // NFC, without white space around it; may be empty
  std::string mask;         // path of <name>-mask.png, or empty
  std::uint64_t index = 0;  // of a generated one
  std::uint32_t world = 0;  // of a generated one: keeps sets apart
  std::uint32_t source = 0;
};

// A file that is not learned from, and why.
struct LeftOut {
  std::string name, reason;
};

struct PictureList {
  std::vector<PictureFile> pictures;
  std::vector<LeftOut> left_out;   // of formats that are not read, links that lead nowhere
  std::vector<SourceFile> files;   // all that was looked at, captions too: for the fingerprint
  std::vector<std::string> notes;  // for the user
  std::uint64_t without_caption = 0;
};

// Usage Errors: nothing found, a caption file that does not parse or names a picture twice.
// Generated pictures are functions of the seed, of `world` + the source's index, and of their number.
PictureList list_pictures(const std::vector<SourceSection>& sources, std::uint64_t seed,
                          std::uint32_t world = 0);

// "item/book/light_blue2.png" -> "item book light blue": folders and name as words; numbers at the end of a
// name and names that only count (IMG_0001, 03) say nothing. `root` speaks when nothing else does.
std::string caption_of_names(const std::string& relative, const std::string& root);

// How long the "10_" of a folder "10_dog" is, which kohya's trainers read as repeats; 0 when it is none.
std::size_t repeats_prefix(const std::string& folder);

// Every caption with the trigger word of its source (its own, `trigger` when it names none, no word when that
// is "none"): {trigger} in it becomes the word, one that lacks it gets "<word>, " in front. Usage error when
// a caption without a word has {trigger}. Notes how many had it.
void apply_trigger(const std::string& trigger, const std::vector<SourceSection>& sources, PictureList& list);

// Captions that say left or right, which mirrored pictures (data.flip) turn into the opposite: a note that
// names some, or nothing.
std::vector<std::string> side_notes(const std::string& set, const PictureList& list);

// Unicode's composed form; text that is no UTF-8 is an Error naming `where`.
std::string composed_text(const std::string& text, const std::string& where);

}  // namespace lathe
