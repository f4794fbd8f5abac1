// libjpeg with its own error handler, as decode_png.
#include <cstddef>
#include <cstdio>
// jpeglib.h wants both of them first.
#include <jpeglib.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>

#include "data/images/decoders.h"
#include "data/io/shell_word.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

struct ErrorHandler {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX] = "";
};

void on_error(j_common_ptr info) {
  auto* handler = reinterpret_cast<ErrorHandler*>(info->err);
  info->err->format_message(info, handler->message);
  std::longjmp(handler->jump, 1);
}

// Corrupt data that libjpeg would paint over is an error here: a half-grey picture is no example.
void on_message(j_common_ptr info, int level) {
  if (level < 0) on_error(info);
}

// C style as in decode_png: no destructors between setjmp and longjmp.
bool read_header(jpeg_decompress_struct& info, ErrorHandler& handler, std::span<const std::byte> bytes) {
  if (setjmp(handler.jump)) return false;
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_save_markers(&info, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&info, TRUE);
  info.out_color_space = info.jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_calc_output_dimensions(&info);
  return true;
}

bool read_rows(jpeg_decompress_struct& info, ErrorHandler& handler, JSAMPLE* data, std::size_t row_bytes) {
  if (setjmp(handler.jump)) return false;
  jpeg_start_decompress(&info);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = data + info.output_scanline * row_bytes;
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  return true;
}

int orientation_of(const jpeg_decompress_struct& info) {
  for (const jpeg_marker_struct* marker = info.marker_list; marker; marker = marker->next) {
    if (marker->data_length > 6 && std::memcmp(marker->data, "Exif\0\0", 6) == 0)
      return exif_orientation(
          {reinterpret_cast<const std::byte*>(marker->data) + 6, marker->data_length - 6});
  }
  return 1;
}

}  // namespace

bool is_jpeg(std::span<const std::byte> bytes) {
  return bytes.size() >= 3 && bytes[0] == std::byte{0xFF} && bytes[1] == std::byte{0xD8} &&
         bytes[2] == std::byte{0xFF};
}

Picture decode_jpeg(std::span<const std::byte> bytes, const std::string& where, const PictureLimits& limits) {
  jpeg_decompress_struct info{};
  ErrorHandler handler{};
  info.err = jpeg_std_error(&handler.base);
  handler.base.error_exit = on_error;
  handler.base.emit_message = on_message;
  jpeg_create_decompress(&info);
  struct Closer {
    jpeg_decompress_struct* info;
    ~Closer() { jpeg_destroy_decompress(info); }
  } closer{&info};
  require(read_header(info, handler, bytes), where, ": damaged JPEG: ", handler.message);
  if (info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK)
    fail(where,
         ": a JPEG in CMYK, which has no one meaning without its colour profile; convert it to RGB first: "
         "magick ",
         shell_word(where), " -colorspace sRGB out.png");
  const int orientation = orientation_of(info);  // the markers go with the last row
  Picture picture;
  picture.width = info.output_width;
  picture.height = info.output_height;
  check_size(picture.width, picture.height, where, limits);
  picture.channels = info.out_color_space == JCS_GRAYSCALE ? 1 : 3;
  const auto row_bytes = static_cast<std::size_t>(picture.width * picture.channels);
  std::vector<JSAMPLE> data(row_bytes * static_cast<std::size_t>(picture.height));
  require(read_rows(info, handler, data.data(), row_bytes), where, ": damaged JPEG: ", handler.message);
  picture.values.resize(data.size());
  std::transform(data.begin(), data.end(), picture.values.begin(),
                 [](JSAMPLE v) { return static_cast<std::uint16_t>(v * 257); });
  return upright(std::move(picture), orientation);
}

}  // namespace lathe
