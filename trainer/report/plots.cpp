#include "trainer/report/plots.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "recipes/schema/error.h"
#include "trainer/report/format.h"
#include "trainer/report/html.h"
#include "trainer/report/metrics.h"

namespace lathe {
namespace {

constexpr double kWidth = 640, kHeight = 300;
constexpr double kLeft = 62, kRight = 14, kTop = 12, kBottom = 38;
constexpr double kPlotWidth = kWidth - kLeft - kRight, kPlotHeight = kHeight - kTop - kBottom;
constexpr std::size_t kHoverColumns = 100;

struct Frame {
  double x_low = 0, x_high = 1, y_low = 0, y_high = 1;
  double x(double value) const { return kLeft + (value - x_low) / (x_high - x_low) * kPlotWidth; }
  double y(double value) const { return kTop + (y_high - value) / (y_high - y_low) * kPlotHeight; }
};

std::string at(double value) { return format_fixed(value, 1); }

std::string value_text(const Plot& plot, double value) {
  if (plot.scientific) return format_scientific(value, 2);
  return std::fabs(value) >= 10000 ? format_count(value) : format_significant(value, 5);
}

// Single spikes must not flatten the rest: beyond three times the span of 1 % to 99 %, the axis is cut.
std::pair<double, double> y_range(const Plot& plot) {
  std::vector<double> values;
  for (const auto& series : plot.series) {
    for (const auto& [x, y] : series.points) {
      if (std::isfinite(y)) values.push_back(y);
    }
  }
  if (values.empty()) return {0, 1};
  std::sort(values.begin(), values.end());
  const auto quantile = [&](double q) {
    return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
  };
  const double low = quantile(0.01), high = quantile(0.99), span = high - low;
  double bottom = values.front(), top = values.back();
  if (values.size() >= 50 && span > 0) {
    bottom = std::max(bottom, low - 2 * span);
    top = std::min(top, high + 2 * span);
  }
  if (plot.from_zero) bottom = std::min(0.0, bottom);
  top = std::max(top, plot.lowest_maximum);
  const double margin = top > bottom ? 0.04 * (top - bottom) : std::max(std::fabs(top) * 0.1, 1e-12);
  return {plot.from_zero && bottom >= 0 ? 0 : bottom - margin, top + margin};
}

Frame make_frame(const Plot& plot) {
  Frame frame;
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const auto& series : plot.series) {
    for (const auto& [x, y] : series.points) {
      low = std::min(low, x);
      high = std::max(high, x);
    }
  }
  if (low >= high) {
    low -= 0.5;
    high += 0.5;
  }
  frame.x_low = low;
  frame.x_high = high;
  std::tie(frame.y_low, frame.y_high) = y_range(plot);
  return frame;
}

std::string tick_text(const Plot& plot, double value) {
  if (plot.scientific) return value == 0 ? "0" : format_scientific(value, 1);
  return std::fabs(value) >= 10000 ? format_count(value) : format_significant(value, 4);
}

std::string axes(const Plot& plot, const Frame& frame) {
  std::string out;
  const double bottom = kTop + kPlotHeight;
  for (const double value : ticks(frame.y_low, frame.y_high, 5)) {
    const std::string y = at(frame.y(value));
    out += cat("<line class=\"grid\" x1=\"", at(kLeft), "\" y1=\"", y, "\" x2=\"", at(kWidth - kRight),
               "\" y2=\"", y, "\"/><text class=\"tick\" text-anchor=\"end\" x=\"", at(kLeft - 7), "\" y=\"",
               at(frame.y(value) + 4), "\">", tick_text(plot, value), "</text>\n");
  }
  for (const double value : ticks(frame.x_low, frame.x_high, 6)) {
    if (value != std::floor(value)) continue;
    out += cat("<text class=\"tick\" text-anchor=\"middle\" x=\"", at(frame.x(value)), "\" y=\"",
               at(bottom + 16), "\">", value >= 10000 ? format_count(value) : format_fixed(value, 0),
               "</text>\n");
  }
  out += cat("<line class=\"axis\" x1=\"", at(kLeft), "\" y1=\"", at(bottom), "\" x2=\"", at(kWidth - kRight),
             "\" y2=\"", at(bottom), "\"/><text class=\"tick\" text-anchor=\"middle\" x=\"",
             at(kLeft + kPlotWidth / 2), "\" y=\"", at(kHeight - 4), "\">step</text>\n");
  return out;
}

std::string line_of(const Series& series, const Frame& frame) {
  std::string path;
  bool open = false;
  for (const auto& [x, y] : series.points) {
    if (!std::isfinite(y)) {
      open = false;
      continue;
    }
    path += (open ? "L" : "M") + at(frame.x(x)) + " " + at(std::clamp(frame.y(y), -1e4, 1e4));
    open = true;
  }
  return "<path class=\"line " + series.style + "\" d=\"" + path + "\"/>\n";
}

std::string markers_of(const Plot& plot, const Series& series, const Frame& frame) {
  std::string out;
  for (const auto& [x, y] : series.points) {
    if (!std::isfinite(y)) continue;
    out += cat("<circle class=\"dot ", series.style, "\" cx=\"", at(frame.x(x)), "\" cy=\"", at(frame.y(y)),
               "\" r=\"3.4\"><title>step ", format_fixed(x, 0), ": ", escape_html(series.name), " ",
               value_text(plot, y), "</title></circle>\n");
  }
  return out;
}

// Invisible columns whose tooltips read the first line's values: the page needs no script.
std::string hover_columns(const Plot& plot, const Frame& frame) {
  const Series& series = plot.series.front();
  const std::size_t count = std::min(series.points.size(), kHoverColumns);
  std::string out;
  for (std::size_t i = 0; i < count && count > 1; ++i) {
    const auto& [x, y] = series.points[i * (series.points.size() - 1) / (count - 1)];
    const double half = kPlotWidth / static_cast<double>(count - 1) / 2;
    out += cat("<rect class=\"hover\" x=\"", at(frame.x(x) - half), "\" y=\"", at(kTop), "\" width=\"",
               at(2 * half), "\" height=\"", at(kPlotHeight), "\"><title>step ", format_fixed(x, 0), ": ",
               escape_html(series.name), " ", value_text(plot, y), "</title></rect>\n");
  }
  return out;
}

std::string description(const Plot& plot) {
  std::string out;
  for (const auto& series : plot.series) {
    const auto finite = [](const std::pair<double, double>& p) { return std::isfinite(p.second); };
    const auto first = std::find_if(series.points.begin(), series.points.end(), finite);
    const auto last = std::find_if(series.points.rbegin(), series.points.rend(), finite);
    if (first == series.points.end()) continue;
    out += cat(series.name, ": from ", value_text(plot, first->second), " at step ",
               format_fixed(first->first, 0), " to ", value_text(plot, last->second), " at step ",
               format_fixed(last->first, 0), ". ");
  }
  return out;
}

}  // namespace

