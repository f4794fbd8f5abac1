#include <algorithm>
#include <cctype>

#include "recipes/schema/rules.h"
#include "recipes/schema/validate.h"

namespace lathe {
namespace {

// task diffusion: diffusion, prior and textual_inversion, and what other sections may say beside it.
class PictureRules : public Rules {
 public:
  using Rules::Rules;

  void run() {
    if (!sound({"task"})) return;
    const bool pictures = r_.task == "diffusion";
    for (std::size_t i = 0; i < r_.exports.size(); ++i) {
      const std::string key = cat("export[", i, "]");
      if (!sound({key.c_str()}) || r_.exports[i].format.empty()) continue;
      const std::string& format = r_.exports[i].format;
      const bool word = format == kTextualInversion, single = format == kSingleFileFormat;
      if (!pictures && (format == "diffusers" || single || format == "kohya" || format == "comfyui" || word))
        wrong(place(cat(key, ".format")), cat("'", format, "' is for pictures (task: diffusion)"));
      if (pictures && word && r_.textual_inversion.token.empty())
        wrong(
            place(cat(key, ".format")),
            cat("'", format, "' exports a new word, and this recipe trains none (textual_inversion.token)"));
      if (pictures && !is_adapter_format(format) && format != "diffusers" && !single && !word)
        wrong(place(cat(key, ".format")),
              "a diffusion model is exported as 'diffusers' or 'single_file', its adapter as 'peft', 'kohya' "
              "or 'comfyui'");
      if (pictures && single && r_.model.path.empty() && sound({"model"}))
        wrong(place(cat(key, ".format")),
              "'single_file' is Stable Diffusion's, and this recipe starts from no such base (model.path); "
              "export 'diffusers'");
      if (pictures && single && !r_.textual_inversion.token.empty())
        wrong(place(cat(key, ".format")),
              "'single_file' cannot hold a new word: its readers bring CLIP's own tokens; export "
              "'textual_inversion' or 'diffusers'");
      if (pictures && (format == "kohya" || format == "comfyui") && r_.adapter.kind == "dora")
        wrong(place(cat(key, ".format")),
              cat("'", format, "' has no DoRA here; export 'peft', or 'diffusers' with the adapter merged"));
    }
    if (!pictures) return;
    if (sound({"model"}) && r_.model.path.empty() && !r_.model.family.empty() && r_.model.family != "sd3" &&
        !draws_by_class(r_.model.family))
      wrong(
          place({"model.family"}),
          cat("'model.family' of 'task: diffusion' wants sd3, dit or unet2d, found '", r_.model.family, "'"));
    if (sound({"model", "tokenizer"}) && draws_by_class(r_.model.family) &&
        !(r_.tokenizer.train.empty() && r_.tokenizer.path.empty()))
      wrong(place({"tokenizer"}),
            cat("'tokenizer' has no place beside ", r_.model.family, ", which reads classes, not texts"));
    if (sound({"model"}) && !r_.model.size.empty())
      wrong(place({"model.size"}),
            "'model.size' is for text models; give num_layers, num_attention_heads, attention_head_dim");
    if (sound({"adapter"}) && r_.adapter.dropout > 0)
      wrong(place({"adapter.dropout"}),
            "'adapter.dropout' is for text models; 'task: diffusion' has no dropout");
    if (sound({"model"}) && !r_.model.quantization.kind.empty())
      wrong(place("model.quantization"),
            "'model.quantization' is for text models; the base of a diffusion model stays in the run's "
            "precision");
    prior();
    textual_inversion();
    if (sound({"train"}) && (r_.train.activation_checkpointing || r_.train.dropout > 0))
      wrong(place({r_.train.dropout > 0 ? "train.dropout" : "train.activation_checkpointing"}),
            "'task: diffusion' has neither dropout nor activation checkpointing");
    if (sound({"diffusion"}) && r_.diffusion.condition_dropout >= 1)
      wrong(place({"diffusion.condition_dropout"}),
            "'diffusion.condition_dropout' is 1: no picture would be shown with its text; 0.1 is usual");
    if (!sound({"diffusion", "model"}) || !r_.model.path.empty()) return;  // a base brings its own
    for (const auto& [key, text] : noise_contradictions(r_.diffusion))
      wrong(key == "diffusion.prediction" ? place({"diffusion.prediction", "diffusion.schedule"})
                                          : place({key.c_str()}),
            text);
  }

