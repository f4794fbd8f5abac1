#include "data/tokenizers/sentencepiece_model.h"

#include <cmath>
#include <cstring>

#include "data/io/utf8.h"

namespace lathe {
namespace {

constexpr std::size_t kMaxPieces = 1 << 24, kMaxPieceBytes = 4096;

// One message of the wire format: fields as (number, value), where a value is a varint, 4 or 8 bytes, or
// bytes.
class WireReader {
 public:
  WireReader(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  bool next() {
    if (at_ == bytes_.size()) return false;
    const std::uint64_t tag = varint();
    field_ = tag >> 3;
    switch (tag & 7) {
      case 0:
        number_ = varint();
        break;
      case 1:
        content_ = take(8);
        break;
      case 2:
        content_ = take(varint());
        break;
      case 5:
        content_ = take(4);
        break;
      default:
        fail(where_, ": not a SentencePiece model: wire type ", tag & 7, " at byte ", at_);
    }
    return true;
  }
  std::uint64_t field() const { return field_; }
  std::uint64_t number() const { return number_; }
  bool flag() const { return number_ != 0; }
  std::string_view content() const { return content_; }
  float real() const {
    require(content_.size() == 4, where_, ": not a SentencePiece model: a score of ", content_.size(),
            " bytes");
    float value;
    std::memcpy(&value, content_.data(), 4);
    return value;
  }

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      require(at_ < bytes_.size(), where_, ": the SentencePiece model ends in the middle of a number");
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    fail(where_, ": not a SentencePiece model: a number of more than 10 bytes at byte ", at_);
  }
  std::string_view take(std::uint64_t count) {
    require(count <= bytes_.size() - at_, where_, ": the SentencePiece model is cut short: wanted ", count,
            " bytes at byte ", at_, ", found ", bytes_.size() - at_);
    const std::string_view part = bytes_.substr(at_, count);
    at_ += count;
    return part;
  }

  std::string_view bytes_, content_;
  const std::string& where_;
  std::size_t at_ = 0;
  std::uint64_t field_ = 0, number_ = 0;
};

SentencePiece parse_piece(std::string_view bytes, const std::string& where) {
  SentencePiece piece;
  for (WireReader reader(bytes, where); reader.next();) {
    if (reader.field() == 1) piece.text = reader.content();
    if (reader.field() == 2) piece.score = reader.real();
    if (reader.field() == 3) {
      require(reader.number() >= 1 && reader.number() <= 6, where, ": piece type ", reader.number(),
              " is unknown");
      piece.type = static_cast<PieceType>(reader.number());
    }
  }
  require(!piece.text.empty() && piece.text.size() <= kMaxPieceBytes, where, ": a piece of ",
          piece.text.size(), " bytes; wanted 1 to ", kMaxPieceBytes);
  require(!first_invalid_utf8(piece.text), where, ": a piece is not valid UTF-8");
  require(std::isfinite(piece.score), where, ": piece '", piece.text, "' has a score that is not finite");
  return piece;
}

void parse_trainer(std::string_view bytes, SentencePieceModel& model, const std::string& where) {
  for (WireReader reader(bytes, where); reader.next();) {
    switch (reader.field()) {
      case 3:
        require(reader.number() >= 1 && reader.number() <= 4, where, ": SentencePiece model type ",
                reader.number(), " is unknown; there are 1 (unigram), 2 (bpe), 3 (word) and 4 (char)");
        model.kind = static_cast<SentencePieceModel::Kind>(reader.number());
        break;
      case 24:
        model.whitespace_suffix = reader.flag();
        break;
      case 35:
        model.byte_fallback = reader.flag();
        break;
      case 46:
        model.bos = reader.content();
        break;
      case 47:
        model.eos = reader.content();
        break;
      case 48:
        model.pad = reader.content();
        break;
      default:
        break;
    }
  }
}

void parse_normalizer(std::string_view bytes, SentencePieceModel& model, const std::string& where) {
  for (WireReader reader(bytes, where); reader.next();) {
    switch (reader.field()) {
      case 2:
        model.charsmap = reader.content();
        break;
      case 3:
        model.add_dummy_prefix = reader.flag();
        break;
      case 4:
        model.remove_extra_whitespaces = reader.flag();
        break;
      case 5:
        require(reader.flag(), where, ": escape_whitespaces = false is not supported");
        break;
      default:
        break;
    }
  }
}

void parse_denormalizer(std::string_view bytes, const std::string& where) {
  for (WireReader reader(bytes, where); reader.next();) {
    require(reader.field() != 2 || reader.content().empty(), where, ": a denormalizer is not supported");
  }
}

}  // namespace

SentencePieceModel parse_sentencepiece(std::string_view bytes, const std::string& where) {
  SentencePieceModel model;
  for (WireReader reader(bytes, where); reader.next();) {
    switch (reader.field()) {
      case 1:
        require(model.pieces.size() < kMaxPieces, where, ": more than ", kMaxPieces, " pieces");
        model.pieces.push_back(parse_piece(reader.content(), where));
        break;
      case 2:
        parse_trainer(reader.content(), model, where);
        break;
      case 3:
        parse_normalizer(reader.content(), model, where);
        break;
      case 5:
        parse_denormalizer(reader.content(), where);
        break;
      default:
        break;
    }
  }
  require(!model.pieces.empty(), where, ": not a SentencePiece model: it holds no pieces");
  for (const SentencePiece& piece : model.pieces) {
    require(piece.type != PieceType::Unused || model.kind == SentencePieceModel::Kind::Unigram, where,
            ": piece '", piece.text, "' is of type UNUSED, which is supported in a unigram model only");
  }
  return model;
}

}  // namespace lathe
