#include "trainer/export_card.h"

#include "checkpoints/exporters/gguf_model.h"

namespace lathe {

std::string card_heading(const Session& session, const ModelSource& source, const ExportSection& target) {
  const Recipe& recipe = session.recipe();
  const bool alone = target.format == "peft";
  std::string card = cat("---\nlibrary_name: ", alone ? "peft" : "transformers", "\npipeline_tag: text-generation\n");
  if (alone) card += cat("base_model: ", Json(portable_base(recipe.model.path)).dump(), "\n");
  card += cat("---\n# ", recipe.name, "\n\n", alone ? "A low-rank adapter (" + recipe.adapter.kind + ") of a " : "A ",
              session.plan.family->name, " of ", parameter_count(session.plan.spec), " parameters, trained with lathe; ",
              source.description, ".\n\n");
  card += cat("- base: ", recipe.model.path.empty() ? "none, trained from scratch" : recipe.model.path,
              " (its licence holds for this model)\n- data: ", session.data.train.ledger.documents_kept, " documents, ",
              session.data.train.ledger.tokens_kept, " tokens, sha256 ", session.data.data_sha256,
              "\n- steps: ", session.state.step, ", tokens seen: ", session.state.tokens, "\n");
  if (!recipe.model.quantization.kind.empty())
    card += "- trained on the base in 4 bits (NF4), which is where the validation loss and the report were measured. The adapter is used "
            "and merged with the original weights, as its engines do; verification.json says by how much a logit changes by that "
            "(quantization_error). For the very model that was trained, load the base in NF4 under the adapter\n";
  if (session.state.best_step >= 0) card += cat("- validation loss: ", session.state.best_loss, "\n");
  if (recipe.task == "sft")
    return card + "\n## Limits\n\nTuned on the examples above only: outside of them it is its base, and it may repeat them "
                  "verbatim.\n\n## Use\n\n";
  return card + "\n## Limits\n\nTrained on the data above only; it knows nothing else, may repeat it verbatim, and was not tuned "
                "to follow instructions.\n\n## Use\n\n";
}

std::string model_commands() {
  return "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n"
         "tokenizer = AutoTokenizer.from_pretrained(\".\")\nmodel = AutoModelForCausalLM.from_pretrained(\".\")\n"
         "print(tokenizer.decode(model.generate(**tokenizer(\"def \", return_tensors=\"pt\"), max_new_tokens=40)[0]))\n```\n\n"
         "```\nvllm serve .\nlathe generate . --prompt \"def \"\nlathe verify .\n```\n";
}

std::string gguf_commands(const std::string& quantize) {
  const std::string file = cat("model-", gguf_mix_name(gguf_mix(quantize)), ".gguf");
  return cat("```\nllama-cli -m ", file, " -p \"def \"\nllama-server -m ", file, "\nollama create NAME -f Modelfile && ollama run NAME\n",
             "lathe generate ", file, " --prompt \"def \"\nlathe verify .\n```\n");
}

}  // namespace lathe