 private:
  void prior() {
    const PriorSection& p = r_.prior;
    if (!sound({"prior", "model"})) return;
    if (p.weight > 0 && r_.model.path.empty())
      wrong(place({"prior.weight"}), "'prior' wants 'model.path': it keeps what a base can do");
    if (p.weight > 0 && p.prompts.empty())
      wrong(place({"prior.weight"}),
            "'prior' wants 'prompts': a file of texts, one a line, that the base draws well");
  }

  void textual_inversion() {
    const TextualInversionSection& t = r_.textual_inversion;
    if (!sound({"textual_inversion", "model", "adapter", "prior", "tokenizer"})) return;
    if (!r_.tokenizer.add_tokens.empty() || !r_.tokenizer.add_special_tokens.empty())
      wrong(place({"tokenizer"}),
            "'tokenizer.add_tokens' is for text models; a new word of a picture model is "
            "'textual_inversion.token'");
    if (t.token.empty()) {
      if (!t.initialise_from.empty() || t.vectors != 1)
        wrong(place({"textual_inversion.initialise_from", "textual_inversion.vectors"}),
              "'textual_inversion' wants 'token': the new word, such as <wug>");
      return;
    }
    if (std::any_of(t.token.begin(), t.token.end(), [](unsigned char c) { return std::isspace(c); }))
      wrong(place("textual_inversion.token"),
            "'textual_inversion.token' is one word, without white space, such as <wug>");
    if (r_.model.path.empty())
      wrong(place("textual_inversion.token"),
            "'textual_inversion' wants 'model.path': the base that gets a new word");
    if (!r_.adapter.kind.empty() || !r_.model.freeze.empty())
      wrong(place("textual_inversion.token"),
            cat("'textual_inversion' trains the new word's vectors and nothing else; leave '",
                r_.adapter.kind.empty() ? "model.freeze" : "adapter", "' out"));
    if (r_.prior.weight > 0)
      wrong(place("textual_inversion.token"),
            "'textual_inversion' changes nothing that 'prior' could keep; leave 'prior' out");
  }
};

}  // namespace

std::vector<std::pair<std::string, std::string>> noise_contradictions(const DiffusionSection& d) {
  std::vector<std::pair<std::string, std::string>> all;
  const bool flow = d.schedule == "flow";
  if (flow != (d.prediction == "flow"))
    all.emplace_back("diffusion.prediction",
                     cat("'diffusion.prediction' ", d.prediction, " does not go with the schedule '",
                         d.schedule, "': flow goes with flow, epsilon, sample and velocity with the others"));
  if (d.zero_terminal_snr && (flow || d.prediction == "epsilon"))
    all.emplace_back(
        "diffusion.zero_terminal_snr",
        flow ? "'diffusion.zero_terminal_snr' is for linear, scaled_linear and cosine; flow ends in "
               "noise anyway"
             : "'diffusion.zero_terminal_snr' does not go with epsilon, which says nothing of a picture "
               "that is all noise; use velocity or sample");
  const std::string& sampler = d.sampling.sampler;
  if (!sampler.empty() && flow != (sampler == "flow_euler"))
    all.emplace_back("diffusion.sampling.sampler", cat("'diffusion.sampling.sampler' ", sampler,
                                                       " does not go with the schedule '", d.schedule, "'"));
  return all;
}

void check_pictures(const RuleInput& input) { PictureRules(input).run(); }

}  // namespace lathe
