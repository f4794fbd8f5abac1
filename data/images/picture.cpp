#include "data/images/picture.h"

#include <algorithm>
#include <cmath>

#include "data/images/decoders.h"
#include "data/io/mapped_file.h"
#include "data/io/shell_word.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

std::uint16_t rounded(double value) {
  return static_cast<std::uint16_t>(std::clamp(value + 0.5, 0.0, 65535.0));
}

// What one output place takes of the inputs: a triangle of width 1 around its centre, stretched when
// shrinking.
struct Taps {
  std::int64_t first = 0;
  std::vector<double> weights;
};

std::vector<Taps> triangle_taps(std::int64_t from, std::int64_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to), support = std::max(scale, 1.0);
  std::vector<Taps> all(static_cast<std::size_t>(to));
  for (std::int64_t i = 0; i < to; ++i) {
    Taps& taps = all[static_cast<std::size_t>(i)];
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    taps.first = std::max<std::int64_t>(0, static_cast<std::int64_t>(centre - support + 0.5));
    const std::int64_t last = std::min(from, static_cast<std::int64_t>(centre + support + 0.5));
    double sum = 0;
    for (std::int64_t k = taps.first; k < last; ++k) {
      const double weight = std::max(0.0, 1 - std::fabs((static_cast<double>(k) + 0.5 - centre) / support));
      taps.weights.push_back(weight);
      sum += weight;
    }
    for (double& weight : taps.weights) weight /= sum;
  }
  return all;
}

}  // namespace

void check_size(std::int64_t width, std::int64_t height, const std::string& where,
                const PictureLimits& limits) {
  require(width > 0 && height > 0, where, ": the picture says it is ", width, " x ", height, " pixels");
  require(width <= limits.max_pixels / height, where, ": ", width, " x ", height,
          " pixels are more than the limit of ", limits.max_pixels, "; make the picture smaller");
}

Picture decode_picture(std::span<const std::byte> bytes, const std::string& where,
                       const PictureLimits& limits) {
  if (is_png(bytes)) return decode_png(bytes, where, limits);
  if (is_jpeg(bytes)) return decode_jpeg(bytes, where, limits);
  if (is_webp(bytes)) return decode_webp(bytes, where, limits);
  fail(where, ": neither PNG, JPEG nor WebP by its first bytes; convert it: magick ", shell_word(where),
       " out.png");
}

Picture read_picture(const std::string& path, const PictureLimits& limits) {
  const MappedFile file(path);
  return decode_picture(file.bytes(), path, limits);
}

Picture over_background(Picture picture, double background) {
  if (!picture.has_alpha()) return picture;
  const std::int64_t colors = picture.channels - 1;
  Picture out = picture;
  out.channels = colors;
  out.values.resize(static_cast<std::size_t>(picture.width * picture.height * colors));
  const double behind = background * 65535;
  for (std::int64_t i = 0; i < picture.width * picture.height; ++i) {
    const std::uint16_t* in = &picture.values[static_cast<std::size_t>(i * picture.channels)];
    const double alpha = in[colors] / 65535.0;
    for (std::int64_t c = 0; c < colors; ++c)
      out.values[static_cast<std::size_t>(i * colors + c)] = rounded(in[c] * alpha + behind * (1 - alpha));
  }
  return out;
}

Picture with_channels(Picture picture, std::int64_t channels) {
  require(!picture.has_alpha(), "alpha is laid over a background before channels are chosen");
  if (picture.channels == channels) return picture;
  Picture out = picture;
  out.channels = channels;
  out.values.resize(static_cast<std::size_t>(picture.width * picture.height * channels));
  for (std::size_t i = 0; i < static_cast<std::size_t>(picture.width * picture.height); ++i) {
    if (channels == 1) {
      const std::uint16_t* in = &picture.values[3 * i];
      out.values[i] = rounded(0.299 * in[0] + 0.587 * in[1] + 0.114 * in[2]);
    } else {
      std::fill_n(out.values.begin() + static_cast<std::ptrdiff_t>(3 * i), 3, picture.values[i]);
    }
  }
  return out;
}

Picture mirrored(const Picture& picture) {
  Picture out = upright(picture, 2);
  out.turned = picture.turned;
  return out;
}

Picture cropped(const Picture& picture, std::int64_t left, std::int64_t top, std::int64_t width,
                std::int64_t height) {
  require(left >= 0 && top >= 0 && left + width <= picture.width && top + height <= picture.height,
          "a crop of ", width, " x ", height, " at ", left, ", ", top, " lies outside of ", picture.width,
          " x ", picture.height);
  Picture out = picture;
  out.width = width;
  out.height = height;
  out.values.clear();
  for (std::int64_t y = 0; y < height; ++y) {
    const auto begin = picture.values.begin() + ((top + y) * picture.width + left) * picture.channels;
    out.values.insert(out.values.end(), begin, begin + width * picture.channels);
  }
  return out;
}

// Columns first, then rows, in fp64 between.
Picture resized(const Picture& picture, std::int64_t width, std::int64_t height) {
  if (width == picture.width && height == picture.height) return picture;
  const std::int64_t channels = picture.channels;
  const auto across = triangle_taps(picture.width, width), down = triangle_taps(picture.height, height);
  std::vector<double> middle(static_cast<std::size_t>(picture.height * width * channels));
  for (std::int64_t y = 0; y < picture.height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const Taps& taps = across[static_cast<std::size_t>(x)];
      for (std::int64_t c = 0; c < channels; ++c) {
        double sum = 0;
        for (std::size_t k = 0; k < taps.weights.size(); ++k)
          sum += taps.weights[k] *
                 picture.values[static_cast<std::size_t>(
                     (y * picture.width + taps.first + static_cast<std::int64_t>(k)) * channels + c)];
        middle[static_cast<std::size_t>((y * width + x) * channels + c)] = sum;
      }
    }
  }
  Picture out = picture;
  out.width = width;
  out.height = height;
  out.values.resize(static_cast<std::size_t>(width * height * channels));
  const std::int64_t row = width * channels;
  for (std::int64_t y = 0; y < height; ++y) {
    const Taps& taps = down[static_cast<std::size_t>(y)];
    for (std::int64_t i = 0; i < row; ++i) {
      double sum = 0;
      for (std::size_t k = 0; k < taps.weights.size(); ++k)
        sum += taps.weights[k] *
               middle[static_cast<std::size_t>((taps.first + static_cast<std::int64_t>(k)) * row + i)];
      out.values[static_cast<std::size_t>(y * row + i)] = rounded(sum);
    }
  }
  return out;
}

}  // namespace lathe
