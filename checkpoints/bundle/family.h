#pragma once
// A model family: one file in checkpoints/families/. The complete Hugging Face config.json is the interchange
// form of a family's config: recipes are turned into it, folders hold it, checkpoints store it, describe()
// reads it.
#include <functional>
#include <string>
#include <vector>

#include "checkpoints/bundle/spec.h"
#include "data/io/json.h"
#include "recipes/schema/raw.h"

namespace lathe {

// One tensor on disk and the internal parameters it holds: the internal ones one after the other along
// dimension 0 (output features), the whole transposed when stored as (in, out) like GPT-2's Conv1D.
struct NameRule {
  std::string on_disk;
  std::vector<std::string> internal;
  bool transposed = false;
  std::vector<std::string> aliases = {};  // other names that folders use for it; never written
};

// How llama.cpp knows a family (GGUF's names of tensors are the same for all of them).
struct GgufNames {
  std::string architecture;         // general.architecture; empty: it does not know the family
  bool interleaved_rotary = false;  // rows of queries and keys with the two of a rotary pair side by side
  bool fused_qkv = false;           // queries, keys and values as one tensor
  // What its code for this architecture cannot do with a spec, as "llama.cpp ..."; "" when it can do
  // everything.
  std::function<std::string(const DecoderSpec&)> lacks;
};

struct FamilyInput {                    // what a recipe says of a model from scratch
  const RawSection* section = nullptr;  // model keys unread by the recipe
  std::string size;
  std::int64_t vocab_size = 0, sequence_length = 0;
  std::int64_t bos = -1, eos = -1, pad = -1;  // token ids, -1 none
};

struct Field;  // recipes/schema/describe.h

struct Family {
  std::string name;                        // recipe's `family`
  std::vector<std::string> model_types;    // config.json's model_type
  std::vector<std::string> architectures;  // first one is written
  // A complete config.json from a recipe; problems get what is wrong with the section's keys and values.
  std::function<Json(const FamilyInput&, std::vector<RecipeProblem>& problems)> from_recipe;
  // Reads config.json of transformers 4 and 5; a field that changes the maths and is not supported is an
  // Error by name.
  std::function<DecoderSpec(const Json& config, const std::string& where)> describe;
  std::function<std::vector<NameRule>(const DecoderSpec&)> names;
  // On-disk buffers that hold no parameters (attention masks, rotary tables): read over. May be empty.
  std::function<bool(const std::string& on_disk)> ignored;
  GgufNames gguf = {};
  std::function<std::vector<Field>()> keys;  // that a recipe's `model:` may hold for it
};

const std::vector<const Family*>& families();                                  // generated registry
const Family& family_by_name(const std::string& name);                         // Error with the known names
const Family& family_of_config(const Json& config, const std::string& where);  // by model_type

}  // namespace lathe
