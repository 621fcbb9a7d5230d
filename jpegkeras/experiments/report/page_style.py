"""The style sheet of the page: one column on a telephone, light and dark."""

from __future__ import annotations

from jpegkeras.experiments.report.palette import FAINT, FILL, GRID, INK, css_variables

_SHEET = """
:root { color-scheme: light dark; --ground: #ffffff; --card: #f6f8fa; --ink: INK; --faint: FAINT;
  --grid: GRID; --fill: FILL; --link: #0b5fa5; --good: #1a7f4b; --bad: #b3261e;
  --badground: #fdecea; --note: #fff7e0; --notebar: #d99a00; LIGHT }
@media (prefers-color-scheme: dark) {
  :root { --ground: #12161b; --card: #1a2027; --ink: #e4e9ee; --faint: #9aa6b2; --grid: #333c46;
    --fill: #3d8fd6; --link: #7cbcf5; --good: #5cc98d; --bad: #ff8f86; --badground: #3b1e1d;
    --note: #2c2613; --notebar: #d9a520; DARK }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.5; font-size: 16px;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans",
    "Liberation Sans", Arial, sans-serif; overflow-wrap: anywhere; }
main { max-width: 74rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0.5rem 0 0.25rem; }
h2 { font-size: 1.3rem; margin: 3rem 0 0.4rem; padding-top: 0.7rem;
  border-top: 1px solid var(--grid); }
h3 { font-size: 1.05rem; margin: 1.8rem 0 0.25rem; }
p { margin: 0.4rem 0 0.8rem; max-width: 48rem; }
a { color: var(--link); text-decoration-thickness: 1px; text-underline-offset: 2px; }
.lead, .caption, figcaption, .faint { color: var(--faint); }
.caption, figcaption { font-size: 0.88rem; }
nav { display: flex; flex-wrap: wrap; gap: 0.3rem 1rem; margin: 1rem 0; font-size: 0.92rem; }
.note { background: var(--note); border-left: 4px solid var(--notebar); border-radius: 4px;
  padding: 0.7rem 1rem; margin: 1rem 0; max-width: none; }
.note p { margin: 0.2rem 0; max-width: none; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 15.5rem), 1fr));
  gap: 0.9rem; margin: 1rem 0; }
.facts section { background: var(--card); border-radius: 8px; padding: 0.8rem 1rem; min-width: 0; }
.facts h3 { margin: 0 0 0.3rem; }
dl { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: 0.1rem 0.8rem; margin: 0;
  font-size: 0.9rem; }
dt { color: var(--faint); overflow-wrap: normal; }
dd { margin: 0; }
.bar { display: flex; height: 10px; border-radius: 5px; overflow: hidden; background: var(--grid);
  margin: 0.5rem 0; }
.bar i { display: block; }
.bar .done { background: var(--good); }
.bar .failed { background: var(--bad); }
.scroll { overflow-x: auto; border: 1px solid var(--grid); border-radius: 8px; margin: 0.6rem 0;
  max-width: 100%; width: fit-content; }
.scroll:focus-visible { outline: 2px solid var(--link); }
table { border-collapse: separate; border-spacing: 0; font-size: 0.92rem;
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: 0.42rem 0.8rem; text-align: right; vertical-align: top; white-space: nowrap;
  border-bottom: 1px solid var(--grid); }
tbody tr:last-child > * { border-bottom: 0; }
th { font-weight: 600; }
thead th { background: var(--card); vertical-align: bottom; }
thead tr.sub th { font-weight: 400; color: var(--faint); font-size: 0.82rem; padding-top: 0; }
thead tr.over th { border-bottom: 0; text-align: center; }
tbody th, thead tr:first-child th:first-child { text-align: left; position: sticky; left: 0;
  z-index: 1; }
tbody th { background: var(--ground); }
th.name::before { content: ""; display: inline-block; width: 0.62em; height: 0.62em;
  border-radius: 50%; background: var(--net, transparent); margin-right: 0.45em; }
.left { text-align: left; }
td.ours { border-left: 1px solid var(--grid); padding-right: 0.5rem; }
td.paper { padding-left: 0.5rem; color: var(--faint); }
td.base { background: var(--card); }
.wide { white-space: normal; min-width: 16rem; text-align: left; }
.value { font-weight: 600; font-size: 1rem; }
.small { display: block; font-size: 0.8rem; color: var(--faint); font-weight: 400; }
.state { font-size: 0.82rem; border-radius: 1em; padding: 0.05em 0.6em;
  border: 1px solid var(--grid); color: var(--faint); display: inline-block; }
.state.failed { border-color: var(--bad); color: var(--bad); background: var(--badground); }
details { margin: 0.4rem 0 1rem; font-size: 0.9rem; }
summary { cursor: pointer; color: var(--link); padding: 0.25rem 0; }
details table { font-size: 0.82rem; }
details .scroll { max-height: 26rem; overflow-y: auto; }
details thead th { position: sticky; top: 0; z-index: 2; }
:target > * { background: var(--note); }
.pair { display: flex; flex-wrap: wrap; gap: 0.5rem 2.5rem; align-items: flex-start; }
.pair > :first-child { min-width: 0; max-width: 100%; }
.pair > .plots { flex: 1 1 26rem; min-width: 0; max-width: 36rem; margin: 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr));
  gap: 1.2rem 1.8rem; align-items: start; margin: 1rem 0; }
figure { margin: 0; min-width: 0; max-width: 36rem; }
figure h4 { margin: 0 0 0.2rem; font-size: 0.98rem; }
figure svg { display: block; width: 100%; height: auto; }
figure svg * { stroke-linejoin: round; stroke-linecap: butt; }
figure svg text { font-family: inherit !important; }
code { font-family: ui-monospace, "SF Mono", "Cascadia Mono", "Liberation Mono", monospace;
  font-size: 0.9em; }
footer { margin-top: 3rem; color: var(--faint); font-size: 0.85rem; }
@media (max-width: 40rem) {
  main { padding: 0.8rem 0.9rem 3rem; }
  h1 { font-size: 1.4rem; }
  th, td { padding: 0.4rem 0.55rem; }
}
@media print { nav, details:not([open]) { display: none; } .scroll { overflow: visible; } }
"""


def style_sheet() -> str:
    """Returns the CSS, with the colours of the plots."""
    light, dark = (
        " ".join(f"--{name}: {value};" for name, value in colors.items())
        for colors in css_variables()
    )
    sheet = _SHEET.replace("LIGHT", light).replace("DARK", dark)
    for name, color in (("INK", INK), ("FAINT", FAINT), ("GRID", GRID), ("FILL", FILL)):
        sheet = sheet.replace(f" {name};", f" {color};")
    return sheet.strip()
