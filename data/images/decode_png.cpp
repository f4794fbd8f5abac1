// libpng with its own error handler: an error jumps out of C code that holds no C++ object, and becomes an
// Error after.
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>

#include "data/images/decoders.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

struct Source {
  std::span<const std::byte> bytes;
  std::size_t at = 0;
  char message[160] = {};
  std::jmp_buf jump = {};
};

void on_error(png_structp png, png_const_charp text) {
  auto* source = static_cast<Source*>(png_get_error_ptr(png));
  std::snprintf(source->message, sizeof source->message, "%s", text);
  std::longjmp(source->jump, 1);
}

void on_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep out, std::size_t count) {
  auto* source = static_cast<Source*>(png_get_io_ptr(png));
  if (count > source->bytes.size() - source->at) png_error(png, "the file ends too early");
  std::memcpy(out, source->bytes.data() + source->at, count);
  source->at += count;
}

struct Header {
  std::int64_t width = 0, height = 0, channels = 0;
  int depth = 0;
};

// C style: nothing here needs a destructor, so that longjmp may leave it. False: source.message says why.
bool read_header(png_structp png, png_infop info, Source& source, Header& header) {
  if (setjmp(source.jump)) return false;
  png_set_read_fn(png, &source, read_bytes);
  png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
  png_set_chunk_cache_max(png, 1000);
  png_set_chunk_malloc_max(png, 64u << 20);
  png_read_info(png, info);
  header.depth = png_get_bit_depth(png, info);
  const int color = png_get_color_type(png, info);
  if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (color == PNG_COLOR_TYPE_GRAY && header.depth < 8) png_set_expand_gray_1_2_4_to_8(png);
  if (png_get_valid(png, info, PNG_INFO_tRNS)) png_set_tRNS_to_alpha(png);
  if (header.depth == 16) png_set_swap(png);  // to this machine's little-endian order
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  header.width = png_get_image_width(png, info);
  header.height = png_get_image_height(png, info);
  header.channels = png_get_channels(png, info);
  return true;
}

bool read_rows(png_structp png, Source& source, png_bytepp rows) {
  if (setjmp(source.jump)) return false;
  png_read_image(png, rows);
  png_read_end(png, nullptr);
  return true;
}

}  // namespace

bool is_png(std::span<const std::byte> bytes) {
  return bytes.size() >= 8 && png_sig_cmp(reinterpret_cast<png_const_bytep>(bytes.data()), 0, 8) == 0;
}

Picture decode_png(std::span<const std::byte> bytes, const std::string& where, const PictureLimits& limits) {
  Source source;
  source.bytes = bytes;
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, on_error, on_warning);
  require(png, where, ": libpng does not start");
  png_infop info = png_create_info_struct(png);
  struct Closer {
    png_structp* png;
    png_infop* info;
    ~Closer() { png_destroy_read_struct(png, info, nullptr); }
  } closer{&png, &info};
  Header header;
  require(info && read_header(png, info, source, header), where, ": damaged PNG: ", source.message);
  check_size(header.width, header.height, where, limits);
  const bool wide = header.depth == 16;
  const auto row_bytes = static_cast<std::size_t>(header.width * header.channels) * (wide ? 2 : 1);
  std::vector<png_byte> data(row_bytes * static_cast<std::size_t>(header.height));
  std::vector<png_bytep> rows(static_cast<std::size_t>(header.height));
  for (std::size_t y = 0; y < rows.size(); ++y) rows[y] = data.data() + y * row_bytes;
  require(read_rows(png, source, rows.data()), where, ": damaged PNG: ", source.message);
  Picture picture;
  picture.width = header.width;
  picture.height = header.height;
  picture.channels = header.channels;
  picture.deep = wide;
  picture.values.resize(data.size() / (wide ? 2 : 1));
  if (wide) {
    std::memcpy(picture.values.data(), data.data(), data.size());
  } else {
    std::transform(data.begin(), data.end(), picture.values.begin(),
                   [](png_byte v) { return static_cast<std::uint16_t>(v * 257); });
  }
  int orientation = 1;
#ifdef PNG_eXIf_SUPPORTED
  png_bytep exif = nullptr;
  png_uint_32 exif_bytes = 0;
  if (png_get_eXIf_1(png, info, &exif_bytes, &exif))
    orientation = exif_orientation({reinterpret_cast<const std::byte*>(exif), exif_bytes});
#endif
  return upright(std::move(picture), orientation);
}

namespace {

void append(png_structp png, png_bytep bytes, std::size_t count) {
  static_cast<std::string*>(png_get_io_ptr(png))->append(reinterpret_cast<const char*>(bytes), count);
}

bool write_rows(png_structp png, png_infop info, Source& source, const Picture& picture, png_bytepp rows) {
  if (setjmp(source.jump)) return false;
  const int colors[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                        PNG_COLOR_TYPE_RGB_ALPHA};
  png_set_IHDR(png, info, static_cast<png_uint_32>(picture.width), static_cast<png_uint_32>(picture.height),
               8, colors[picture.channels - 1], PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  png_write_image(png, rows);
  png_write_end(png, info);
  return true;
}

}  // namespace

std::string encode_png(const Picture& picture) {
  Source source;
  std::string out;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &source, on_error, on_warning);
  require(png, "libpng does not start");
  png_infop info = png_create_info_struct(png);
  struct Closer {
    png_structp* png;
    png_infop* info;
    ~Closer() { png_destroy_write_struct(png, info); }
  } closer{&png, &info};
  png_set_write_fn(png, &out, append, nullptr);
  std::vector<png_byte> data(picture.values.size());
  std::transform(picture.values.begin(), picture.values.end(), data.begin(),
                 [](std::uint16_t v) { return static_cast<png_byte>((v + 128) / 257); });
  std::vector<png_bytep> rows(static_cast<std::size_t>(picture.height));
  for (std::size_t y = 0; y < rows.size(); ++y)
    rows[y] = data.data() + y * static_cast<std::size_t>(picture.width * picture.channels);
  require(info && write_rows(png, info, source, picture, rows.data()),
          "a picture could not be written as PNG: ", source.message);
  return out;
}

}  // namespace lathe
