// Drawing by text: ids as CLIP's tokenizer pads them, conditions as the pipeline joins them, and pictures
// that depend on nothing but seed, number and prompt.
#include <algorithm>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include "models/decoder/weights.h"
#include "models/diffusion/drawn_at_once.h"
#include "models/diffusion/text_to_picture.h"
#include "tests/catch.h"
#include "tests/unit/checkpoints/tiny_pipeline.h"

using namespace lathe;

namespace {

// Every letter is a token; begin 1, end 2, padding 3.
class Letters : public Tokenizer {
 public:
  Encoding encode(std::string_view text, const EncodeOptions&) const override {
    Encoding encoding;
    for (std::size_t i = 0; i < text.size(); ++i) {
      encoding.ids.push_back(static_cast<TokenId>(text[i]));
      encoding.begin.push_back(i);
      encoding.end.push_back(i + 1);
    }
    return encoding;
  }
  std::string decode(const std::vector<TokenId>&, bool) const override { return {}; }
  std::size_t vocab_size() const override { return 128; }
  SpecialTokens special() const override { return {1, 2, 3, {}}; }
  bool is_special(TokenId id) const override { return id < 4; }
  std::string token_text(TokenId) const override { return {}; }
  std::optional<TokenId> token_id(std::string_view) const override { return {}; }
  std::vector<TokenizerFile> files() const override { return {}; }
};

std::vector<std::int64_t> row(const at::Tensor& rows, std::int64_t i) {
  const at::Tensor one = rows[i].contiguous();
  return {one.data_ptr<std::int64_t>(), one.data_ptr<std::int64_t>() + one.numel()};
}

bool close(const at::Tensor& a, const at::Tensor& b, double tolerance = 1e-5) {
  const double largest = std::max(1.0, b.abs().max().item<double>());
  return a.sizes() == b.sizes() && (a - b).abs().max().item<double>() <= tolerance * largest;
}

TextToPicture tiny_model() { return build_picture_model(tiny::picture_model(), at::kFloat); }

}  // namespace

TEST_CASE("rows of ids begin, end, are cut and padded") {
  ClipTextSpec spec;
  spec.max_positions = 6;
  const at::Tensor rows = token_rows(Letters(), spec, {"", "ab", "abcd", "abcdefgh"});
  CHECK(row(rows, 0) == std::vector<std::int64_t>{1, 2, 3, 3, 3, 3});
  CHECK(row(rows, 1) == std::vector<std::int64_t>{1, 'a', 'b', 2, 3, 3});
  CHECK(row(rows, 2) == std::vector<std::int64_t>{1, 'a', 'b', 'c', 'd', 2});
  CHECK(row(rows, 3) == std::vector<std::int64_t>{1, 'a', 'b', 'c', 'd', 2});
}

TEST_CASE("a condition is the encoder's states twice, then zeros, or cut") {
  ClipTextOutput output;
  output.penultimate = at::tensor({1.0F, 2.0F}).view({1, 1, 2});
  output.pooled = at::tensor({5.0F, 6.0F}).view({1, 2});
  JointTransformerSpec spec;
  spec.joint_attention_dim = 6;
  TextCondition text = text_condition(output, spec);
  CHECK(at::equal(text.tokens, at::tensor({1.0F, 2.0F, 1.0F, 2.0F, 0.0F, 0.0F}).view({1, 1, 6})));
  CHECK(at::equal(text.pooled, at::tensor({5.0F, 6.0F, 5.0F, 6.0F}).view({1, 4})));
  spec.joint_attention_dim = 2;
  CHECK(at::equal(text_condition(output, spec).tokens, output.penultimate));
}

TEST_CASE("a picture depends on its seed, number and prompt, not on its neighbours") {
  const TextToPicture model = tiny_model();
  DrawOptions options{.steps = 4, .guidance = 2, .seed = 3};
  const std::vector<std::string> prompts{"a red circle", "a blue square", "a green cross"};
  const at::Tensor all = draw_pictures(model, prompts, {10, 11, 12}, options);
  CHECK(all.sizes() == at::IntArrayRef({3, 3, 8, 8}));
  CHECK(close(draw_pictures(model, {prompts[1]}, {11}, options), all.narrow(0, 1, 1)));
  CHECK_FALSE(close(draw_pictures(model, {prompts[1]}, {12}, options), all.narrow(0, 1, 1), 1e-2));
  CHECK_FALSE(close(draw_pictures(model, {prompts[0]}, {11}, options), all.narrow(0, 1, 1), 1e-2));
  options.seed = 4;
  CHECK_FALSE(close(draw_pictures(model, {prompts[1]}, {11}, options), all.narrow(0, 1, 1), 1e-2));
  // More than a batch.
  options.steps = 1;
  const std::vector<std::string> many(70, prompts[0]);
  std::vector<std::uint64_t> numbers(70);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = i;
  const at::Tensor drawn = draw_pictures(model, many, numbers, options);
  CHECK(close(draw_pictures(model, {prompts[0]}, {69}, options), drawn.narrow(0, 69, 1)));
}

