#include "trainer/pictures/picture_base.h"

#include <functional>
#include <numeric>
#include <optional>
#include <set>

#include "checkpoints/diffusion/adapter_folder.h"
#include "checkpoints/diffusion/single_file.h"
#include "data/images/buckets.h"
#include "models/adapters/attach.h"
#include "models/diffusion/names.h"
#include "models/diffusion/sampler_times.h"
#include "recipes/schema/scalars.h"
#include "recipes/schema/validate.h"
#include "trainer/freeze.h"
#include "trainer/pictures/picture_source.h"

namespace lathe {

namespace {

std::optional<PictureModel> base_of(const std::string& path) {
  try {
    return load_picture_model(resolve_model(path));
  } catch (const Error&) {
    return std::nullopt;
  }
}

const std::string& shown(const std::string& value) { return value; }
std::string shown(bool value) { return value ? "true" : "false"; }
std::string shown(double value) { return number_text(value); }
std::string shown(std::int64_t value) { return std::to_string(value); }

// Of the networks that may be trained, by its name in records.
struct NamedShape {
  std::string name;
  std::vector<std::int64_t> shape;
  std::int64_t count() const {
    return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  }
  AdapterSite site() const { return {name.substr(0, name.rfind('.')), shape.size() == 2}; }
};

std::vector<NamedShape> parameters_of(PictureModel& model) {
  std::vector<NamedShape> all;
  for (const PictureModel::Part& part : model.parts())
    if (part.prefix != "vae.")
      for (const ParameterInfo& info : part.parameters) all.push_back({part.prefix + info.name, info.shape});
  return all;
}

// The matrices of the blocks, as attach_adapters finds their layers.
std::vector<NamedShape> sites_of(PictureModel& model, bool text_encoder) {
  std::vector<NamedShape> all;
  for (NamedShape& parameter : parameters_of(model)) {
    const bool text = parameter.name.starts_with(kTextEncoderPart);
    const char* blocks = text ? "layers." : model.unet ? "_block" : "transformer_blocks.";
    if (parameter.name.ends_with(".weight") && parameter.shape.size() > 1 && (!text || text_encoder) &&
        parameter.name.find(blocks) != std::string::npos)
      all.push_back(std::move(parameter));
  }
  return all;
}

class BaseCheck {
 public:
  BaseCheck(LoadedRecipe& loaded, PictureModel base)
      : loaded_(loaded), r_(loaded.recipe), base_(std::move(base)) {}

  void run() {
    take_noise();
    if (base_.by_text()) take_text_encoder();
    without_nothing();
    for (const auto& [key, text] : noise_contradictions(r_.diffusion)) wrong(key, text);
    if (loaded_.problems.empty()) sampler();
    sizes();
    trained();
    exports();
  }

 private:
  bool named(const std::string& key) const { return loaded_.places.count(key) > 0; }

  void wrong(const std::string& key, const std::string& text) {
    loaded_.problems.push_back({place_of(loaded_.places, loaded_.file, key), text});
  }

  template <typename Value>
  void put(const std::string& key, Value& value, const Value& base) {
    if (named(key)) return;
    value = base;
    loaded_.source[key] = "from the base";
  }

  // What the base's weights were made for: another value would be another model.
  template <typename Value>
  void fixed(const std::string& key, Value& value, const Value& base) {
    if (named(key) && value != base)
      wrong(key, cat("'", key, "' is ", shown(value), ", and the base's is ", shown(base),
                     ", which tuning keeps; leave it out"));
    put(key, value, base);
  }

  // An adapter or a new word is used on the base as it is, its schedule too.
  template <typename Value>
  void of_whole_models(const std::string& key, Value& value, const Value& base) {
    if (!r_.adapter.kind.empty() || !r_.textual_inversion.token.empty()) return fixed(key, value, base);
    put(key, value, base);
  }

