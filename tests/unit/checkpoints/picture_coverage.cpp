// What check tells of an export's names, against what diffusers and transformers call the same parameters and
// read of such files: tests/fixtures/pictures/keys.json, made by scripts/make_picture_keys.py without us.
#include "checkpoints/exporters/picture_coverage.h"

#include <algorithm>

#include "checkpoints/diffusion/lora_spelling.h"
#include "checkpoints/diffusion/single_file.h"
#include "data/io/hash.h"
#include "tests/places.h"
#include "tests/unit/checkpoints/support.h"
#include "tests/unit/checkpoints/tiny_pipeline.h"

namespace lathe {
namespace {

Json tables() { return read_json(test::source_folder() + "/tests/fixtures/pictures/keys.json"); }

// Of the sizes that Stable Diffusion 1 and 2 were published in; without tensors.
PictureModel published(bool second) {
  PictureModel model;
  model.unet = read_unet_2d_condition(second ? Json{{"cross_attention_dim", 1024},
                                                    {"attention_head_dim", {5, 10, 20, 20}},
                                                    {"use_linear_projection", true}}
                                             : Json{{"cross_attention_dim", 768}},
                                      "here");
  model.vae = AutoencoderSpec();
  model.vae->block_out_channels = {128, 256, 512, 512};
  model.vae->layers_per_block = 2;
  ClipTextSpec& text = model.text_encoder;
  text.hidden_size = second ? 1024 : 768;
  text.intermediate_size = 4 * text.hidden_size;
  text.num_heads = text.hidden_size / 64;
  text.num_layers = second ? 23 : 12;
  if (second) text.activation = ClipActivation::Gelu;
  model.schedule = {.kind = NoiseKind::ScaledLinear, .beta_start = 0.00085, .beta_end = 0.012};
  model.prediction = second ? Prediction::Velocity : Prediction::Epsilon;
  return model;
}

PictureModel model_of(const std::string& name) {
  return name == "small" ? tiny::stable_diffusion() : published(name == "second");
}

std::string digest(std::vector<std::string> lines) {
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const std::string& line : lines) text += (text.empty() ? "" : "\n") + line;
  return sha256_hex(text);
}

// Every linear layer and convolution of the blocks, as an adapter finds them.
std::vector<std::string> sites(PictureModel model) {
  std::vector<std::string> names;
  for (const PictureModel::Part& part : model.parts())
    for (const ParameterInfo& info : part.parameters)
      if (part.prefix != "vae." && info.shape.size() > 1 && info.name.ends_with(".weight") &&
          info.name.find(part.prefix == "unet." ? "_block" : "layers.") != std::string::npos)
        names.push_back(part.prefix + info.name.substr(0, info.name.rfind('.')));
  return names;
}

const EngineCoverage& engine(const TargetCoverage& target, const std::string& name) {
  for (const EngineCoverage& one : target.engines)
    if (one.engine == name) return one;
  FAIL("no engine " << name);
  return target.engines.front();
}

TEST_CASE("a single file's names are those that diffusers' converters read") {
  const Json all = tables();
  for (const char* name : {"small", "first", "second"}) {
    INFO(name);
    PictureModel model = model_of(name);
    std::vector<std::string> lines;
    for (const PictureModel::Part& part : model.parts())
      for (const ParameterInfo& info : part.parameters) {
        std::string original = single_file_name(part.prefix, info.name, model);
        original = original.substr(0, original.find('['));
        lines.push_back(original + "\t" + part.prefix + info.name);
        if (name != std::string("small") || info.name.ends_with(".bias")) continue;
        const auto stem = [](const std::string& whole) {
          return whole.ends_with(".weight") ? whole.substr(0, whole.size() - 7) : whole;
        };
        CHECK(all[name]["table"].at(stem(part.prefix + info.name)) == stem(original));
      }
    CHECK(all[name]["parameters"] == lines.size());
    CHECK(all[name]["single_file"] == digest(lines));
    for (const char* format : {"single_file", "diffusers"}) {
      const TargetCoverage target = cover_target(format, model, {});
      CHECK(target.all == lines.size());
      CHECK(target.named == lines.size());
      CHECK(target.unnamed.empty());
      CHECK(engine(target, "diffusers").read == target.all);
    }
  }
}

TEST_CASE("an adapter's modules are counted by names that diffusers reads, or does not") {
  const Json all = tables();
  for (const char* name : {"small", "first", "second"}) {
    INFO(name);
    const PictureModel model = model_of(name);
    const std::vector<std::string> modules = sites(model);
    std::vector<std::string> fewer, kohya;
    for (const std::string& module : modules) {
      if (!module.ends_with(".out_proj")) fewer.push_back(module);
      for (const std::string& one : spelled_modules(module, model, LoraSpelling::Kohya)) kohya.push_back(one);
    }
    CHECK(all[name]["sites"] == modules.size());
    CHECK(all[name]["site_names"] == digest(modules));
    CHECK(all[name]["kohya"] == digest(kohya));
    const Json& left = all[name]["not_read"];
    for (const char* format : {"peft", "kohya", "comfyui"}) {
      const TargetCoverage target = cover_target(format, model, {"lora", modules, 0});
      CHECK(target.named == modules.size());
      CHECK(engine(target, "diffusers").read == modules.size() - left.at(format).get<std::size_t>());
    }
    // What is left then are the text encoder's attentions alone, but the file as a whole is refused.
    CHECK(left.at("kohya_without_out_proj").get<std::size_t>() > 0);
    CHECK(engine(cover_target("kohya", model, {"lora", fewer, 0}), "diffusers").read == 0);
  }
}

TEST_CASE("programs with Stable Diffusion's sizes built in read those") {
  for (const bool second : {false, true}) {
    PictureModel model = published(second);
    CHECK(differs_from_published(model).empty());
    const TargetCoverage target = cover_target("single_file", model, {});
    for (const char* name : {"ComfyUI", "stable-diffusion.cpp"})
      CHECK(engine(target, name).read == target.all);
    CHECK(target.text().find("ComfyUI reads all") != std::string::npos);
    model.unet->in_channels = 9;  // fills in
    CHECK(differs_from_published(model).empty());
    model.prediction = Prediction::Velocity;
    CHECK(engine(cover_target("single_file", model, {}), "ComfyUI").read == (second ? target.all : 0));
    const EngineCoverage told = engine(cover_target("single_file", model, {}), "stable-diffusion.cpp");
    CHECK(told.read == target.all);  // it can be told
    CHECK((told.why.find("with --prediction v") != std::string::npos) == !second);
    model.vae->layers_per_block = 1;
    CHECK_THAT(differs_from_published(model), testing::contains_text("layers_per_block of the VAE is 1"));
  }
  const TargetCoverage small = cover_target("single_file", tiny::stable_diffusion(), {});
  CHECK(engine(small, "ComfyUI").read == 0);
  CHECK_THAT(small.text(), testing::contains_text("block_out_channels of the UNet is [32,64], built in is "
                                                  "[320,640,1280,1280]; and "));
}

TEST_CASE("programs with Stable Diffusion's noise levels built in do not run others") {
  const auto why = [](const PictureModel& model, const char* name) {
    const EngineCoverage told = engine(cover_target("single_file", model, {}), name);
    CHECK((told.read == 0) == !told.why.empty());
    return told.why;
  };
  for (const char* name : {"ComfyUI", "stable-diffusion.cpp"}) {
    INFO(name);
    PictureModel model = published(true);
    CHECK(why(model, name).empty());
    model.schedule.zero_terminal_snr = true;
    CHECK_THAT(why(model, name), testing::contains_text("scaled_linear, from 0.00085 to 0.012"));
    model.schedule = {.kind = NoiseKind::ScaledLinear, .beta_start = 1e-4, .beta_end = 0.012};
    CHECK_THAT(why(model, name), testing::contains_text("scaled_linear, from 0.00085 to 0.012"));
    model = published(false);
    model.schedule.kind = NoiseKind::Cosine;
    model.prediction = Prediction::Sample;
    CHECK_THAT(why(model, name), testing::contains_text("others; it takes what the network says"));
  }
}

TEST_CASE("what a program leaves of an adapter is told with the reason") {
  const PictureModel model = published(false);
  const std::vector<std::string> modules = sites(model);
  const auto attention = static_cast<std::size_t>(std::ranges::count_if(
      modules, [](const std::string& name) { return name.find(".to_") != std::string::npos; }));
  const TargetCoverage peft = cover_target("peft", model, {"lora", modules, 0});
  CHECK(engine(peft, "ComfyUI").read == modules.size() - attention);
  CHECK_THAT(peft.text(), testing::contains_text("export comfyui or kohya"));
  CHECK(engine(peft, "stable-diffusion.cpp").read == modules.size() - 72);  // 12 layers of 6
  CHECK(engine(cover_target("kohya", model, {"lora", modules, 0}), "ComfyUI").read == modules.size());
  const PictureModel second = published(true);
  const std::vector<std::string> more = sites(second);
  const EngineCoverage fused =
      engine(cover_target("kohya", second, {"lora", more, 0}), "stable-diffusion.cpp");
  CHECK(fused.read == more.size() - 69);  // 23 layers of 3
  CHECK_THAT(fused.why, testing::contains_text("which are one matrix there"));
  const TargetCoverage dora = cover_target("peft", model, {"dora", modules, 0});
  CHECK(dora.unit == "DoRA modules");
  CHECK(engine(dora, "diffusers").read == modules.size());
  CHECK(engine(dora, "stable-diffusion.cpp").read == 0);
  const TargetCoverage word = cover_target("textual_inversion", model, {"", {}, 3});
  CHECK(word.all == 3);
  for (const char* name : {"diffusers", "ComfyUI", "stable-diffusion.cpp"})
    CHECK(engine(word, name).read == 3);
}

TEST_CASE("modules of SD3 without a name of its own, and its readers") {
  const PictureModel model = tiny::picture_model();
  const std::string block = "transformer.transformer_blocks.0.";
  const PlannedExtra extra{"lora", {block + "attn.to_q", block + "attn.to_k", block + "attn.nothing"}, 0};
  const TargetCoverage kohya = cover_target("kohya", model, extra);
  CHECK(kohya.all == 3);
  CHECK(kohya.named == 2);
  REQUIRE(kohya.unnamed.size() == 1);
  CHECK_THAT(kohya.text(), testing::contains_text("'transformer_blocks.0.attn.nothing' has no name"));
  CHECK(tables()["sd3"]["not_read"] == 2);  // of two: one in each spelling
  CHECK(engine(kohya, "diffusers").read == 0);
  CHECK(engine(cover_target("peft", model, extra), "diffusers").read == 3);
  const EngineCoverage sizes = engine(cover_target("diffusers", model, {}), "stable-diffusion.cpp");
  CHECK(sizes.read == 0);
  CHECK_THAT(sizes.why, testing::contains_text("24 blocks of 1536 channels on 16 latent ones"));
  const TargetCoverage word = cover_target("textual_inversion", model, {"", {}, 1});
  CHECK(engine(word, "diffusers").read == 0);
}

}  // namespace
}  // namespace lathe
