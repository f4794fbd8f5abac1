// lathe sample MODEL [--prompt TEXT | --class NAME] --output DIR: draws pictures, a contact sheet and
// metadata.jsonl beside.
#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "data/images/buckets.h"
#include "data/images/contact_sheet.h"
#include "data/images/fit.h"
#include "data/io/line_reader.h"
#include "data/io/utf8.h"
#include "models/diffusion/drawn_at_once.h"
#include "models/diffusion/fill_in.h"
#include "models/diffusion/names.h"
#include "models/diffusion/text_to_picture.h"
#include "trainer/cli/command.h"
#include "trainer/machine.h"
#include "trainer/pictures/picture_source.h"

namespace lathe {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMostPictures = 100'000, kMostSteps = 1000, kMostPoints = 8192;
constexpr std::int64_t kSheetPictures = 256, kSheetPoints = std::int64_t{1} << 25;

struct Arguments {
  std::string model, prompts_file, class_name, image, mask, output;
  std::optional<std::string> prompt;
  std::int64_t count = 1;
  DrawOptions draw;  // seed and size
  std::optional<std::string> sampler;
  std::optional<std::int64_t> steps;
  std::optional<double> guidance, guidance_from, guidance_until;
};

// A class by its name, or by its row.
std::string class_of(const std::string& asked, const TextToPicture& model) {
  if (model.classes.empty())
    fail_usage("--class: this model knows no classes; use ", model.by_text() ? "--prompt" : "--count alone");
  const auto& names = model.classes;
  if (std::find(names.begin(), names.end(), asked) != names.end()) return asked;
  std::size_t row = 0;
  const auto [end, error] = std::from_chars(asked.data(), asked.data() + asked.size(), row);
  const bool number = error == std::errc() && end == asked.data() + asked.size();
  return number && row < names.size() ? names[row] : asked;
}

std::vector<std::string> prompts_of(const Arguments& arguments, const TextToPicture& model) {
  std::vector<std::string> prompts;
  if (!arguments.class_name.empty()) {
    prompts.push_back(class_of(arguments.class_name, model));
  } else if (arguments.prompt) {
    prompts.push_back(*arguments.prompt);
  } else if (arguments.prompts_file.empty()) {  // every class, or nothing that is asked for
    prompts = model.classes;
    if (prompts.empty()) prompts.emplace_back();
  } else {
    prompts = filled_lines(arguments.prompts_file);
    if (prompts.empty()) fail_usage(arguments.prompts_file, ": no prompt in it; one a line is wanted");
  }
  for (const std::string& prompt : prompts)
    if (const auto bad = first_invalid_utf8(prompt))
      fail_usage(arguments.prompts_file.empty() ? "" : arguments.prompts_file + ": ", "the prompt '",
                 replace_invalid_utf8(prompt), "' is not UTF-8 from its byte ", *bad + 1, " on");
  std::vector<std::string> all;
  for (const std::string& prompt : prompts)
    all.insert(all.end(), static_cast<std::size_t>(arguments.count), prompt);
  return all;
}

DrawOptions draw_options(const Arguments& arguments, const std::string& folder, const TextToPicture& model) {
  const SamplingSection usual = usual_sampling(folder);
  DrawOptions options = arguments.draw;
  options.steps = arguments.steps.value_or(usual.steps);
  options.guidance = arguments.guidance.value_or(model.guidable() ? usual.guidance : 1);
  options.guidance_from = arguments.guidance_from.value_or(usual.guidance_from);
  options.guidance_until = arguments.guidance_until.value_or(usual.guidance_until);
  if (options.guidance_from >= options.guidance_until)
    fail_usage("--guidance-from ", options.guidance_from, " is not below --guidance-until ",
               options.guidance_until, ": guidance would never be used; --guidance 1 says so");
  const std::string name = arguments.sampler.value_or(usual.sampler);
  if (!name.empty())
    options.sampler = from_name<SamplerKind>(name, "--sampler");
  else
    options.sampler = usual_sampler(model.schedule.is_flow());
  return options;
}

// "20 steps of ddim, guidance 3, seed 0, 512 x 512"
std::string settings_text(const TextToPicture& model, const DrawOptions& options) {
  const bool stretch = options.guidance != 1 && (options.guidance_from > 0 || options.guidance_until < 1);
  const auto shape = model.latent_shape(options.height, options.width);
  return cat(
      options.steps, options.steps == 1 ? " step of " : " steps of ", to_name(options.sampler), ", guidance ",
      options.guidance,
      stretch ? cat(" from ", options.guidance_from, " until ", options.guidance_until) : std::string(),
      ", seed ", options.seed, ", ", shape[2] * model.points_a_place(), " x ",
      shape[1] * model.points_a_place());
}

// (1, c, H, W), 0 .. 1, scaled to cover what is drawn and cut in the middle.
at::Tensor fitted(const std::string& path, std::int64_t channels, const std::vector<std::int64_t>& sides) {
  const Picture whole = with_channels(over_background(read_picture(path), 1), channels);
  const Picture picture = fit_picture(whole, {sides[1], sides[0], channels}, 0, 1);
  std::vector<float> values(picture.values.begin(), picture.values.end());
  const at::Tensor rows = at::tensor(values).view({1, sides[0], sides[1], channels});
  return (rows / 65535).permute({0, 3, 1, 2}).contiguous();
}

// A mask is laid on its picture point by point, before both are cut.
void require_same_size(const std::string& image, const std::string& mask) {
  const Picture a = read_picture(image), b = read_picture(mask);
  if (a.width != b.width || a.height != b.height)
    fail_usage("--mask: ", mask, " is ", b.width, " x ", b.height, ", and ", image, " ", a.width, " x ",
               a.height, "; make them the same size");
}

void note_cropped(const Context& context, const std::string& file, std::int64_t width, std::int64_t height) {
  const Picture whole = read_picture(file);
  const double lost = cropped_share(whole.width, whole.height, {width, height, 3});
  if (lost > 0.005)
    context.log(cat("note: ", file, " is ", whole.width, " x ", whole.height, " and is cut to the shape of ",
                    width, " x ", height, ": ", std::lround(100 * lost),
                    " % of it is left out (--width and --height choose another)"));
}

// What a picture's mask leaves of it, for a network that fills in the rest.
at::Tensor picture_to_fill(const Context& context, const Arguments& arguments, const TextToPicture& model) {
  if (arguments.image.empty() && arguments.mask.empty()) return {};
  if (arguments.image.empty() || arguments.mask.empty())
    fail_usage(
        "--image FILE and --mask FILE go together: the picture, and what of it is drawn anew (bright)");
  if (!model.fills_in())
    fail_usage(
        "--image: this model cannot fill in pictures; a StableDiffusionInpaintPipeline, whose UNet has 9 "
        "channels, can");
  std::vector<std::int64_t> sides = model.latent_shape(arguments.draw.height, arguments.draw.width);
  sides = {sides[1] * model.points_a_place(), sides[2] * model.points_a_place()};
  require_same_size(arguments.image, arguments.mask);
  note_cropped(context, arguments.image, sides[1], sides[0]);
  const at::Tensor picture = 2 * fitted(arguments.image, model.vae->spec().in_channels, sides) - 1;
  return fill_in_condition(*model.vae, picture, fitted(arguments.mask, 1, sides));
}

void require_new(const std::string& folder) {
  if (fs::exists(folder) && !(fs::is_directory(folder) && fs::is_empty(folder)))
    fail_usage("--output ", folder, ": exists and is not an empty folder; choose another name");
}

std::string picture_name(std::size_t number) {
  char name[32];
  std::snprintf(name, sizeof name, "%05zu.png", number);
  return name;
}

// Writes pictures as they come, and keeps the first for the sheet.
class Gallery {
 public:
  explicit Gallery(std::string folder) : folder_(std::move(folder)) {}

