#include "data/tokenizers/unicode_normalizers.h"

#include <unicode/brkiter.h>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/utext.h>

#include "data/io/utf8.h"
#include "data/tokenizers/unicode_class.h"

namespace lathe {
namespace {

icu::StringPiece piece_of(std::string_view text) {
  require(text.size() < (std::size_t{1} << 31), "a text of ", text.size(),
          " bytes is too long to be normalized; ", "split it into documents below 2 GiB");
  return {text.data(), static_cast<std::int32_t>(text.size())};
}

void check_icu(UErrorCode status, const char* what) {
  require(U_SUCCESS(status), "Unicode tables: ", what, ": ", u_errorName(status));
}

// Segments begin where nothing before can take part in a composition; what a segment changes into stands for
// all of it.
class NormalForm : public Normalizer {
 public:
  explicit NormalForm(const icu::Normalizer2* form) : form_(form) {}
  AlignedText apply(AlignedText text) const override {
    const std::string_view view = text.view();
    UErrorCode status = U_ZERO_ERROR;
    if (form_->isNormalizedUTF8(piece_of(view), status) && U_SUCCESS(status)) return text;
    AlignedText out = AlignedText::changed(text);
    for (std::size_t begin = 0; begin < view.size();) {
      std::size_t end = begin + scan_utf8(view, begin).length;
      while (end < view.size()) {
        const Scanned next = scan_utf8(view, end);
        if (form_->hasBoundaryBefore(static_cast<UChar32>(next.value))) break;
        end += next.length;
      }
      append(text, begin, end, out);
      begin = end;
    }
    return out;
  }

 private:
  void append(const AlignedText& text, std::size_t begin, std::size_t end, AlignedText& out) const {
    const std::string_view segment = text.view().substr(begin, end - begin);
    std::string normal;
    icu::StringByteSink<std::string> sink(&normal);
    UErrorCode status = U_ZERO_ERROR;
    form_->normalizeUTF8(0, piece_of(segment), sink, nullptr, status);
    check_icu(status, "normalization");
    if (normal == segment) {
      out.copy(text, begin, end);
    } else {
      out.append(normal, text.origin(begin, end));
    }
  }
  const icu::Normalizer2* form_;
};

class CharacterChange : public Normalizer {
 public:
  AlignedText apply(AlignedText text) const override {
    const std::string_view view = text.view();
    AlignedText out = AlignedText::changed(text);
    std::string changed;
    for (std::size_t at = 0; at < view.size();) {
      const Scanned c = scan_utf8(view, at);
      changed.clear();
      if (change(c.value, changed)) {
        out.append(changed, text.origin(at, at + c.length));
      } else {
        out.copy(text, at, at + c.length);
      }
      at += c.length;
    }
    return out;
  }

 private:
  virtual bool change(char32_t c, std::string& changed) const = 0;  // false: stays as it is
};

class Lowercase : public CharacterChange {
  bool change(char32_t c, std::string& changed) const override {
    constexpr char32_t kCapitalDottedI = 0x130, kDotAbove = 0x307;
    if (c == kCapitalDottedI) {  // the one character whose lower case is two
      append_utf8(changed, U'i');
      append_utf8(changed, kDotAbove);
      return true;
    }
    const auto lower = static_cast<char32_t>(u_tolower(static_cast<UChar32>(c)));
    if (lower == c) return false;
    append_utf8(changed, lower);
    return true;
  }
};

class StripAccents : public CharacterChange {
  bool change(char32_t c, std::string&) const override {
    return (U_GET_GC_MASK(static_cast<UChar32>(c)) & U_GC_M_MASK) != 0;
  }
};

class Precompiled : public Normalizer {
 public:
  explicit Precompiled(Charsmap charsmap) : charsmap_(std::move(charsmap)) {}
  AlignedText apply(AlignedText text) const override {
    const std::string_view view = text.view();
    piece_of(view);
    AlignedText out = AlignedText::changed(text);
    UErrorCode status = U_ZERO_ERROR;
    const std::unique_ptr<icu::BreakIterator> clusters(
        icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), status));
    UText source = UTEXT_INITIALIZER;
    utext_openUTF8(&source, view.data(), static_cast<std::int64_t>(view.size()), &status);
    check_icu(status, "grapheme clusters");
    clusters->setText(&source, status);
    std::int32_t begin = clusters->first();
    for (std::int32_t end = clusters->next(); end != icu::BreakIterator::DONE;
         begin = end, end = clusters->next()) {
      cluster(text, static_cast<std::size_t>(begin), static_cast<std::size_t>(end), out);
    }
    utext_close(&source);
    return out;
  }

 private:
  void cluster(const AlignedText& text, std::size_t begin, std::size_t end, AlignedText& out) const {
    constexpr std::size_t kLongestCluster = 6;  // bytes; longer ones are only looked at by character
    const std::string_view view = text.view();
    if (end - begin < kLongestCluster) {
      if (const auto rule = charsmap_.shortest(view.substr(begin, end - begin))) {
        return out.append(rule->normal, text.origin(begin, end));
      }
    }
    for (std::size_t at = begin; at < end;) {
      const std::size_t next = at + scan_utf8(view, at).length;
      if (const auto rule = charsmap_.shortest(view.substr(at, next - at))) {
        out.append(rule->normal, text.origin(at, next));
      } else {
        out.copy(text, at, next);
      }
      at = next;
    }
  }
  Charsmap charsmap_;
};

}  // namespace

std::unique_ptr<Normalizer> make_normal_form(const std::string& name) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* form = name == "NFC"    ? icu::Normalizer2::getNFCInstance(status)
                                 : name == "NFD"  ? icu::Normalizer2::getNFDInstance(status)
                                 : name == "NFKC" ? icu::Normalizer2::getNFKCInstance(status)
                                                  : icu::Normalizer2::getNFKDInstance(status);
  check_icu(status, name.c_str());
  return std::make_unique<NormalForm>(form);
}

std::unique_ptr<Normalizer> make_lowercase() { return std::make_unique<Lowercase>(); }
std::unique_ptr<Normalizer> make_strip_accents() { return std::make_unique<StripAccents>(); }
std::unique_ptr<Normalizer> make_precompiled(Charsmap charsmap) {
  return std::make_unique<Precompiled>(std::move(charsmap));
}

}  // namespace lathe
