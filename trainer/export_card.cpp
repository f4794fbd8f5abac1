#include "trainer/export_card.h"

#include "checkpoints/exporters/exporter.h"
#include "checkpoints/exporters/gguf_model.h"
#include "checkpoints/exporters/gguf_tokenizer.h"
#include "trainer/report/course.h"

namespace lathe {

std::string card_heading(const Session& session, const TextTask& task, const ModelSource& source,
                         const ExportSection& target) {
  const Recipe& recipe = session.recipe();
  const bool alone = target.format == "peft";
  std::string card =
      cat("---\nlibrary_name: ", alone ? "peft" : "transformers", "\npipeline_tag: text-generation\n");
  if (alone) card += cat("base_model: ", Json(portable_base(recipe.model.path)).dump(), "\n");
  card += cat("---\n# ", recipe.name, "\n\n",
              alone ? "A low-rank adapter (" + recipe.adapter.kind + ") of a " : "A ", task.plan.family->name,
              " of ", parameter_count(task.plan.spec), " parameters, trained with lathe; ",
              shipped_description(source), ".\n\n");
  card += cat(
      "- base: ", recipe.model.path.empty() ? "none, trained from scratch" : shipped_base(recipe.model.path),
      " (its licence holds for this model)\n- data: ", task.data.train.ledger.documents_kept, " documents, ",
      task.data.train.ledger.tokens_kept, " tokens, sha256 ", task.data.data_sha256,
      "\n- steps: ", session.state.step, ", tokens seen: ", session.state.tokens, "\n");
  if (!recipe.model.quantization.kind.empty())
    card +=
        "- trained on the base in 4 bits (NF4), which is where the validation loss and the report were "
        "measured. The adapter is used "
        "and merged with the original weights, as its engines do; verification.json says by how much a logit "
        "changes by that "
        "(quantization_error). For the very model that was trained, load the base in NF4 under the adapter\n";
  if (const std::string& written = recipe.data.template_.prompt; !written.empty())
    card += cat("- questions were written as ", Json(written).dump(), " and are to be asked so\n");
  const RunLog log = read_run_log(session.run.path + "/metrics.jsonl");
  if (const auto loss = held_loss_at(log, source.step)) card += cat("- validation loss: ", *loss, "\n");
  if (recipe.task == "sft")
    return card +
           "\n## Limits\n\nTuned on the examples above only: outside of them it is its base, and it may "
           "repeat them "
           "verbatim.\n\n## Use\n\n";
  return card +
         "\n## Limits\n\nTrained on the data above only; it knows nothing else, may repeat it verbatim, and "
         "was not tuned "
         "to follow instructions.\n\n## Use\n\n";
}

namespace {

bool chats(const Bundle& model) { return model.tokenizer && !chat_template_of(*model.tokenizer).empty(); }

// A conversation in the file's own template, or a text to go on from.
std::string llama_cli(const std::string& file, bool chat) {
  return cat("llama-cli -m ", file, chat ? " --jinja" : " -no-cnv -p \"def \"", "\n");
}

std::string lathe_commands(const std::string& model, bool chat) {
  return cat("lathe ", chat ? "chat " + model : "generate " + model + " --prompt \"def \"",
             "\nlathe verify .\n");
}

// Why llama.cpp cannot run a model; "" when it can.
std::string gguf_objection(const Bundle& model) {
  try {
    check_gguf_model(model);
    GgufMetadata metadata;
    add_gguf_tokenizer(model, metadata);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace

std::string model_commands(const Bundle& model) {
  const bool chat = chats(model);
  std::string text =
      cat("transformers:\n\n```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
          "tokenizer = AutoTokenizer.from_pretrained(\".\")\nmodel = "
          "AutoModelForCausalLM.from_pretrained(\".\")\n",
          generate_lines(chat), "```\n\nvLLM, then lathe itself:\n\n```\nvllm serve .\n",
          lathe_commands(".", chat), "```\n\n");
  if (const std::string objection = gguf_objection(model); !objection.empty())
    return text + "llama.cpp and Ollama do not run it: " + objection + ".\n";
  return text +
         cat("llama.cpp and Ollama, which read GGUF:\n\n```\nlathe export . --format gguf --output gguf\n",
             llama_cli("gguf/model-BF16.gguf", chat), "llama-server -m gguf/model-BF16.gguf\n",
             "cd gguf && ollama create NAME -f Modelfile && ollama run NAME\n```\n");
}

std::string gguf_commands(const Bundle& model, const std::string& quantize) {
  const std::string file = cat("model-", gguf_mix_name(gguf_mix(quantize)), ".gguf");
  const bool chat = chats(model);
  const std::string engines = cat(
      "llama.cpp, Ollama, lathe itself:\n\n```\n", llama_cli(file, chat), "llama-server -m ", file,
      "\nollama create NAME -f Modelfile && ollama run NAME\n", lathe_commands(file, chat),
      "```\n\nvLLM reads it beside a tokenizer's folder (its base, or an export in format huggingface):\n\n"
      "```\nvllm serve ./",
      file, " --tokenizer FOLDER\n```\n");
  // transformers 5.23 reads no number of positions from a GPT-2 in GGUF and takes 1024.
  if (model.family->name == "gpt2" && model.spec.max_positions != 1024) return engines;
  return cat(engines,
             "\ntransformers turns it back into plain weights (with the gguf package):\n\n```python\n"
             "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
             "tokenizer = AutoTokenizer.from_pretrained(\".\", gguf_file=\"",
             file, "\")\nmodel = AutoModelForCausalLM.from_pretrained(\".\", gguf_file=\"", file, "\")\n",
             generate_lines(chat), "```\n");
}

}  // namespace lathe
