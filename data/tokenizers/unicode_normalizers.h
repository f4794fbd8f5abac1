#pragma once
// Normalizers that need Unicode's tables (ICU): normal forms, lower case, accents, grapheme clusters.
#include <memory>
#include <string>

#include "data/tokenizers/charsmap.h"
#include "data/tokenizers/normalizers.h"

namespace lathe {

std::unique_ptr<Normalizer> make_normal_form(const std::string& name);  // NFC, NFD, NFKC, NFKD
std::unique_ptr<Normalizer> make_lowercase();
std::unique_ptr<Normalizer> make_strip_accents();
// The tokenizers library's reading of a charsmap: cluster by cluster, then character by character.
std::unique_ptr<Normalizer> make_precompiled(Charsmap charsmap);

}  // namespace lathe
