#pragma once
// Text on its way through normalizers, with the original bytes each of its bytes came from. Untouched text is
// a view and costs nothing.
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
  // `text` as it stands in the original at byte `base`; the caller keeps it alive.
  AlignedText(std::string_view text, std::size_t base) : identity_(true), source_(text), base_(base) {}

  std::string_view view() const { return identity_ ? source_ : std::string_view(changed_); }
  std::size_t size() const { return view().size(); }
  bool empty() const { return size() == 0; }
  // Original bytes of [begin, end) of this text.
  Span origin(std::size_t begin, std::size_t end) const {
    if (identity_) return {base_ + begin, base_ + end};
    if (begin < end) return {origins_[begin].begin, origins_[end - 1].end};
    if (origins_.empty()) return {base_, base_};
    const std::size_t at = begin < origins_.size() ? origins_[begin].begin : origins_.back().end;
    return {at, at};
  }

  // Building a changed text; `source` is the text before the change.
  static AlignedText changed(const AlignedText& source) {
    AlignedText text;
    text.base_ = source.origin(0, 0).begin;
    text.changed_.reserve(source.size());
    text.origins_.reserve(source.size());
    return text;
  }
  void append(std::string_view bytes, Span from) {
    changed_.append(bytes);
    origins_.insert(origins_.end(), bytes.size(), from);
  }
  void copy(const AlignedText& source, std::size_t begin, std::size_t end) {
    changed_.append(source.view().substr(begin, end - begin));
    for (std::size_t i = begin; i < end; ++i) origins_.push_back(source.origin(i, i + 1));
  }
  AlignedText slice(std::size_t begin, std::size_t end) const {
    if (identity_) return {source_.substr(begin, end - begin), base_ + begin};
    AlignedText text;
    text.base_ = origin(begin, end).begin;
    text.copy(*this, begin, end);
    return text;
  }

 private:
  bool identity_ = false;
  std::string_view source_;
  std::size_t base_ = 0;
  std::string changed_;
  std::vector<Span> origins_;
};

}  // namespace lathe