  void add(const Picture& picture, const std::string& text) {
    if (count_ == 0) real_file_system().make_directory(folder_);  // not before something can be drawn
    const std::string name = picture_name(count_++);
    write_file_atomically(folder_ + "/" + name, encode_png(picture));
    metadata_ += Json{{"file_name", name}, {"text", text}}.dump() + "\n";
    const auto kept = static_cast<std::int64_t>(sheet_.size());
    if (kept < kSheetPictures && (kept + 1) * picture.width * picture.height <= kSheetPoints)
      sheet_.push_back(picture);
  }
  void finish() const {
    write_file_atomically(folder_ + "/metadata.jsonl", metadata_);
    if (sheet_.empty()) return;
    const std::int64_t columns = sheet_columns(static_cast<std::int64_t>(sheet_.size()));
    write_file_atomically(folder_ + "/contact.png", encode_png(contact_sheet(sheet_, columns)));
  }

 private:
  std::string folder_, metadata_;
  std::vector<Picture> sheet_;
  std::size_t count_ = 0;
};

// In batches, with a line on progress behind each; returns the seconds it took.
double draw_all(const Context& context, const TextToPicture& model, const std::vector<std::string>& prompts,
                const DrawOptions& options, Gallery& gallery) {
  const auto start = std::chrono::steady_clock::now();
  double seconds = 0;
  const auto shape = model.latent_shape(options.height, options.width);
  const auto batch = static_cast<std::size_t>(drawn_at_once(shape[1], shape[2]));
  for (std::size_t first = 0; first < prompts.size(); first += batch) {
    const std::size_t last = std::min(first + batch, prompts.size());
    std::vector<std::uint64_t> numbers;
    for (std::size_t i = first; i < last; ++i) numbers.push_back(i);
    const std::vector<std::string> texts(prompts.begin() + static_cast<std::ptrdiff_t>(first),
                                         prompts.begin() + static_cast<std::ptrdiff_t>(last));
    const at::Tensor drawn = model.to_pictures(draw_pictures(model, texts, numbers, options));
    for (std::size_t i = 0; i < texts.size(); ++i)
      gallery.add(to_picture(drawn[static_cast<std::int64_t>(i)]), texts[i]);
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    char line[80];
    std::snprintf(line, sizeof line, "%zu of %zu pictures, %.1f s", last, prompts.size(), seconds);
    context.log(line);
  }
  return seconds;
}

ExitCode sample(Context& context, const Arguments& arguments) {
  const int asked =
      arguments.prompt.has_value() + !arguments.prompts_file.empty() + !arguments.class_name.empty();
  if (asked > 1) fail_usage("give one of --prompt TEXT, --prompts FILE and --class NAME");
  require_new(arguments.output);
  set_compute_threads(resolve_threads(0));
  const ModelSource source = resolve_model(arguments.model);
  require(draws_pictures(source), source.description, " draws no pictures: ", source.folder, " has neither ",
          kModelIndex, " nor ", kPictureLora);
  const TextToPicture model = build_picture_model(load_picture_model(source), at::kFloat);
  if (asked == 0 && model.by_text()) fail_usage("give one of --prompt TEXT and --prompts FILE");
  if (!model.by_text() && model.class_rows() == 0 && asked > 0)
    fail_usage("this model knows no classes and reads no texts: it draws what it likes; use --count alone");
  const std::vector<std::string> prompts = prompts_of(arguments, model);
  if (model.by_text())
    if (const std::string cut = cut_captions(model.tokenizer, model.text_encoder->spec(), prompts);
        !cut.empty())
      context.log("note: " + cut);
  DrawOptions options = draw_options(arguments, source.folder, model);
  options.beside = picture_to_fill(context, arguments, model);
  context.log(source.description);
  context.log("drawn by " + settings_text(model, options));
  Gallery gallery(arguments.output);
  const double seconds = draw_all(context, model, prompts, options, gallery);
  gallery.finish();
  context.say(cat(prompts.size(), prompts.size() == 1 ? " picture" : " pictures", " in ", arguments.output,
                  ", all on contact.png, captions in metadata.jsonl"));
  context.result = {{"model", source.description},         {"output", arguments.output},
                    {"pictures", prompts.size()},          {"steps", options.steps},
                    {"guidance", options.guidance},        {"seed", options.seed},
                    {"sampler", to_name(options.sampler)}, {"seconds", seconds}};
  return ExitCode::Done;
}

}  // namespace

