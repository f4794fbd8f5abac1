#include "trainer/read_model.h"

#include <filesystem>

#include "models/adapters/adapted.h"
#include "models/adapters/attach.h"
#include "models/decoder/weights.h"

namespace lathe {

std::shared_ptr<Decoder> read_adapted(const AdaptedModel& model, const LinearStorage& storage) {
  if (auto decoder = build_adapted_decoder(model.base, model.adapter, storage)) return decoder;
  return build_decoder(merge_adapter(model.base, model.adapter), storage);
}

ReadModel read_model(const ModelSource& source, const LinearStorage& storage) {
  if (is_adapter_folder(source.folder)) {
    const AdaptedModel model = load_adapted(source);
    return {merged_model(model, source), read_adapted(model, storage)};
  }
  Bundle bundle = load_model(source);
  auto decoder = build_decoder(bundle, storage);
  return {std::move(bundle), std::move(decoder)};
}

void require_tokenizer(const Bundle& model) {
  if (model.tokenizer) return;
  const bool old = std::filesystem::exists(model.origin + "/vocab.json");
  fail(model.origin, " has no tokenizer",
       old ? "; vocab.json and merges.txt do not name its pre-tokenizer, tokenizer.json does: python -c "
             "\"from "
             "transformers import AutoTokenizer as A; A.from_pretrained('" +
                 model.origin + "').save_pretrained('" + model.origin + "')\""
           : "; wanted tokenizer.json or tokenizer.model in its folder");
}

}  // namespace lathe
