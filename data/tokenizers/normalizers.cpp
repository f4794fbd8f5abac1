#include "data/tokenizers/normalizers.h"

namespace lathe {

std::unique_ptr<Normalizer> make_normalizer(const Json& value, const std::string& where) {
  if (value.is_null()) return nullptr;
  fail(where, ": normalizer '", json_get<std::string>(value, "type", where), "' is not supported");
}

}  // namespace lathe
