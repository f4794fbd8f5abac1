#include "checkpoints/exporters/picture_coverage.h"

#include <algorithm>
#include <map>
#include <set>

#include "checkpoints/diffusion/lora_spelling.h"
#include "checkpoints/diffusion/single_file.h"
#include "checkpoints/exporters/picture_lora.h"
#include "recipes/schema/output_sections.h"

namespace lathe {

namespace {

constexpr const char* kDiffusers = "diffusers";
constexpr const char* kComfyUi = "ComfyUI";
constexpr const char* kSdCpp = "stable-diffusion.cpp";

bool is_second(const PictureModel& model) { return model.text_encoder.activation == ClipActivation::Gelu; }

// Stable Diffusion 1, or 2 (whose text encoder is read without its last layer), as it was published.
PictureModel published(bool second) {
  PictureModel model;
  model.unet = read_unet_2d_condition(second ? Json{{"cross_attention_dim", 1024},
                                                    {"attention_head_dim", {5, 10, 20, 20}},
                                                    {"use_linear_projection", true}}
                                             : Json{{"cross_attention_dim", 768}},
                                      "published");
  AutoencoderSpec vae;
  vae.block_out_channels = {128, 256, 512, 512};
  vae.layers_per_block = 2;
  model.vae = vae;
  ClipTextSpec& text = model.text_encoder;
  text.hidden_size = second ? 1024 : 768;
  text.intermediate_size = 4 * text.hidden_size;
  text.num_heads = text.hidden_size / 64;
  text.num_layers = second ? 23 : 12;
  if (second) text.activation = ClipActivation::Gelu;
  return model;
}

// Keys of config.json that say nothing of the network's shape.
bool of_no_weight(const std::string& key) {
  static const std::set<std::string> kKeys{"sample_size", "eos_token_id", "upcast_attention", "architectures",
                                           "projection_dim"};
  return kKeys.contains(key);
}

void add_differences(const std::string& part, const Json& found, const Json& wanted,
                     std::vector<std::string>& all) {
  for (const auto& [key, value] : wanted.items())
    if (!of_no_weight(key) && found.contains(key) && found.at(key) != value)
      all.push_back(cat(key, " of the ", part, " is ", found.at(key).dump(), ", built in is ", value.dump()));
}

// Every place of a module in a file, none where it has no name there.
std::vector<std::string> names_of(const std::string& module, const PictureModel& model, LoraSpelling spelling,
                                  std::vector<std::string>& unnamed) {
  try {
    return spelled_modules(module, model, spelling);
  } catch (const Error& e) {
    unnamed.emplace_back(e.what());
    return {};
  }
}

// Two of ours under one name would overwrite each other; but parts of a fused matrix share theirs.
void count_modules(TargetCoverage& target, const PictureModel& model, const PlannedExtra& extra,
                   LoraSpelling spelling) {
  target.all = extra.modules.size();
  std::map<std::string, std::string> taken;
  for (const std::string& module : extra.modules) {
    const std::vector<std::string> names = names_of(module, model, spelling, target.unnamed);
    const bool fused = !model.unet && spelling != LoraSpelling::Diffusers;
    const bool free = std::ranges::all_of(
        names, [&](const std::string& name) { return taken.emplace(name, module).second || fused; });
    if (!names.empty() && !free) target.unnamed.push_back(cat("'", module, "' has another one's name"));
    target.named += !names.empty() && free ? 1 : 0;
  }
}

void count_tensors(TargetCoverage& target, PictureModel& model) {
  std::map<std::string, int> taken;
  for (const PictureModel::Part& part : model.parts())
    for (const ParameterInfo& info : part.parameters) {
      target.all += 1;
      std::string name = part.prefix + info.name;
      try {
        if (target.format == kSingleFileFormat) name = single_file_name(part.prefix, info.name, model);
      } catch (const Error& e) {
        target.unnamed.emplace_back(e.what());
        continue;
      }
      if (++taken[name] == 1)
        target.named += 1;
      else
        target.unnamed.push_back(cat("'", part.prefix, info.name, "' has another one's name, '", name, "'"));
    }
}

std::size_t in_text(const std::vector<std::string>& modules) {
  return static_cast<std::size_t>(std::ranges::count_if(
      modules, [](const std::string& name) { return name.starts_with(kTextEncoderPart); }));
}

// Of the text encoder, what version 2's single file has as one matrix.
std::size_t fused_in_open_clip(const std::vector<std::string>& modules) {
  return static_cast<std::size_t>(std::ranges::count_if(modules, [](const std::string& name) {
    return name.starts_with(kTextEncoderPart) &&
           (name.ends_with(".q_proj") || name.ends_with(".k_proj") || name.ends_with(".v_proj"));
  }));
}

// Both programs know a version by its sizes alone, and have its noise levels built in.
std::string not_run(const PictureModel& model, const char* engine) {
  if (!model.vae) {
    if (!model.by_text()) return "networks of classes are not among its models";
    return cat(
        "this network draws points, without a VAE; ",
        engine == kSdCpp
            ? "of SD3's layout it has SD3's own sizes alone, 24 blocks of 1536 channels on 16 latent ones"
            : "SD3's own sizes are built in");
  }
  std::vector<std::string> all;
  if (const std::string why = differs_from_published(model); !why.empty()) all.push_back(why);
  const NoiseScheduleSpec& noise = model.schedule;
  if (noise.kind != NoiseKind::ScaledLinear || noise.beta_start != 0.00085 || noise.beta_end != 0.012 ||
      noise.train_timesteps != 1000 || noise.zero_terminal_snr)
    all.emplace_back(
        "its noise levels are those of scaled_linear, from 0.00085 to 0.012, and this model's are others");
  if (model.prediction == Prediction::Sample)
    all.emplace_back(
        "it takes what the network says for the noise or the velocity, and this one says the picture");
  else if (!is_second(model) && model.prediction == Prediction::Velocity && engine == kComfyUi)
    all.emplace_back(
        "of a version 1 it takes what the network says for the noise, and this one says the velocity");
  std::string line;
  for (const std::string& why : all) line += (line.empty() ? "" : "; ") + why;
  return line;
}

// What has to be told to a program that runs it.
std::string how_to_run(const PictureModel& model, const char* engine) {
  const bool told =
      engine == kSdCpp && model.vae && !is_second(model) && model.prediction == Prediction::Velocity;
  return told ? "with --prediction v, as of a version 1 it takes what the network says for the noise" : "";
}

void add_built_in(TargetCoverage& target, const PictureModel& model, const char* engine, std::size_t read,
                  const std::string& why) {
  const std::string base = not_run(model, engine);
  if (!base.empty()) {
    target.engines.push_back({engine, 0, base});
    return;
  }
  const std::string left = read < target.all ? why : "", how = how_to_run(model, engine);
  target.engines.push_back({engine, read, cat(left, left.empty() || how.empty() ? "" : "; ", how)});
}

void whole_engines(TargetCoverage& target, const PictureModel& model) {
  const bool single = target.format == kSingleFileFormat;
  std::string how;
  if (single)
    how = differs_from_published(model).empty()
              ? ""
              : "from_single_file wants config=FOLDER, a diffusers folder of these sizes";
  else if (!model.by_text() && model.dit)
    how = "DiTPipeline wants a VAE and does not run it; the loop on its card does";
  else if (!model.by_text() && model.class_rows() > 0)
    how = "DDPMPipeline cannot be told a class; the loop on its card can";
  target.engines.push_back({kDiffusers, target.named, how});
  if (single || !model.vae) add_built_in(target, model, kComfyUi, target.named, "");
  add_built_in(target, model, kSdCpp, target.named, "");
}

// diffusers 0.42, ComfyUI (comfy/lora.py) of 2026-08 and stable-diffusion.cpp (src/name_conversion.cpp) as
// its Python package 0.4.7 has it, whose own counts tests/long/test_stable_diffusion_cpp.py compares with
// these.
void lora_engines(TargetCoverage& target, const PictureModel& model, const PlannedExtra& extra,
                  LoraSpelling spelling) {
  const std::size_t text = in_text(extra.modules), all = target.named, network = all - std::min(all, text);
  const bool dora = extra.adapter == "dora", peft = spelling == LoraSpelling::Diffusers;
  const bool out_proj =
      std::ranges::any_of(extra.modules, [](const std::string& name) { return name.ends_with(".out_proj"); });
  if (peft)
    target.engines.push_back({kDiffusers, all, ""});
  else if (spelling == LoraSpelling::ComfyUi || !model.unet)
    target.engines.push_back({kDiffusers, 0, "it reads these names in export peft"});
  else if (text > 0 && !out_proj)
    target.engines.push_back({kDiffusers, 0, kDiffusersWantsOutProj});
  else
    target.engines.push_back({kDiffusers, all, ""});
  const auto attention = static_cast<std::size_t>(std::ranges::count_if(
      extra.modules, [](const std::string& name) { return name.find(".to_") != std::string::npos; }));
  if (dora) {
    for (const char* engine : {kComfyUi, kSdCpp})
      add_built_in(target, model, engine, 0, "it knows no magnitudes in this spelling; export merged");
    return;
  }
  add_built_in(target, model, kComfyUi, peft ? all - std::min(all, attention) : all,
               "it wants the UNet's attention under names of its own; export comfyui or kohya");
  if (spelling != LoraSpelling::Kohya)
    add_built_in(target, model, kSdCpp, network,
                 "it does not find the text encoder under these names; export kohya");
  else
    add_built_in(target, model, kSdCpp,
                 all - std::min(all, is_second(model) ? fused_in_open_clip(extra.modules) : 0),
                 "of a version 2 in one file it does not find the text encoder's queries, keys and values, "
                 "which are one matrix there; of one in a diffusers folder it does");
}

void word_engines(TargetCoverage& target, const PictureModel& model) {
  const bool loads = model.vae.has_value();
  target.engines.push_back({kDiffusers, loads ? target.named : 0,
                            loads ? ""
                                  : "no load_textual_inversion for SD3's layout; export diffusers, the whole "
                                    "pipeline with the word in it"});
  for (const char* engine : {kComfyUi, kSdCpp}) add_built_in(target, model, engine, target.named, "");
}

}  // namespace

std::string differs_from_published(const PictureModel& model) {
  if (!model.vae || !model.unet || !model.unet->cross) return "it is no Stable Diffusion";
  PictureModel wanted = published(is_second(model));
  wanted.unet->in_channels = model.unet->in_channels;  // 9 of one that fills in
  std::vector<std::string> all;
  add_differences("UNet", unet_2d_config(*model.unet), unet_2d_config(*wanted.unet), all);
  add_differences("text encoder", clip_text_config(model.text_encoder), clip_text_config(wanted.text_encoder),
                  all);
  add_differences("VAE", autoencoder_config(*model.vae), autoencoder_config(*wanted.vae), all);
  if (all.empty()) return "";
  return all.size() == 1 ? all.front() : cat(all.front(), "; and ", all.size() - 1, " more");
}

TargetCoverage cover_target(const std::string& format, PictureModel model, const PlannedExtra& extra) {
  TargetCoverage target;
  target.format = format;
  target.unit = "tensors";
  require(format != kSingleFileFormat || model.vae, "format single_file: wants Stable Diffusion");
  if (format == kTextualInversion) {
    target.unit = "vectors of the new word";
    target.named = target.all = static_cast<std::size_t>(extra.vectors);
    word_engines(target, model);
  } else if (is_adapter_format(format)) {
    const LoraSpelling spelling = lora_spelling(format);
    target.unit = extra.adapter == "dora" ? "DoRA modules" : "LoRA modules";
    count_modules(target, model, extra, spelling);
    lora_engines(target, model, extra, spelling);
  } else {
    count_tensors(target, model);
    whole_engines(target, model);
  }
  return target;
}

Json TargetCoverage::to_json() const {
  Json json{{"format", format}, {"unit", unit},       {"named", named},
            {"all", all},       {"unnamed", unnamed}, {"engines", Json::array()}};
  for (const EngineCoverage& engine : engines)
    json["engines"].push_back({{"engine", engine.engine}, {"read", engine.read}, {"why", engine.why}});
  return json;
}

std::string TargetCoverage::text() const {
  std::string lines = cat("export ", format, ": ", named, " of ", all, " ", unit, " have a name");
  for (const std::string& name : unnamed) lines += cat("\n  without one: ", name);
  for (const EngineCoverage& engine : engines)
    lines += cat("\n  ", engine.engine, " reads ",
                 engine.read == all ? "all"
                 : engine.read == 0 ? "none of it"
                                    : cat(engine.read, " of ", all),
                 engine.why.empty() ? "" : ": " + engine.why);
  return lines;
}

}  // namespace lathe
