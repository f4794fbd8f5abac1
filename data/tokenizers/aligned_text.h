#pragma once
// Text on its way through normalizers, with the original bytes each of its bytes came from. Untouched text is
// a view and costs nothing; a changed one takes 17 bytes a byte, or one where nobody asks for the origins.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

struct Span {
  std::size_t begin = 0, end = 0;
};

class AlignedText {
 public:
  AlignedText() = default;
  // `text` as it stands in the original at byte `base`; the caller keeps it alive. Not traced: once changed,
  // only where its first byte came from is known.
  AlignedText(std::string_view text, std::size_t base, bool traced = true)
      : identity_(true), traced_(traced), source_(text), base_(base) {}

  std::string_view view() const { return identity_ ? source_ : std::string_view(changed_); }
  std::size_t size() const { return view().size(); }
  bool empty() const { return size() == 0; }
  // Original bytes of [begin, end) of this text; of a changed text that is not traced only a guess behind its
  // first byte.
  Span origin(std::size_t begin, std::size_t end) const {
    if (identity_ || !traced_) return {base_ + begin, base_ + end};
    if (begin < end) return {origins_[begin].begin, origins_[end - 1].end};
    if (origins_.empty()) return {base_, base_};
    const std::size_t at = begin < origins_.size() ? origins_[begin].begin : origins_.back().end;
    return {at, at};
  }

  // Building a changed text; `source` is the text before the change.
  static AlignedText changed(const AlignedText& source) {
    AlignedText text;
    text.base_ = source.origin(0, 0).begin;
    text.traced_ = source.traced_;
    text.changed_.reserve(source.size());
    if (text.traced_) text.origins_.reserve(source.size());
    return text;
  }
  void append(std::string_view bytes, Span from) {
    if (changed_.empty() && !bytes.empty()) base_ = from.begin;
    changed_.append(bytes);
    if (traced_) origins_.insert(origins_.end(), bytes.size(), from);
  }
  void copy(const AlignedText& source, std::size_t begin, std::size_t end) {
    if (changed_.empty() && begin < end) base_ = source.origin(begin, begin + 1).begin;
    changed_.append(source.view().substr(begin, end - begin));
    for (std::size_t i = begin; traced_ && i < end; ++i) origins_.push_back(source.origin(i, i + 1));
  }
  AlignedText slice(std::size_t begin, std::size_t end) const {
    if (identity_) return {source_.substr(begin, end - begin), base_ + begin, traced_};
    AlignedText text;
    text.base_ = origin(begin, end).begin;
    text.traced_ = traced_;
    text.copy(*this, begin, end);
    return text;
  }

 private:
  bool identity_ = false, traced_ = true;
  std::string_view source_;
  std::size_t base_ = 0;
  std::string changed_;
  std::vector<Span> origins_;
};

}  // namespace lathe
