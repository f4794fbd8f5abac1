#include "recipes/schema/rules.h"

namespace lathe {
namespace {

// adapter, quantization and task sft.
class TuningRules : public Rules {
 public:
  using Rules::Rules;

  void run() {
    const AdapterSection& a = r_.adapter;
    if (sound({"adapter", "model"})) {
      const AdapterSection untouched;
      const bool meant = a.rank != untouched.rank || a.alpha != untouched.alpha ||
                         a.dropout != untouched.dropout || a.targets != untouched.targets;
      if (meant && a.kind.empty()) {
        wrong(place("adapter"), "'adapter' wants 'kind': lora, rslora or dora");
      } else if (!a.kind.empty() && r_.model.path.empty()) {
        wrong(place("adapter"), "'adapter' wants 'model.path': it adapts a base that stays as it is");
      }
      if (!a.kind.empty() && a.alpha == 0)
        wrong(place({"adapter.alpha", "adapter"}),
              "'adapter.alpha' is 0: the product of the factors would count nothing; usual is once or twice "
              "the rank");
      if (!a.kind.empty() && a.targets.empty())
        wrong(place({"adapter.targets", "adapter"}),
              "'adapter.targets' is empty; leave it out for all-linear");
      if (!a.kind.empty() && sound({"optimizer.name"}) && r_.optimizer.name == "muon")
        wrong(place({"optimizer.name"}), "'muon' is for whole matrices; adapters are trained with adamw");
    }
    if (sound({"model", "adapter"}) && !r_.model.freeze.empty()) {
      if (r_.model.path.empty())
        wrong(place("model.freeze"),
              "'model.freeze' wants 'model.path': random weights that never learn help nobody");
      if (!a.kind.empty())
        wrong(place("model.freeze"),
              "'model.freeze' has no place beside an adapter, which freezes the whole base");
    }
    if (r_.task != "sft" && sound({"task", "data.validation"}) && r_.data.validation.folds.folds > 0)
      wrong(place("data.validation"), "'folds' are for tuning (task: sft); hold out a share of a corpus");
    if (r_.task != "sft" && sound({"task", "train.seeds"}) && r_.train.seeds > 1)
      wrong(place("train.seeds"), "'train.seeds' is for tuning (task: sft)");
    if (r_.task == "sft" && sound({"data.validation", "train.seeds"}) && r_.train.seeds > 1 &&
        !has_validation())
      wrong(place("train.seeds"),
            "'train.seeds' wants 'data.validation': seeds are compared by what they answer to held-out "
            "prompts");
    if (sound({"model", "adapter"})) quantization();
    if (r_.task != "diffusion" && sound({"task", "model", "tokenizer"}) && !r_.model.path.empty() &&
        !r_.tokenizer.path.empty())
      wrong(place("tokenizer.path"),
            "'tokenizer.path' has no place beside 'model.path', which brings its own tokenizer");
    if (r_.task == "sft" && sound({"data.overlength"}) && r_.data.overlength == "split")
      wrong(place("data.overlength"),
            "'split' is for pretraining: an example has one beginning and one end; drop, truncate or error");
    if (r_.task != "sft" || !sound({"task", "model"})) return;
    if (r_.model.path.empty() && !given("model.path"))
      wrong(place({"model", "task"}), "'task: sft' wants 'model.path': the base that is tuned");
    const TemplateSection& t = r_.data.template_;
    if (!t.text.empty() && (!t.prompt.empty() || !t.completion.empty()))
      wrong(place({"data.template"}), "'data.template' wants one string, or prompt and completion; not both");
    if (t.prompt.empty() != t.completion.empty())
      wrong(place({"data.template"}), "'data.template' wants both 'prompt' and 'completion'");
  }

 private:
  void quantization() {
    const QuantizationSection& q = r_.model.quantization;
    if (q.kind.empty()) {
      if (!q.double_) wrong(place({"model.quantization"}), "'model.quantization' wants 'kind': nf4");
    } else if (r_.adapter.kind.empty()) {
      wrong(place("model.quantization"),
            "'model.quantization' wants 'adapter': weights of 4 bits are not trained, an adapter on them is");
    }
  }
};

}  // namespace

void check_tuning(const RuleInput& input) { TuningRules(input).run(); }

}  // namespace lathe
