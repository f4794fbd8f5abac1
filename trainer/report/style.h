#pragma once
// The style sheet of report.html. One set of colours for light, one for dark; prints well.
namespace lathe {

inline constexpr const char* kReportStyle = R"css(
:root {
  color-scheme: light dark;
  --page: #f7f7f5; --card: #ffffff; --ink: #1d2126; --quiet: #5d6670; --rule: #e2e4e1; --grid: #eceeeb;
  --train: #2257c9; --validation: #c2410c; --other: #0f766e; --bar: #c7d6f5;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171a; --card: #1c2024; --ink: #e7e9ea; --quiet: #9aa4ad; --rule: #31373d; --grid: #2a2f34;
    --train: #82aaff; --validation: #ff9d5c; --other: #5fd3c4; --bar: #2f456f;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 36px 0 12px; }
.subtitle, footer { color: var(--quiet); margin: 0; }
footer { margin-top: 48px; border-top: 1px solid var(--rule); padding-top: 12px; font-size: 13px; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); gap: 12px;
  margin: 24px 0; padding: 0; }
.numbers div { background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 12px 14px; }
.numbers dt { color: var(--quiet); font-size: 13px; }
.numbers dd { margin: 0; font-size: 22px; font-variant-numeric: tabular-nums; letter-spacing: -0.01em; }
.numbers small { display: block; color: var(--quiet); font-size: 12px; letter-spacing: 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 16px; }
figure.plot { margin: 0; background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 14px 14px 8px; }
figcaption { font-weight: 600; display: flex; flex-wrap: wrap; gap: 4px 16px;
  justify-content: space-between; margin-bottom: 6px; }
.legend { font-weight: 400; font-size: 13px; color: var(--quiet); display: flex; flex-wrap: wrap;
  gap: 0 14px; }
.key::before { content: ""; display: inline-block; width: 14px; height: 3px; border-radius: 2px;
  margin-right: 6px;
  vertical-align: middle; background: currentColor; }
.key.raw::before, .key.train::before { background: var(--train); }
.key.raw::before { opacity: 0.4; }
.key.validation::before { background: var(--validation); }
.key.other::before { background: var(--other); }
svg { display: block; width: 100%; height: auto; }
.grid { stroke: var(--grid); } .axis { stroke: var(--quiet); stroke-opacity: 0.6; }
.tick { fill: var(--quiet); font-size: 13px; font-variant-numeric: tabular-nums; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.line.raw { stroke: var(--train); stroke-width: 1; stroke-opacity: 0.4; }
.line.train { stroke: var(--train); } .line.validation { stroke: var(--validation);
  } .line.other { stroke: var(--other); }
.dot { stroke: var(--card); stroke-width: 1.5; }
.dot.validation { fill: var(--validation); } .dot.other { fill: var(--other); }
.hover { fill: transparent; } .hover:hover { fill: var(--quiet); fill-opacity: 0.12; }
.table { overflow-x: auto; background: var(--card); border: 1px solid var(--rule); border-radius: 10px; }
.table + .table { margin-top: 12px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 10px 14px 4px; }
th, td { text-align: right; padding: 6px 14px; border-top: 1px solid var(--rule); white-space: nowrap; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
thead th { border-top: 0; color: var(--quiet); font-weight: 500; font-size: 13px; }
tr.best td, tr.best th { font-weight: 600; }
th[scope=row] { font-weight: 400; }
td.bar { width: 45%; min-width: 120px; }
td.bar span { display: block; height: 10px; border-radius: 3px; background: var(--bar); min-width: 1px; }
td.text { white-space: pre-wrap; overflow-wrap: anywhere; }
details { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; margin: 8px 0; }
summary { cursor: pointer; padding: 9px 14px; font-weight: 500; }
img.grid { image-rendering: pixelated; max-width: 100%; margin: 8px 0; }
details > div, details > pre { margin: 0; padding: 4px 14px 12px; }
pre, .sample { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  white-space: pre-wrap;
  overflow-wrap: anywhere; margin: 0; }
.sample { border-left: 3px solid var(--rule); padding-left: 12px; margin: 10px 0; }
.sample b { color: var(--train); font-weight: 600; }
@media print { body { background: none; } details:not([open]) { display: none; } }
)css";

}  // namespace lathe
