#include "recipes/schema/aliases.h"

#include <algorithm>
#include <optional>

#include "recipes/schema/error.h"
#include "recipes/schema/scalars.h"

namespace lathe {

namespace {

struct Alias {
  const char* theirs;
  const char* ours;
};

// Sections come first: what they hold is looked at under its new name.
constexpr Alias kSections[] = {
    {"training", "train"},           {"eval", "evaluate"},
    {"evaluation", "evaluate"},      {"save", "checkpoint"},
    {"checkpointing", "checkpoint"}, {"lr_scheduler", "schedule"},
    {"scheduler", "schedule"},       {"exports", "export"},
};

constexpr Alias kKeys[] = {
    {"base_model", "model.path"},
    {"model_name_or_path", "model.path"},
    {"model.base_model", "model.path"},
    {"model.model_name_or_path", "model.path"},
    {"model.name_or_path", "model.path"},
    {"output_dir", "directory"},
    {"out_dir", "directory"},
    {"train.output_dir", "directory"},

    {"lr", "optimizer.learning_rate"},
    {"learning_rate", "optimizer.learning_rate"},
    {"optimizer.lr", "optimizer.learning_rate"},
    {"train.lr", "optimizer.learning_rate"},
    {"train.learning_rate", "optimizer.learning_rate"},
    {"weight_decay", "optimizer.weight_decay"},
    {"train.weight_decay", "optimizer.weight_decay"},
    {"optimizer.wd", "optimizer.weight_decay"},
    {"optimizer.type", "optimizer.name"},
    {"optimizer.adam_beta1", "optimizer.beta1"},
    {"optimizer.adam_beta2", "optimizer.beta2"},
    {"optimizer.adam_epsilon", "optimizer.eps"},
    {"optimizer.epsilon", "optimizer.eps"},
    {"adam_beta1", "optimizer.beta1"},
    {"adam_beta2", "optimizer.beta2"},
    {"adam_epsilon", "optimizer.eps"},

    {"lr_scheduler_type", "schedule.name"},
    {"train.lr_scheduler_type", "schedule.name"},
    {"optimizer.lr_scheduler_type", "schedule.name"},
    {"schedule.type", "schedule.name"},
    {"warmup_steps", "schedule.warmup_steps"},
    {"train.warmup_steps", "schedule.warmup_steps"},
    {"train.lr_warmup_steps", "schedule.warmup_steps"},
    {"optimizer.warmup_steps", "schedule.warmup_steps"},
    {"schedule.lr_warmup_steps", "schedule.warmup_steps"},
    {"schedule.num_warmup_steps", "schedule.warmup_steps"},

    {"micro_batch_size", "train.micro_batch_size"},
    {"per_device_train_batch_size", "train.micro_batch_size"},
    {"train.per_device_train_batch_size", "train.micro_batch_size"},
    {"train.local_batch_size", "train.micro_batch_size"},
    {"global_batch_size", "train.global_batch_size"},
    {"gradient_accumulation_steps", "train.gradient_accumulation_steps"},
    {"train.grad_accumulation_steps", "train.gradient_accumulation_steps"},
    {"train.gradient_accumulation_iters", "train.gradient_accumulation_steps"},
    {"epochs", "train.epochs"},
    {"num_epochs", "train.epochs"},
    {"num_train_epochs", "train.epochs"},
    {"train.num_epochs", "train.epochs"},
    {"train.num_train_epochs", "train.epochs"},
    {"max_steps", "train.max_steps"},
    {"max_train_steps", "train.max_steps"},
    {"train.max_train_steps", "train.max_steps"},
    {"train_batch_size", "train.micro_batch_size"},
    {"train.train_batch_size", "train.micro_batch_size"},
    {"train.iters", "train.max_steps"},
    {"train.train_iters", "train.max_steps"},
    {"max_tokens", "train.max_tokens"},
    {"max_grad_norm", "train.max_grad_norm"},
    {"optimizer.max_grad_norm", "train.max_grad_norm"},
    {"train.max_norm", "train.max_grad_norm"},
    {"train.clip_grad", "train.max_grad_norm"},
    {"train.clip_grad_norm", "train.max_grad_norm"},
    {"gradient_checkpointing", "train.activation_checkpointing"},
    {"train.gradient_checkpointing", "train.activation_checkpointing"},
    {"train.enable_activation_checkpointing", "train.activation_checkpointing"},
    {"seed", "train.seed"},
    {"precision", "train.precision"},

    {"max_length", "data.sequence_length"},
    {"max_seq_length", "data.sequence_length"},
    {"max_seq_len", "data.sequence_length"},
    {"sequence_len", "data.sequence_length"},
    {"sequence_length", "data.sequence_length"},
    {"cutoff_len", "data.sequence_length"},
    {"data.max_length", "data.sequence_length"},
    {"data.max_seq_length", "data.sequence_length"},
    {"data.max_seq_len", "data.sequence_length"},
    {"data.sequence_len", "data.sequence_length"},
    {"data.seq_length", "data.sequence_length"},
    {"data.seq_len", "data.sequence_length"},
    {"data.cutoff_len", "data.sequence_length"},
    {"train.max_seq_length", "data.sequence_length"},
    {"train.sequence_length", "data.sequence_length"},
    {"packing", "data.packing"},
    {"sample_packing", "data.packing"},
    {"data.sample_packing", "data.packing"},
    {"val_size", "data.validation"},
    {"val_set_size", "data.validation"},
    {"data.val_size", "data.validation"},

    {"instance_data_dir", "data.train"},
    {"train_data_dir", "data.train"},
    {"data.image_dir", "data.train"},
    {"data.folder_path", "data.train"},
    {"resolution", "data.resolution"},
    {"data.image_size", "data.resolution"},
    {"trigger_word", "data.trigger"},
    {"data.trigger_word", "data.trigger"},
    {"data.flip_aug", "data.flip"},
    {"data.random_flip", "data.flip"},
    {"data.bucket_reso_steps", "data.bucket_step"},
    {"min_snr_gamma", "diffusion.min_snr_gamma"},
    {"snr_gamma", "diffusion.min_snr_gamma"},
    {"noise_offset", "diffusion.offset_noise"},
    {"placeholder_token", "textual_inversion.token"},
    {"initializer_token", "textual_inversion.initialise_from"},
    {"network_dim", "adapter.rank"},
    {"network_alpha", "adapter.alpha"},

    {"lora_r", "adapter.rank"},
    {"lora_alpha", "adapter.alpha"},
    {"lora_dropout", "adapter.dropout"},
    {"lora_target_modules", "adapter.targets"},
    {"model.quantize", "model.quantization.kind"},
    {"bnb_4bit_quant_type", "model.quantization.kind"},
    {"model.bnb_4bit_quant_type", "model.quantization.kind"},
    {"bnb_4bit_use_double_quant", "model.quantization.double"},
    {"model.bnb_4bit_use_double_quant", "model.quantization.double"},
    {"adapter.r", "adapter.rank"},
    {"adapter.type", "adapter.kind"},
    {"adapter.lora_alpha", "adapter.alpha"},
    {"adapter.lora_dropout", "adapter.dropout"},
    {"adapter.target_modules", "adapter.targets"},

    {"early_stopping_patience", "early_stopping.patience"},
    {"eval_steps", "evaluate.every"},
    {"train.eval_steps", "evaluate.every"},
    {"evaluate.eval_steps", "evaluate.every"},
    {"evaluate.interval", "evaluate.every"},
    {"save_steps", "checkpoint.every"},
    {"train.save_steps", "checkpoint.every"},
    {"checkpoint.save_steps", "checkpoint.every"},
    {"checkpoint.interval", "checkpoint.every"},
    {"save_total_limit", "checkpoint.keep_last"},
    {"train.save_total_limit", "checkpoint.keep_last"},
    {"checkpoint.save_total_limit", "checkpoint.keep_last"},
};

// Of an item of a list: "export[].merge".
constexpr Alias kAbsent[] = {
    {"export[].merge",
     "huggingface, gguf, diffusers and single_file hold an adapter merged, peft holds it alone"},
};

std::string parent_of(const std::string& path) {
  const auto dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

std::string leaf_of(const std::string& path) { return path.substr(path.rfind('.') + 1); }

// Takes the entry of a dotted key out of the document.
std::optional<YamlEntry> take_entry(Yaml& document, const std::string& path) {
  Yaml* section = &document;
  if (const std::string parent = parent_of(path); !parent.empty()) {
    YamlEntry* found = document.find(parent);
    if (!found) return std::nullopt;
    section = &found->value;
  }
  const auto at = std::find_if(section->entries.begin(), section->entries.end(),
                               [&](const YamlEntry& entry) { return entry.key == leaf_of(path); });
  if (at == section->entries.end()) return std::nullopt;
  YamlEntry taken = std::move(*at);
  section->entries.erase(at);
  return taken;
}

void rename(Yaml& document, const std::string& theirs, const std::string& ours,
            std::vector<RecipeProblem>& problems, std::vector<std::string>& notes) {
  auto entry = take_entry(document, theirs);
  if (!entry) return;
  const bool same_section = parent_of(theirs) == parent_of(ours);
  const std::string shown = same_section ? leaf_of(ours) : ours;
  if (value_at(document, ours)) {
    problems.push_back({entry->key_place, cat("'", entry->key, "' is another spelling of '", shown,
                                              "', which is given too; keep one")});
    return;
  }
  YamlEntry* target = entry_at(document, ours, entry->key_place);
  if (!target) return;  // the section is no section: reported when it is read
  target->key_place = entry->key_place;
  target->value = std::move(entry->value);
  notes.push_back(
      cat("note: ", source_text(target->key_place), ": '", entry->key, "' is read as '", shown, "'"));
}

void set_scalar(Yaml& document, const std::string& key, const std::string& text, const YamlEntry& source) {
  YamlEntry* target = entry_at(document, key, source.key_place);
  if (!target) return;  // a section on the way is none: reported when it is read
  target->value.kind = Yaml::Kind::Scalar;
  target->value.text = text;
  target->value.place = source.value.place;
}

// What others write for a base in 4 bits: load_in_4bit, an adapter of kind qlora, or the kind in the
// section's place.
void four_bits(Yaml& document, std::vector<std::string>& notes) {
  const std::string kind = "model.quantization.kind";
  const auto mean = [&](const YamlEntry& entry, const std::string& ours) {
    notes.push_back(cat("note: ", source_text(entry.key_place), ": '", entry.key, ": ", entry.value.text,
                        "' is read as '", ours, "'"));
  };
  for (const char* key : {"load_in_4bit", "model.load_in_4bit", "adapter.load_in_4bit"}) {
    const Yaml* value = value_at(document, key);
    if (!value || value->kind != Yaml::Kind::Scalar || value->quoted ||
        (value->text != "true" && value->text != "false"))
      continue;
    const YamlEntry entry = *take_entry(document, key);
    if (entry.value.text == "false" || value_at(document, kind)) continue;
    set_scalar(document, kind, "nf4", entry);
    mean(entry, kind + ": nf4");
  }
  if (const Yaml* adapter = value_at(document, "adapter.kind"); adapter && adapter->text == "qlora") {
    const YamlEntry entry = *take_entry(document, "adapter.kind");
    set_scalar(document, "adapter.kind", "lora", entry);
    if (!value_at(document, kind)) set_scalar(document, kind, "nf4", entry);
    mean(entry, "kind: lora' with '" + kind + ": nf4");
  }
  if (const Yaml* value = value_at(document, "model.quantization");
      value && value->kind == Yaml::Kind::Scalar) {
    const YamlEntry entry = *take_entry(document, "model.quantization");
    set_scalar(document, kind, entry.value.text, entry);
    mean(entry, kind + ": " + entry.value.text);
  }
}

std::optional<std::int64_t> integer_at(const Yaml& document, const std::string& path) {
  const Yaml* value = value_at(document, path);
  if (!value || value->kind != Yaml::Kind::Scalar || value->quoted) return std::nullopt;
  const auto parsed = parse_integer(value->text).value;
  return parsed && *parsed > 0 ? parsed : std::nullopt;
}

}  // namespace

YamlEntry* entry_at(Yaml& document, const std::string& path, const Place& place) {
  Yaml* section = &document;
  std::string rest = path;
  while (true) {
    const auto dot = rest.find('.');
    const std::string key = rest.substr(0, dot);
    if (section->kind == Yaml::Kind::Null) section->kind = Yaml::Kind::Map;
    if (section->kind != Yaml::Kind::Map) return nullptr;
    YamlEntry* entry = section->find(key);
    if (!entry) {
      Yaml empty;
      empty.place = place;
      section->entries.push_back({key, place, empty});
      entry = &section->entries.back();
    }
    if (dot == std::string::npos) return entry;
    section = &entry->value;
    rest = rest.substr(dot + 1);
  }
}

const Yaml* value_at(const Yaml& document, const std::string& path) {
  const Yaml* value = &document;
  for (std::string rest = path;;) {
    const auto dot = rest.find('.');
    const YamlEntry* entry = value->find(rest.substr(0, dot));
    if (!entry) return nullptr;
    value = &entry->value;
    if (dot == std::string::npos) return value;
    rest = rest.substr(dot + 1);
  }
}

std::string why_not_ours(const std::string& section, const std::string& key) {
  const auto bracket = section.find('[');
  const std::string path = cat(section.substr(0, bracket), bracket == std::string::npos ? "." : "[].", key);
  for (const auto& [theirs, why] : kAbsent)
    if (path == theirs) return cat(" (", why, ")");
  return "";
}

namespace {

// What recipes of runs that an older program began still say, and what never did anything.
void drop_retired(Yaml& document, std::vector<std::string>& notes) {
  const auto entry = take_entry(document, "train.z_loss");
  if (entry && entry->value.text != "0")
    notes.push_back(
        cat("note: ", source_text(entry->key_place), ": 'z_loss' never had an effect and is gone"));
}

}  // namespace

void rename_aliases(Yaml& document, std::vector<RecipeProblem>& problems, std::vector<std::string>& notes) {
  for (const Alias& alias : kSections) {
    const YamlEntry* entry = document.find(alias.theirs);
    if (!entry) continue;
    const bool word = std::string(alias.ours) == "schedule" && entry->value.kind == Yaml::Kind::Scalar;
    rename(document, alias.theirs, word ? "schedule.name" : alias.ours, problems, notes);
  }
  four_bits(document, notes);
  for (const Alias& alias : kKeys) rename(document, alias.theirs, alias.ours, problems, notes);
  drop_retired(document, notes);
}

void apply_accumulation(Yaml& merged, std::vector<RecipeProblem>& problems, std::vector<std::string>& notes) {
  const std::string key = "train.gradient_accumulation_steps";
  const auto steps = integer_at(merged, key);
  auto entry = take_entry(merged, key);
  if (!entry) return;
  if (!steps) {
    problems.push_back({entry->value.place, cat("'", key, "' wants an integer from 1 on")});
    return;
  }
  const auto micro = integer_at(merged, "train.micro_batch_size"),
             global = integer_at(merged, "train.global_batch_size");
  const auto derive = [&](const char* name, std::int64_t value) {
    YamlEntry* target = entry_at(merged, cat("train.", name), entry->key_place);
    if (!target) return;
    target->value.kind = Yaml::Kind::Scalar;
    target->value.text = std::to_string(value);
    target->value.place = entry->value.place;
    notes.push_back(cat("note: ", source_text(entry->key_place), ": 'gradient_accumulation_steps' gives '",
                        name, ": ", value, "'; accumulation is derived here"));
  };
  if (micro && global) {
    if (*global / *steps == *micro && *global % *steps == 0) return;
    problems.push_back({entry->key_place,
                        cat("'gradient_accumulation_steps' is ", *steps, ", but global_batch_size ", *global,
                            " and micro_batch_size ", *micro, " say otherwise; remove it, it is derived")});
  } else if (micro) {
    if (*micro <= (std::int64_t{1} << 24) && *steps <= (std::int64_t{1} << 24))
      derive("global_batch_size", *micro * *steps);
  } else {
    const std::int64_t rows = global.value_or(16);
    if (rows % *steps == 0) return derive("micro_batch_size", rows / *steps);
    problems.push_back({entry->key_place, cat("'gradient_accumulation_steps' is ", *steps,
                                              ", which does not divide "
                                              "global_batch_size ",
                                              rows)});
  }
}

}  // namespace lathe