void add_sample(const Command& program) {
  const Command command = program.command("sample", "draw pictures by text or by class");
  auto arguments = std::make_shared<Arguments>();
  DrawOptions& draw = arguments->draw;
  command.option("MODEL", arguments->model, "a run, an export or a diffusers folder").required();
  command.option("--prompt", arguments->prompt, "what to draw");
  command.option(
      "--class,--label", arguments->class_name,
      "which class of a UNet or DiT, by name or number; without: all in turn, or pictures of no class");
  command.option("--prompts", arguments->prompts_file, "a file of prompts, one a line").existing_file();
  command.option("--image", arguments->image, "a picture to fill in, for a model that does; with --mask")
      .existing_file();
  command.option("--mask", arguments->mask, "its mask: what is bright is drawn anew").existing_file();
  command.option("--count", arguments->count, "pictures a prompt").between(1, kMostPictures);
  command
      .option("--steps", arguments->steps,
              "steps from noise to picture; default: as the model was trained to be drawn, else 20")
      .between(1, kMostSteps);
  command
      .option("--guidance", arguments->guidance,
              "how much more than without the text, 1: not at all; default: the run's, else 3")
      .not_negative();
  command
      .option(
          "--guidance-from", arguments->guidance_from,
          "guidance only from here on, of the way from noise (0) to picture (1); default: the run's, else 0")
      .not_negative();
  command.option("--guidance-until", arguments->guidance_until, "and to here; default: the run's, else 1")
      .not_negative();
  command.option("--seed", draw.seed, "of the noise");
  command.option("--sampler", arguments->sampler,
                 "flow_euler, ddim, ddpm, euler, heun or dpm++_2m; default: what goes with the model");
  command.option("--height", draw.height, "default: what the model was trained on").between(1, kMostPoints);
  command.option("--width", draw.width).between(1, kMostPoints);
  command.option("--output", arguments->output, "a folder that does not exist yet").required();
  command.runs([=](Context& context) { return sample(context, *arguments); });
}

}  // namespace lathe
