// The plan of pictures: every weight that is trained gets its gradient in the plan's picture of each network
// (else the plan is an Error), a tape keeps and gives as autograd does, and advice fits.
#include <optional>
#include <regex>

#include "recipes/schema/error.h"
#include "tests/catch.h"
#include "tests/unit/trainer/plan/plan_part.h"
#include "trainer/plan/layer_list.h"
#include "trainer/plan/picture_memory.h"
#include "trainer/plan/tape.h"

namespace lathe {
namespace {

constexpr std::int64_t kMega = std::int64_t{1} << 20;

PictureModel of_text(bool qk_norm) {
  PictureModel model;
  JointTransformerSpec& spec = model.transformer;
  spec.num_layers = 3;
  spec.qk_norm = qk_norm;
  spec.pos_embed_max_size = 16;
  ClipTextSpec& text = model.text_encoder;
  text.vocab_size = 600;
  text.hidden_size = spec.joint_attention_dim / 2;
  text.intermediate_size = 4 * text.hidden_size;
  text.num_layers = 2;
  text.num_heads = 1;
  text.max_positions = 16;
  text.projection_dim = spec.pooled_projection_dim / 2;
  return model;
}

PictureModel of_dit() {
  PictureModel model;
  model.dit = DiTSpec{};
  return model;
}

PictureModel of_unet(std::int64_t classes, std::vector<bool> attention) {
  PictureModel model;
  model.unet = UNet2DSpec{};
  model.unet->block_out_channels.assign(attention.size(), 64);
  model.unet->down_attention = attention;
  model.unet->up_attention.assign(attention.rbegin(), attention.rend());
  model.unet->num_class_embeds = classes;
  return model;
}

PictureModel of_latents(bool linear) {
  PictureModel model = of_unet(0, {true, false});
  model.unet->in_channels = model.unet->out_channels = 4;
  model.unet->cross = CrossAttentionSpec{};
  model.unet->cross->context_channels = 64;
  model.unet->cross->heads = {4, 4};
  model.unet->cross->linear_projection = linear;
  model.text_encoder = of_text(false).text_encoder;
  model.vae = AutoencoderSpec{};
  model.vae->block_out_channels = {32, 64};
  return model;
}

PicturePlanSettings of_side(std::int64_t side) {
  PicturePlanSettings settings;
  settings.height = settings.width = side;
  settings.micro_batch_size = settings.global_batch_size = 8;
  return settings;
}

}  // namespace

TEST_CASE("what is trained gets its gradient in the plan of every network", "[plan]") {
  const std::vector<PictureModel> models{
      of_text(false),     of_text(true), of_dit(), of_unet(0, {false, true}), of_unet(4, {true, false, true}),
      of_unet(0, {false})};
  for (const PictureModel& model : models) {
    for (const bool bf16 : {true, false}) {
      for (const bool tiled : {true, false}) {
        PicturePlanSettings settings = of_side(32);
        settings.bf16 = bf16;
        settings.tiled_attention = bf16 && tiled;
        Plan plan;
        REQUIRE_NOTHROW(plan = make_picture_plan(model, settings));
        CHECK(plan.trained == plan.parameters);
        std::int64_t sum = 0;
        for (const PlanPart& entry : plan.parts) sum += entry.bytes;
        CHECK(sum == plan.peak_bytes);
      }
    }
  }
  PicturePlanSettings settings = of_side(32);
  settings.frozen = {"attn", "text_encoder"};
  Plan plan;
  REQUIRE_NOTHROW(plan = make_picture_plan(of_text(true), settings));
  CHECK(plan.trained < plan.parameters);
  CHECK_THROWS_AS(LayerList(of_dit(), {}).at("transformer.no_such"), Error);
}

TEST_CASE("latents are planned whole and by adapters", "[plan]") {
  for (const bool linear : {true, false}) {
    const PictureModel model = of_latents(linear);
    for (const bool bf16 : {true, false}) {
      PicturePlanSettings settings = of_side(16);
      settings.bf16 = settings.tiled_attention = bf16;
      settings.frozen = {"text_encoder"};
      Plan whole, adapted, drawn;
      REQUIRE_NOTHROW(whole = make_picture_plan(model, settings));
      CHECK(whole.trained < whole.parameters);
      settings.copies = 64;
      REQUIRE_NOTHROW(drawn = make_picture_plan(model, settings));
      CHECK(drawn.peak_bytes > whole.peak_bytes);
      settings.copies = 0;
      settings.adapter_rank = 4;
      const std::string block = "unet.mid_block.attentions.0.transformer_blocks.0.";
      settings.adapted = {block + "attn1.to_q", block + "attn1.to_v", block + "attn2.to_k",
                          block + "attn2.to_out.0", block + "ff.net.2"};
      REQUIRE_NOTHROW(adapted = make_picture_plan(model, settings));
      CHECK(adapted.trained == 4 * (128 + 128 + 128 + 128 + 5 * 64));
      CHECK(part(adapted, "optimizer") == 8 * adapted.trained);
    }
  }
}

TEST_CASE("what takes memory takes it in the plan of pictures", "[plan]") {
  const PictureModel model = of_unet(0, {false, true});
  const std::int64_t whole = make_picture_plan(model, of_side(64)).peak_bytes;
  const auto with = [&](const auto& change) {
    PicturePlanSettings changed = of_side(64);
    change(changed);
    return make_picture_plan(model, changed);
  };
  CHECK(with([](PicturePlanSettings& s) { s.micro_batch_size = 4; }).peak_bytes < whole);
  CHECK(with([](PicturePlanSettings& s) { s.width = 32; }).peak_bytes < whole);
  CHECK(with([](PicturePlanSettings& s) { s.bf16 = s.tiled_attention = false; }).peak_bytes > whole);
  CHECK(with([](PicturePlanSettings& s) { s.averages = true; }).peak_bytes > whole);
  CHECK(with([](PicturePlanSettings& s) { s.grid = 8; }).peak_bytes <= whole + 32 * kMega);
  const auto small = [&](std::int64_t grid, bool guided) {  // of sides of which 64 are drawn at once
    PicturePlanSettings settings = of_side(16);
    settings.micro_batch_size = settings.global_batch_size = 2;
    settings.grid = grid;
    settings.guided = guided;
    return make_picture_plan(model, settings).peak_bytes;
  };
  CHECK(small(64, false) > small(0, false));
  CHECK(small(1000, false) == small(64, false));
  CHECK(small(64, true) > small(64, false));
  CHECK(part(with([](PicturePlanSettings& s) { s.averages = true; }), "optimizer") ==
        Approx(1.5 * static_cast<double>(part(make_picture_plan(model, of_side(64)), "optimizer")))
            .epsilon(0.01));
}

TEST_CASE("a tape holds what backward needs and gives it back as backward goes", "[plan]") {
  AllocatorBooks books(Slack::Least);
  Tape tape(books, /*recording=*/true);
  const auto same = [&] { return std::vector<Tape::Held>{tape.gradient(), tape.gradient()}; };
  const auto fresh = [&] { return std::vector<Tape::Held>{tape.take(64 * kMega)}; };
  // x -> y, which keeps x; z = x + y: the gradient of z is that of both, and that of x is not summed in place
  // while y's backward holds it.
  Tape::Value x = tape.apply(64 * kMega, {.inputs = {}, .saved = {}, .backward = fresh, .trains = true});
  Tape::Value y = tape.apply(64 * kMega, {.inputs = {x}, .saved = {x.storage}, .backward = fresh});
  Tape::Value z = tape.apply(64 * kMega, {.inputs = {x, y}, .saved = {}, .backward = same});
  x = y = {};
  CHECK(books.at_peak().sum() == 192 * kMega);
  const int made_by = z.made_by;
  z = {};
  tape.backward({{}, 64 * kMega, made_by});
  // Kept x, the gradient of the sum, that of x through y, and their sum; y and z were given back before.
  CHECK(books.at_peak().sum() <= 256 * kMega + 32 * kMega);
  Tape still(books, /*recording=*/false);
  CHECK(still.apply(kMega, {.inputs = {}, .saved = {}, .backward = fresh, .trains = true}).made_by == -1);
}

TEST_CASE("advice tells the resolution of pictures, not of their latents", "[plan]") {
  const PictureModel model = of_latents(false);
  PicturePlanSettings settings = of_side(256 / model.vae->halvings());
  settings.frozen = {"text_encoder"};
  settings.micro_batch_size = settings.global_batch_size = 1;
  PicturePlanSettings half = settings;
  half.height = half.width = settings.width / 2;
  const std::string advice =
      picture_advice_to_fit(model, settings, make_picture_plan(model, half).peak_bytes);
  INFO(advice);
  CHECK(advice.find("data.resolution: [128, 128]") != std::string::npos);
}

TEST_CASE("advice for pictures fits, and half of what it changes would not have been enough", "[plan]") {
  const PictureModel model = of_unet(0, {false, true});
  PicturePlanSettings settings = of_side(64);
  settings.micro_batch_size = settings.global_batch_size = 32;
  settings.grid = 16;
  const std::int64_t whole = make_picture_plan(model, settings).peak_bytes;
  CHECK(picture_advice_to_fit(model, settings, whole).empty());
  const auto number = [](const std::string& text, const std::string& key) -> std::optional<std::int64_t> {
    std::smatch match;
    if (!std::regex_search(text, match, std::regex(key + ": \\[?([0-9]+)"))) return std::nullopt;
    return std::stoll(match[1]);
  };
  bool micro_alone = false, grid = false, side = false, nothing = false;
  for (int percent = 98; percent >= 4; percent -= 2) {
    const std::int64_t limit = whole / 100 * percent;
    const std::string advice = picture_advice_to_fit(model, settings, limit);
    INFO(limit << " of " << whole << ": " << advice);
    CHECK(advice.find("this run needs about") == 0);
    if (advice.find("would fit") == std::string::npos) {
      nothing = true;
      continue;
    }
    PicturePlanSettings changed = settings;
    changed.micro_batch_size = number(advice, "micro_batch_size").value_or(32);
    changed.grid = number(advice, "sampling.count").value_or(16);
    changed.height = changed.width = number(advice, "resolution").value_or(64);
    CHECK(make_picture_plan(model, changed).peak_bytes <= limit);
    side = side || changed.width < 64;
    grid = grid || changed.grid < 16;
    if (changed.width < 64 || changed.grid < 16) continue;
    micro_alone = true;
    changed.micro_batch_size *= 2;
    CHECK(make_picture_plan(model, changed).peak_bytes > limit);
  }
  CHECK(micro_alone);
  CHECK(grid);
  CHECK(side);
  CHECK(nothing);
}

}  // namespace lathe
