#include "data/io/json.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <unordered_set>
#include <vector>

#include "data/io/file_system.h"
#include "data/io/hash.h"
#include "data/io/utf8.h"

namespace lathe {
namespace {

// Text iterator that tells how far the parser has come, for errors found in events, which carry no position.
class TrackedIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  TrackedIterator(const char* at, const char** reached) : at_(at), reached_(reached) {}
  reference operator*() const { return *at_; }
  TrackedIterator& operator++() {
    *reached_ = ++at_;
    return *this;
  }
  TrackedIterator operator++(int) {
    const TrackedIterator before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const TrackedIterator& a, const TrackedIterator& b) { return a.at_ == b.at_; }
  friend bool operator!=(const TrackedIterator& a, const TrackedIterator& b) { return a.at_ != b.at_; }

 private:
  const char* at_;
  const char** reached_;
};

// Builds the value from the parser's events. ordered_json's own builder looks each key up in a list:
// quadratic, minutes for a vocabulary of 100 000. Here keys are appended, and a hash set finds duplicates.
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(int max_depth) : max_depth_(max_depth) {}
  Json value;
  std::string problem;

  bool null() override { return add(nullptr); }
  bool boolean(bool v) override { return add(v); }
  bool number_integer(number_integer_t v) override { return add(v); }
  bool number_unsigned(number_unsigned_t v) override { return add(v); }
  bool number_float(number_float_t v, const string_t&) override { return add(v); }
  bool string(string_t& v) override { return add(std::move(v)); }
  bool binary(binary_t&) override { return stop("binary data is not JSON"); }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& k) override {
    Level& level = levels_.back();
    if (is_duplicate(level, k)) return stop("duplicate key '" + k + "'");
    auto& object = level.value->get_ref<Json::object_t&>();
    object.emplace_back(std::move(k), nullptr);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& e) override {
    std::string text = e.what();
    if (const auto bracket = text.find("] "); text.rfind('[', 0) == 0 && bracket != text.npos)
      text.erase(0, bracket + 2);
    return stop(std::move(text));
  }

 private:
  static constexpr std::size_t kFewKeys = 16;  // found by a scan; a set is not worth its memory
  struct Level {
    Json* value;  // stays put while the level is open: only the innermost container grows
    std::unordered_set<std::uint64_t> hashes;  // of the keys, once they are many
  };

  static bool is_duplicate(Level& level, const std::string& key) {
    const auto& object = level.value->get_ref<const Json::object_t&>();
    const auto hash_of = [](const std::string& text) { return xxh3(std::as_bytes(std::span(text))); };
    if (object.size() >= kFewKeys) {
      if (level.hashes.empty()) {
        for (const auto& entry : object) level.hashes.insert(hash_of(entry.first));
      }
      if (level.hashes.insert(hash_of(key)).second) return false;
    }
    return std::any_of(object.begin(), object.end(), [&](const auto& entry) { return entry.first == key; });
  }
  template <class T>
  Json* place(T&& v) {
    if (levels_.empty()) {
      value = Json(std::forward<T>(v));
      return &value;
    }
    Json& parent = *levels_.back().value;
    if (parent.is_array()) {
      auto& array = parent.get_ref<Json::array_t&>();
      array.emplace_back(std::forward<T>(v));
      return &array.back();
    }
    Json& slot = parent.get_ref<Json::object_t&>().back().second;
    slot = Json(std::forward<T>(v));
    return &slot;
  }
  template <class T>
  bool add(T&& v) {
    place(std::forward<T>(v));
    return true;
  }
  bool open(Json container) {
    if (levels_.size() >= static_cast<std::size_t>(max_depth_)) {
      return stop(cat("nested deeper than ", max_depth_, " levels"));
    }
    levels_.push_back({place(std::move(container)), {}});
    return true;
  }
  bool close() {
    levels_.pop_back();
    return true;
  }
  bool stop(std::string text) {
    problem = std::move(text);
    return false;
  }

  int max_depth_;
  std::vector<Level> levels_;
};

// Of a text of one line without the parser's own "at line 1, column 9", which is no line of the file.
std::string shortened(std::string text, bool one_line) {
  constexpr std::size_t kMost = 300;
  const std::size_t begin = text.find(" at line 1, column "), end = text.find(':');
  if (one_line && begin != text.npos && end != text.npos && end > begin) text.erase(begin, end - begin);
  return replace_invalid_utf8(text.size() <= kMost ? text : text.substr(0, kMost) + "...");
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    fail(where, ": ", text.size(), " bytes of JSON, more than the limit of ", limits.max_bytes);
  }
  const char* reached = text.data();
  Builder builder(limits.max_depth);
  const TrackedIterator first(text.data(), &reached), last(text.data() + text.size(), &reached);
  if (!Json::sax_parse(first, last, &builder)) {
    fail(where, ": byte ", reached - text.data(), ": ",
         shortened(builder.problem, text.find('\n') == text.npos));
  }
  if (const std::size_t nul = text.find('\0');
      nul != text.npos) {  // which the parser takes for the end of the text
    fail(where, ": byte ", nul + 1, ": a NUL byte, which JSON cannot hold; the file is damaged");
  }
  return std::move(builder.value);
}

Json read_json(const std::string& path, const JsonLimits& limits) {
  return parse_json(read_file(path, limits.max_bytes), path, limits);
}

}  // namespace lathe