  void take_noise() {
    DiffusionSection& d = r_.diffusion;
    fixed("diffusion.prediction", d.prediction, to_name(base_.prediction));
    fixed("diffusion.schedule", d.schedule, to_name(base_.schedule.kind));
    if (base_.prediction != Prediction::Flow)  // logit-normal times are flow matching's
      put("diffusion.timesteps", d.timesteps, std::string("uniform"));
    of_whole_models("diffusion.zero_terminal_snr", d.zero_terminal_snr, base_.schedule.zero_terminal_snr);
    of_whole_models("diffusion.shift", d.shift, base_.schedule.shift);
  }

  void take_text_encoder() {
    TextEncoderSection& text = r_.diffusion.text_encoder;
    fixed("diffusion.text_encoder.hidden_size", text.hidden_size, base_.text_encoder.hidden_size);
    fixed("diffusion.text_encoder.num_hidden_layers", text.num_hidden_layers, base_.text_encoder.num_layers);
    fixed("diffusion.text_encoder.num_attention_heads", text.num_attention_heads,
          base_.text_encoder.num_heads);
    fixed("diffusion.text_encoder.max_length", text.max_length, base_.text_encoder.max_positions);
  }

  // A network by class that has no row for "none" is never asked for nothing.
  void without_nothing() {
    if (base_.by_text() || base_.class_rows() == 0 ||
        base_.class_rows() > static_cast<std::int64_t>(base_.classes.size()))
      return;
    constexpr const char* kWhy = ", and the base has no row for pictures of no class; leave it out";
    DiffusionSection& d = r_.diffusion;
    if (named("diffusion.condition_dropout") && d.condition_dropout > 0)
      wrong("diffusion.condition_dropout",
            cat("'diffusion.condition_dropout' is ", d.condition_dropout, kWhy));
    if (named("diffusion.sampling.guidance") && d.sampling.guidance != 1)
      wrong("diffusion.sampling.guidance",
            cat("'diffusion.sampling.guidance' is ", d.sampling.guidance, kWhy));
    put("diffusion.condition_dropout", d.condition_dropout, 0.0);
    put("diffusion.sampling.guidance", d.sampling.guidance, 1.0);
  }

  // What would be told only when the first samples are drawn.
  void sampler() {
    const SamplingSection& sampling = r_.diffusion.sampling;
    SamplerKind kind = usual_sampler(base_.schedule.kind == NoiseKind::Flow);
    if (!sampling.sampler.empty())
      kind = from_name<SamplerKind>(sampling.sampler, "diffusion.sampling.sampler");
    const SamplerOptions options = usual_sampler_options(kind, sampling.steps);
    told("diffusion.sampling.steps", [&] { sampler_times(base_.schedule, options); });
  }

  void sizes() {
    if (r_.data.channels != base_.channels())
      wrong("data.channels", cat("'data.channels' is ", r_.data.channels, ", and the base reads pictures of ",
                                 base_.channels()));
    const std::int64_t step = side_step(base_);
    if (r_.data.resolution.empty() || r_.data.resolution.size() > 2) return;
    told("data.resolution", [&] {
      for (const PictureSize& size : bucket_sizes(nominal_size(r_.data), r_.data.bucket_step))
        if (size.width % step != 0 || size.height % step != 0)
          fail_usage("'data.resolution': pictures become ", size.width, " x ", size.height,
                     " points, and the base wants sides that are multiples of ", step,
                     "; set data.resolution and data.bucket_step so");
    });
  }

  void trained() {
    std::vector<std::string> names;
    for (const NamedShape& parameter : parameters_of(base_)) names.push_back(parameter.name);
    if (!r_.adapter.kind.empty() && base_.by_text()) {
      std::vector<AdapterSite> sites;
      for (const NamedShape& parameter : sites_of(base_, r_.adapter.text_encoder))
        sites.push_back(parameter.site());
      told("adapter.targets", [&] { check_adapter_targets(sites, r_.adapter.targets); });
      if (r_.adapter.text_encoder) text_encoder_adapted(sites);
      if (r_.adapter.kind == "dora") only_linear(sites);
    }
    if (!r_.model.freeze.empty())
      told("model.freeze", [&] {
        check_freeze(names, r_.model.freeze);
        if (trained_parameters(r_, base_) == 0)
          fail_usage("'model.freeze' leaves nothing to train",
                     base_.vae ? " (the text encoder and the VAE stay as they are)" : "");
      });
  }

