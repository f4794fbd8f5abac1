#include "trainer/cli/preview_pictures.h"

#include <algorithm>
#include <cmath>

#include "data/images/contact_sheet.h"
#include "data/images/picture_loader.h"
#include "data/images/prepare_pictures.h"
#include "recipes/schema/scalars.h"
#include "trainer/pictures/picture_source.h"

namespace lathe {

namespace {

// Row `row` of a batch in the middle of a white field of width x height.
Picture shown(const PictureBatch& batch, std::size_t row, std::int64_t width, std::int64_t height) {
  Picture out;
  out.width = width;
  out.height = height;
  out.channels = batch.channels;
  out.values.assign(static_cast<std::size_t>(width * height * batch.channels), 65535);
  const std::int64_t left = (width - batch.width) / 2, top = (height - batch.height) / 2,
                     area = batch.width * batch.height;
  for (std::int64_t c = 0; c < batch.channels; ++c) {
    for (std::int64_t i = 0; i < area; ++i) {
      const double value = batch.pixels[row * static_cast<std::size_t>(batch.channels * area) +
                                        static_cast<std::size_t>(c * area + i)];
      const double weight =
          batch.masks.empty()
              ? 1
              : batch.masks[row * static_cast<std::size_t>(area) + static_cast<std::size_t>(i)];
      const std::int64_t at = ((top + i / batch.width) * width + left + i % batch.width) * batch.channels + c;
      out.values[static_cast<std::size_t>(at)] =
          static_cast<std::uint16_t>(std::lround((value * weight + 1) * 32767.5));
    }
  }
  return out;
}

std::string variant_text(const PreviewRow& row) {
  return cat(row.crop > 0 ? cat(", crop ", row.crop + 1) : "", row.mirrored ? ", mirrored" : "");
}

}  // namespace

ExitCode preview_pictures(Context& context, const Recipe& recipe, const PicturePreview& options) {
  const PreparedPictures data = prepare_pictures(recipe);
  const auto group = recipe.train.global_batch_size;
  const PictureLoader loader(data.train, static_cast<std::uint64_t>(recipe.train.seed), true, group);
  std::int64_t width = 0, height = 0;
  for (const PictureSize& size : loader.sizes()) {
    width = std::max(width, size.width);
    height = std::max(height, size.height);
  }
  std::vector<std::string> notes = data.notes;
  if (!recipe.model.path.empty()) {
    const PictureModel base = load_picture_model(resolve_model(recipe.model.path));
    if (const std::string cut = cut_captions(base.tokenizer, base.text_encoder, data.captions); !cut.empty())
      notes.push_back(cut);
  }
  for (const std::string& note : notes) context.say("note: " + printable(note));
  context.result["notes"] = notes;
  context.result["ledger"] = data.ledger;
  context.result["pictures"] = Json::array();
  std::vector<Picture> pictures;
  const auto count =
      std::min<std::uint64_t>(static_cast<std::uint64_t>(options.count), loader.rows_per_epoch());
  for (std::uint64_t n = 0; n < count; ++n) {
    const PictureBatch batch = loader.read(n, 1);
    const PreviewRow row = loader.preview(n);
    context.say(printable(
        cat(row.name, " (", batch.width, " x ", batch.height, variant_text(row), "): ", batch.captions[0])));
    context.result["pictures"].push_back({{"name", row.name},
                                          {"width", batch.width},
                                          {"height", batch.height},
                                          {"crop", row.crop},
                                          {"mirrored", row.mirrored},
                                          {"caption", batch.captions[0]}});
    pictures.push_back(shown(batch, 0, width, height));
  }
  const std::string sheet = options.output.empty() ? data.directory + "/preview.png" : options.output;
  write_file_atomically(sheet,
                        encode_png(contact_sheet(pictures, sheet_columns(static_cast<std::int64_t>(count)))));
  context.say(cat("the first ", count, " of ", loader.rows_per_epoch(), " rows of an epoch: ", sheet));
  context.result["sheet"] = sheet;
  if (options.strict && !notes.empty()) fail("the data report has notes (--strict)");
  return ExitCode::Done;
}

}  // namespace lathe
