// Numbers follow the recipes of recipes/diffusion and what others use for a dozen pictures: LoRA of rank 16
// at 1e-4 on Stable Diffusion, each picture seen about a hundred times; from scratch 3,000 steps of 64 at
// 2e-3.
#include "trainer/cli/recipes_new_pictures.h"

#include <algorithm>
#include <filesystem>

#include "data/io/file_system.h"
#include "data/io/shell_word.h"
#include "recipes/schema/load.h"
#include "trainer/cli/recipe_text.h"
#include "trainer/pictures/picture_base.h"
#include "trainer/pictures/picture_look.h"
#include "trainer/pictures/picture_source.h"
#include "trainer/report/metrics.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kFew = 60, kHoldOutFrom = 40, kManyForScratch = 500;
constexpr std::int64_t kBucketStep = 64, kVisits = 100, kFewestSteps = 200, kMostSteps = 2000;
constexpr std::int64_t kScratchSteps = 3000, kScratchBatch = 64, kLargestFromScratch = 32;

const char* told(CaptionSource source) {
  return source == CaptionSource::Table      ? "a table in the folder (metadata.jsonl or metadata.csv)"
         : source == CaptionSource::Sidecars ? "a text beside each picture"
                                             : "the names of folders and files";
}

class PictureRecipe {
 public:
  PictureRecipe(const NewRecipe& wanted, const FolderLook& look, const std::optional<PictureModel>& base)
      : wanted_(wanted), look_(look), base_(base), name_(plain_name(wanted.data)) {
    few_ = look.readable < kFew;
    holds_ = look.readable >= kHoldOutFrom;
    if (base_) {
      adapts_ = base_->vae.has_value();
      side_ = base_->sample_size();
      const std::int64_t step = side_step(*base_);  // not larger than the pictures are
      while (side_ > 2 * step && side_ > look.middle)
        side_ -= std::max(step, side_ > 256 ? kBucketStep : step);
      buckets_ = look.varied && base_->vae && side_ % kBucketStep == 0 && kBucketStep % step == 0;
      batch_ = few_ ? 4 : 8;
      steps_ =
          std::clamp(kVisits * static_cast<std::int64_t>(look.readable) / batch_, kFewestSteps, kMostSteps);
    } else {
      side_ = look.middle < kLargestFromScratch ? 16 : kLargestFromScratch;
      batch_ = kScratchBatch;
      steps_ = kScratchSteps;
    }
  }

  std::string text() {
    opening();
    text_.line("name: " + recipe_scalar(name_), "the run is runs/" + name_);
    text_.line("task: diffusion", "a model learns to draw");
    model();
    data();
    noise();
    training();
    if (holds_)
      text_.line(cat("evaluate: {every: ", std::max<std::int64_t>(50, steps_ / 5), "}"),
                 "held-out loss by bands of noise, and a grid of samples");
    exports();
    return text_.take();
  }

 private:
  bool by_class() const { return base_ ? !base_->by_text() : look_.captions < 2 || look_.classes(); }

  void opening() {
    const std::string file = shell_word(wanted_.output);
    text_.remark(cat(fs::path(wanted_.data).lexically_normal().string(), ": ",
                     base_ ? "taught to " + wanted_.model : std::string("a model from scratch"), "."));
    text_.remark("");
    text_.command("lathe preview " + file, "the pictures as the model will see them, and the report on them");
    text_.command("lathe check " + file,
                  "every value with its source, what each export holds and who reads it");
    text_.command("lathe train " + file, "trains, draws samples, exports, compares");
    text_.command(cat("lathe sample runs/", name_, " --count 4 --output drawn",
                      by_class() ? "" : " --prompt " + shell_word(example_caption())),
                  "draws with the result");
    text_.command("lathe recipes reference", "every key that may stand here");
    text_.remark("");
    text_.remark(cat("Pictures: ", look_.readable, " of ", look_.facts.size(), " can be read, ", look_.alike,
                     " that do not look the same; shorter sides of ", look_.smallest, " to ", look_.largest,
                     " points, half of them up to ", look_.middle, look_.grey ? "; all grey" : "",
                     look_.alpha ? "; some with alpha" : "", "."));
    text_.remark(
        cat("Captions: ", told(look_.source), "; ", look_.captions, " different",
            look_.list.without_caption > 0 ? cat(", ", look_.list.without_caption, " empty") : std::string(),
            look_.shared_words.empty() ? std::string()
                                       : cat("; every one has '", look_.shared_words.front(), "'"),
            "."));
    for (const std::string& note : look_.list.notes) text_.remark("Note: " + note);
    for (const PictureFacts& facts : look_.facts)
      if (!facts.damage.empty()) text_.remark("Note: left out: " + facts.damage);
    if (!base_ && look_.readable < kManyForScratch)
      text_.remark(cat("Note: ", look_.readable,
                       " pictures teach a model from scratch to repeat them; name a base "
                       "(--model FOLDER) to tune one."));
  }