TEST_CASE("one step of flow by hand: noise minus what the network says, guided") {
  const TextToPicture model = tiny_model();
  const at::Tensor noise = starting_noise(3, 5, {3, 8, 8}).unsqueeze(0);
  const auto says = [&](const std::string& prompt, const at::Tensor& x, float time) {
    const at::NoGradGuard no_grad;
    const at::Tensor ids = token_rows(*model.tokenizer, model.text_encoder->spec(), {prompt});
    const TextCondition text = text_condition(model.text_encoder->forward(ids), model.transformer->spec());
    return model.transformer->forward(x, at::tensor({time}), text);
  };
  const at::Tensor with = says("a red circle", noise, 1000), without = says("", noise, 1000);
  DrawOptions options{.steps = 1, .seed = 3};
  CHECK(close(draw_pictures(model, {"a red circle"}, {5}, options), noise - with));
  options.guidance = 3;
  CHECK(close(draw_pictures(model, {"a red circle"}, {5}, options), noise - (without + 3 * (with - without)),
              1e-4));
  options.guidance_from = 0.5;  // the only step begins at 0
  CHECK(close(draw_pictures(model, {"a red circle"}, {5}, options), noise - with));
  // Of two steps the second alone is guided, then the first.
  options.steps = 2;
  const double time = Sampler(model.schedule, model.prediction, {.steps = 2}).times()[1], sigma = time / 1000;
  const auto end = [&](const at::Tensor& first, bool guided) {
    const at::Tensor x = noise - (1 - sigma) * first;
    const auto later = static_cast<float>(time);
    const at::Tensor said = says("a red circle", x, later), empty = says("", x, later);
    return x - sigma * (guided ? empty + 3 * (said - empty) : said);
  };
  CHECK(close(draw_pictures(model, {"a red circle"}, {5}, options), end(with, true), 1e-4));
  options.guidance_from = 0;
  options.guidance_until = 0.5;
  CHECK(close(draw_pictures(model, {"a red circle"}, {5}, options),
              end(without + 3 * (with - without), false), 1e-4));
}

TEST_CASE("fewer large pictures are drawn at a time, and each batch is told") {
  CHECK(drawn_at_once(16, 16) == 64);
  CHECK(drawn_at_once(8, 8) == 64);
  CHECK(drawn_at_once(64, 64) == 4);
  CHECK(drawn_at_once(512, 512) == 1);
  std::vector<std::size_t> told;
  DrawOptions options{.steps = 1};
  options.drawn = [&](std::size_t count) { told.push_back(count); };
  std::vector<std::uint64_t> numbers(70);
  draw_pictures(tiny_model(), std::vector<std::string>(70, "a"), numbers, options);
  CHECK(told == std::vector<std::size_t>{64, 70});
}

TEST_CASE("other sizes, schedules and samplers") {
  TextToPicture model = tiny_model();
  DrawOptions options{.height = 12, .width = 4, .steps = 2};
  CHECK(draw_pictures(model, {"x"}, {0}, options).sizes() == at::IntArrayRef({1, 3, 12, 4}));
  options.width = 14;  // 7 patches, the table holds 6
  CHECK_THROWS_AS(draw_pictures(model, {"x"}, {0}, options), Error);
  options.width = 4;
  options.sampler = SamplerKind::Ddim;
  CHECK_THROWS_AS(draw_pictures(model, {"x"}, {0}, options), Error);
  NoiseScheduleSpec schedule;
  schedule.kind = NoiseKind::Linear;
  model.schedule = NoiseSchedule(schedule);
  model.prediction = Prediction::Velocity;
  for (const SamplerKind kind : {SamplerKind::Ddpm, SamplerKind::Ddim, SamplerKind::Heun}) {
    options.sampler = kind;
    const at::Tensor drawn = draw_pictures(model, {"x", "y"}, {0, 1}, options);
    CHECK(at::isfinite(drawn).all().item<bool>());
    CHECK(close(draw_pictures(model, {"y"}, {1}, options), drawn.narrow(0, 1, 1), 1e-4));
  }
}

TEST_CASE("a tensor becomes a picture: -1 black, 1 white, the rest clipped") {
  at::Tensor one = at::zeros({3, 1, 2});
  one[0][0][0].fill_(-1);
  one[1][0][0].fill_(1);
  one[2][0][0].fill_(7);
  one[0][0][1].fill_(-9);
  const Picture picture = to_picture(one);
  CHECK(picture.width == 2);
  CHECK(picture.height == 1);
  CHECK(picture.channels == 3);
  CHECK(picture.values == std::vector<std::uint16_t>{0, 65535, 65535, 0, 32768, 32768});
}