  void text_encoder_adapted(const std::vector<AdapterSite>& sites) {
    std::set<std::string> names;
    for (const AdapterSite& site : sites) {
      if (!site.name.starts_with(kTextEncoderPart)) continue;
      if (is_adapter_target(site, r_.adapter.targets)) return;
      names.insert(site.name.substr(site.name.rfind('.') + 1));
    }
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    wrong("adapter.text_encoder",
          cat("'adapter.text_encoder' is true, and 'adapter.targets' names none of its layers (", list,
              ", or all-linear), so it would not be adapted; name some, or leave text_encoder out"));
  }

  void only_linear(const std::vector<AdapterSite>& sites) {
    for (const AdapterSite& site : sites)
      if (!site.linear && is_adapter_target(site, r_.adapter.targets))
        return wrong("adapter.kind",
                     cat("'adapter.kind' dora is for linear layers, and 'adapter.targets' names '", site.name,
                         "', a convolution; take lora, or other targets"));
  }

  // What is tuned has the base's networks, and the end of the schedule that the recipe asks for.
  void exports() {
    base_.schedule.shift = r_.diffusion.shift;
    base_.schedule.zero_terminal_snr = r_.diffusion.zero_terminal_snr;
    for (std::size_t i = 0; i < r_.exports.size(); ++i)
      if (r_.exports[i].format == kSingleFileFormat)
        told(cat("export[", i, "].format"), [&] { single_file_tensors(base_); });
  }

  template <typename Check>
  void told(const std::string& key, Check check) {
    try {
      check();
    } catch (const Error& e) {
      wrong(key, e.what());
    }
  }

  LoadedRecipe& loaded_;
  Recipe& r_;
  PictureModel base_;
};

}  // namespace

void check_picture_base(LoadedRecipe& loaded) {
  if (loaded.recipe.task != "diffusion" || loaded.recipe.model.path.empty()) return;
  if (auto base = base_of(loaded.recipe.model.path)) BaseCheck(loaded, std::move(*base)).run();
}

std::vector<std::string> adapted_modules(const Recipe& recipe, PictureModel model) {
  std::vector<std::string> names;
  if (recipe.adapter.kind.empty() || !model.by_text()) return names;
  for (const NamedShape& parameter : sites_of(model, recipe.adapter.text_encoder))
    if (is_adapter_target(parameter.site(), recipe.adapter.targets)) names.push_back(parameter.site().name);
  return names;
}

bool adapts_convolutions(const Recipe& recipe, PictureModel model) {
  const std::vector<NamedShape> sites = sites_of(model, recipe.adapter.text_encoder);
  return !recipe.adapter.kind.empty() && model.by_text() &&
         std::ranges::any_of(sites, [&](const NamedShape& parameter) {
           return !parameter.site().linear && is_adapter_target(parameter.site(), recipe.adapter.targets);
         });
}

std::int64_t trained_parameters(const Recipe& recipe, PictureModel model) {
  std::int64_t trained = 0;
  if (!recipe.textual_inversion.token.empty())
    return recipe.textual_inversion.vectors * model.text_encoder.hidden_size;
  if (recipe.adapter.kind.empty()) {
    std::vector<std::string> frozen = recipe.model.freeze;
    if (model.vae) frozen.emplace_back("text_encoder");
    for (const NamedShape& parameter : parameters_of(model))
      if (!is_frozen(parameter.name, frozen)) trained += parameter.count();
    return trained;
  }
  for (const NamedShape& parameter : sites_of(model, recipe.adapter.text_encoder)) {
    if (!is_adapter_target(parameter.site(), recipe.adapter.targets)) continue;
    const std::int64_t out = parameter.shape.front(), in = parameter.count() / out;
    trained += recipe.adapter.rank * (in + out) + (recipe.adapter.kind == "dora" ? out : 0);
  }
  return trained;
}

}  // namespace lathe