  std::string example_caption() const { return look_.list.pictures.front().caption; }

  void model() {
    if (!base_) return scratch_model();
    text_.line(cat("model: {path: ", recipe_scalar(input_path(wanted_.model, wanted_.output)),
                   base_->by_text() && !adapts_ ? ", freeze: [transformer]}" : "}"),
               adapts_            ? "the base; never changed"
               : base_->by_text() ? "the base: its text encoder learns what to ask the frozen network for"
                                  : "the base; all of its weights are trained");
    if (!adapts_) return;
    text_.line("adapter: {kind: lora, rank: 16, alpha: 16}", "what is trained; the base stays frozen");
    text_.line("# adapter: {kind: lora, rank: 16, alpha: 16, targets: [all-linear, conv1, conv2]}",
               "more of the style: convolutions too");
  }

  void scratch_model() {
    if (by_class())
      return text_.line(cat("model: {family: unet2d, layers_per_block: 1",
                            look_.captions < 2 ? ", class_conditional: false}" : "}"),
                        look_.captions < 2
                            ? "diffusers' UNet2DModel, drawn by nothing"
                            : cat("diffusers' UNet2DModel; the ", look_.captions, " captions are classes"));
    text_.line("model: {family: sd3, num_layers: 4, num_attention_heads: 4, patch_size: 4}",
               "SD3's transformer on squares of 4 x 4 points");
    text_.line("tokenizer: {train: clip_bpe, vocab_size: 1024}", "trained on the captions");
  }

  void data() {
    text_.line("data:", "paths are relative to this file");
    text_.line(cat("  train: [{path: ", recipe_scalar(input_path(wanted_.data, wanted_.output)), "}]"),
               cat(look_.readable, " pictures; their captions: ", told(look_.source)));
    text_.line(cat("  resolution: [", side_, "]"),
               base_ ? cat("points a side; the base was made for ", base_->sample_size())
                     : cat("points a side; ", 2 * side_, " takes four times the time"));
    if (const std::int64_t channels = base_ ? base_->channels() : look_.grey ? 1 : 3; channels != 3)
      text_.line(cat("  channels: ", channels), base_ ? "as the base" : "all pictures are grey");
    if (buckets_)
      text_.line(cat("  bucket_step: ", kBucketStep),
                 "their shapes are kept: squares would cut much of some");
    else if (look_.varied)
      text_.line("  # crops: 3",
                 "squares cut much of some pictures: three crops of each instead of the middle");
    if (!look_.bad_mask.empty())
      text_.line("  # masks: file",
                 "masks beside pictures, not used before this is mended: " + look_.bad_mask);
    else if (look_.masks)
      text_.line("  masks: file", "<name>-mask.png beside a picture: what is bright is learned");
    if (look_.alpha) text_.line("  background: 1", "what shows through alpha: 0 is black, 1 is white");
    text_.line("  # flip: true", side_notes("train", look_.list).empty()
                                     ? "each also mirrored; not where left and right matter"
                                     : "not here: captions say left or right");
    if (holds_)
      text_.line("  validation: 0.1", "held out to measure; pictures that look the same stay on one side");
    else
      text_.line("  # validation: other_pictures",
                 cat("nothing is held out of ", look_.readable, " pictures"));
    if (base_ && base_->by_text()) trigger();
  }