Points smoothed(const Points& points, double window) {
  const double decay = window > 1 ? 1 - 1 / window : 0;
  double sum = 0, weight = 0;
  Points out;
  for (const auto& [x, y] : points) {
    if (!std::isfinite(y)) continue;
    sum = decay * sum + (1 - decay) * y;
    weight = decay * weight + (1 - decay);
    out.emplace_back(x, sum / weight);
  }
  return out;
}

Points thinned(const Points& points, std::size_t columns) {
  if (points.size() <= 2 * columns) return points;
  Points out;
  for (std::size_t column = 0; column < columns; ++column) {
    const auto begin = points.begin() + static_cast<std::ptrdiff_t>(column * points.size() / columns);
    const auto end = points.begin() + static_cast<std::ptrdiff_t>((column + 1) * points.size() / columns);
    auto low = end, high = end;
    for (auto at_point = begin; at_point != end; ++at_point) {
      if (!std::isfinite(at_point->second)) continue;
      if (low == end || at_point->second < low->second) low = at_point;
      if (high == end || at_point->second > high->second) high = at_point;
    }
    if (low == end) continue;
    out.push_back(std::min(*low, *high));
    if (low != high) out.push_back(std::max(*low, *high));
  }
  return out;
}

std::vector<double> ticks(double low, double high, int wanted) {
  if (!(high > low)) return {low};
  const double rough = (high - low) / wanted;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough) {
      step = factor * power;
      break;
    }
  }
  std::vector<double> out;
  for (double i = std::ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; ++i)
    out.push_back(i * step + 0.0);
  return out;
}

std::string render_plot(const Plot& plot) {
  Plot drawn = plot;
  std::erase_if(drawn.series, [](const Series& series) {
    return std::none_of(series.points.begin(), series.points.end(),
                        [](const auto& p) { return std::isfinite(p.second); });
  });
  if (drawn.series.empty()) return "";
  const Frame frame = make_frame(drawn);
  std::string out =
      "<figure class=\"plot\"><figcaption>" + escape_html(plot.title) + "<span class=\"legend\">";
  for (const auto& series : drawn.series) {
    out += "<span class=\"key " + series.style + "\">" + escape_html(series.name) + "</span>";
  }
  const std::string id = escape_html(plot.id);
  out +=
      cat("</span></figcaption>\n<svg viewBox=\"0 0 ", kWidth, " ", kHeight,
          "\" role=\"img\" aria-labelledby=\"", id, "-title ", id, "-text\">\n<title id=\"", id, "-title\">",
          escape_html(plot.title), "</title><desc id=\"", id, "-text\">", escape_html(description(drawn)),
          "</desc>\n<clipPath id=\"", id, "-clip\"><rect x=\"", at(kLeft), "\" y=\"", at(kTop), "\" width=\"",
          at(kPlotWidth), "\" height=\"", at(kPlotHeight), "\"/></clipPath>\n");
  out += axes(drawn, frame) + "<g clip-path=\"url(#" + id + "-clip)\">\n";
  for (const auto& series : drawn.series) out += line_of(series, frame);
  out += "</g>\n" + hover_columns(drawn, frame);
  for (const auto& series : drawn.series) {
    if (series.markers) out += markers_of(drawn, series, frame);
  }
  return out + "</svg></figure>\n";
}

}  // namespace lathe
