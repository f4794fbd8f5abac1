#include "trainer/read_model.h"

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

}  // namespace lathe