  // A word of their own is how a few pictures are asked for later.
  void trigger() {
    if (look_.shared_words.empty())
      return text_.line("  # trigger: zwx",
                        "no word is in every caption: a rare one put before each names these pictures");
    std::string words;
    for (const std::string& word : look_.shared_words) words += cat(words.empty() ? "" : ", ", word);
    text_.line("  # trigger: zwx", "a rare word before each caption; every one has: " + words);
  }

  void noise() {
    if (base_) return;  // it brings its own
    if (by_class())
      text_.line("diffusion: {prediction: velocity, schedule: cosine, timesteps: uniform}",
                 "as recipes/diffusion/digits.yaml");
    else
      text_.line("diffusion: {text_encoder: {hidden_size: 64, num_hidden_layers: 2, num_attention_heads: 2}}",
                 "flow matching; the encoder reads the captions");
  }

  void training() {
    const double rate = !base_ ? 2e-3 : adapts_ ? 1e-4 : base_->by_text() ? 1e-3 : 2e-4;
    text_.line(cat("optimizer: {learning_rate: ", rate, "}"),
               base_ ? "peak; half of it when the old is forgotten, twice when little is learned" : "peak");
    text_.line("schedule: {name: cosine, warmup_steps: 20, min_lr_ratio: 0.1}", "");
    text_.line(cat("train: {max_steps: ", steps_, ", global_batch_size: ", batch_, "}"),
               cat("each picture is seen about ",
                   std::max<std::int64_t>(1, steps_ * batch_ / static_cast<std::int64_t>(look_.readable)),
                   " times"));
    if (!base_ || !adapts_)
      text_.line(cat("ema: {decay: ", base_ ? "0.95" : "0.995", "}"),
                 "averages of the weights draw and are exported");
    if (base_ && base_->by_text() && few_)
      text_.line("# prior: {weight: 1, prompts: old.txt}",
                 "a file of prompts, one a line, whose pictures must stay as they are");
  }

  void exports() {
    if (adapts_)
      text_.line("export: [{format: diffusers}, {format: kohya}]",
                 "merged, and the adapter alone for ComfyUI and others");
    else
      text_.line("export: [{format: diffusers}]", "a folder for diffusers, read back and compared");
  }

  const NewRecipe& wanted_;
  const FolderLook& look_;
  const std::optional<PictureModel>& base_;
  CommentedText text_;
  std::string name_;
  bool few_ = false, holds_ = false, adapts_ = false, buckets_ = false;
  std::int64_t side_ = 0, batch_ = 0, steps_ = 0;
};

}  // namespace

ExitCode write_picture_recipe(Context& context, const NewRecipe& wanted) {
  if (fs::exists(wanted.output))
    fail_usage("'", wanted.output, "' exists already and is not overwritten; choose another --output");
  if (!wanted.columns.empty())
    fail_usage("--columns is for examples of texts; pictures bring their captions (data.train 'field')");
  std::optional<PictureModel> base;
  if (!wanted.model.empty()) base = load_picture_model(resolve_model(wanted.model));
  const FolderLook look = look_at_pictures(wanted.data);
  const std::string text = PictureRecipe(wanted, look, base).text();
  LoadedRecipe loaded = load_recipe_text(text, fs::absolute(wanted.output).string());
  check_picture_base(loaded);
  throw_problems(loaded);
  write_file_atomically(wanted.output, text);
  context.result["file"] = wanted.output;
  context.result["recipe"] = text;
  context.result["pictures"] = look.readable;
  context.result["captions"] = look.captions;
  context.result["sides"] =
      Json{{"smallest", look.smallest}, {"median", look.middle}, {"largest", look.largest}};
  context.say(text);
  const std::string file = shell_word(wanted.output);
  context.say(cat("written to ", file, "; next:  lathe preview ", file, "    lathe train ", file));
  return ExitCode::Done;
}

}  // namespace lathe
