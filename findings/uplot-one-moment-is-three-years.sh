#!/bin/sh
# uPlot 1.6.32, seen on 2026-11-29: a chart of a single moment.
#
# The good guess: its axis has some minutes or hours around the moment; a function `range` of the scale is told the moment twice.
# Seen: the axis has 1,000 days, from the moment on: where there is one moment, the end is a day later, in milliseconds, though times are in seconds. A
# `range` is told these 1,000 days as if they were in the data. Moments without values beside the one mend it.
# Ends with 1 if any of this is no longer so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund uplot@1.6.32 jsdom@26.1.0
cat >drawn.cjs <<'JS'
const {JSDOM} = require("jsdom");
const {window} = new JSDOM("<div id=chart></div>", {pretendToBeVisual: true});
const context = new Proxy({}, {get: (_, name) => (name === "measureText" ? () => ({width: 10}) : () => undefined), set: () => true});
window.HTMLCanvasElement.prototype.getContext = () => context;
Object.assign(window, {matchMedia: () => ({addEventListener() {}, addListener() {}, removeEventListener() {}}), Path2D: class { constructor() { return context; } }});
for (const name of ["window", "document", "navigator", "matchMedia", "Path2D", "devicePixelRatio", "CustomEvent", "HTMLElement"])
  Object.defineProperty(globalThis, name, {value: name === "window" ? window : window[name] ?? 1, configurable: true});
globalThis.requestAnimationFrame = window.requestAnimationFrame.bind(window);
globalThis.getComputedStyle = window.getComputedStyle.bind(window);
const uPlot = require("uplot");
let told = 0;
const range = (_, first, last) => { told = last - first; return [first, last]; };
const options = {width: 300, height: 100, scales: {x: {range}}, series: [{}, {}]};
const plot = new uPlot(options, [[1_800_000_000], [1]], window.document.getElementById("chart"));
queueMicrotask(() => queueMicrotask(() => {
  const days = (plot.scales.x.max - plot.scales.x.min) / 86_400;
  console.log(`one moment: an axis of ${days.toFixed(0)} days, and a range that is told of ${(told / 86_400).toFixed(0)}`);
  process.exit(days > 900 && told > 900 * 86_400 ? 0 : 1);
}));
JS
node drawn.cjs
