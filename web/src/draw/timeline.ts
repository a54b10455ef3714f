/**
 * The timeline on a canvas. A row of a lane is first drawn as a line of texels, a pixel a column, and stretched to its height: the cost follows from
 * the pixels, not from the spans. What has failed, or is to stand out, is drawn over the rest, so that it is seen however far away one looks.
 */
import { FAILED, INTERRUPTED, firstAfter, type Layer, type Row, type Spans } from "../state/spans";
import type { ColourName, Colours } from "../state/theme";

/** Pixels on either side of the time, so that a mark of what happened first or last is seen whole. */
export const EDGE = 8;

export interface Place {
  top: number;
  height: number;
}

export interface Lane extends Place {
  rows: Place[];
}

export interface Layout {
  lanes: Lane[];
  height: number;
}

const THIN = 5;
/** Pixels that a row's longest span has to have for the row to have its full height. */
const SEEN = 10;
/** Pixels between two rows. */
const BETWEEN = 2;
/** The least height of a row that has room for names. */
const NAMED = 12;

/**
 * Where the lanes lie, and their rows in them; on a narrow screen the lanes' names stand above them. A row in which nothing is long enough to be told
 * from a mark is thin, until one looks closer: that hangs on the scale, in microseconds a pixel, and not on which part of the time is shown.
 */
export function layout(spans: Spans, all: Layer, scale: number, narrow: boolean): Layout {
  const many = spans.json.lanes.reduce((sum, lane) => sum + lane.rows, 0);
  const full = many > 90 ? 9 : many > 50 ? 13 : 17;
  let top = 0;
  const lanes = all.map((of) => {
    let below = top + (narrow ? 20 : 5);
    const rows = of.map((row, place) => {
      const height = place && row.longest < SEEN * scale ? THIN : full;
      below += height;
      return { top: below - height, height };
    });
    const lane = { top, height: Math.max(below + 5 - top, narrow ? 40 : 28), rows };
    top += lane.height;
    return lane;
  });
  return { lanes, height: top };
}

export interface Scene {
  spans: Spans;
  layout: Layout;
  all: Layer;
  failed: Layer;
  /** What is to stand out; the rest is dimmed then. */
  bright: Layer | null;
  view: [number, number];
  scroll: number;
  width: number;
  height: number;
  ratio: number;
  colours: Colours;
  /** A colour of its own for some spans: what their rounds came to. */
  tint: Uint8Array;
  /** What a span is called instead of by its name. */
  titles: Map<number, string>;
  selected: number;
  hovered: number;
  gaps: { lane: number; row: number; start: number; end: number; text: string }[];
  until: number | null;
}

export const TINTS: ColourName[] = ["round", "round-answer", "round-vote", "round-lost", "round-failed"];
const KINDS: ColourName[] = ["other", "session", "round", "model", "tool", "agent", "other"];
/** Colours on which the paper's own is read best. */
const STRONG = new Set<ColourName>(["model", "tool", "agent"]);
const LABEL_LEAST = 40;
const CHARACTER = 6.2;
/** Pixels from the middle of an event's mark to where a label may begin or end. */
const BESIDE = 9;

export function draw(context: CanvasRenderingContext2D, scene: Scene): void {
  const { width, height, ratio, colours, layout: at, scroll } = scene;
  context.setTransform(ratio, 0, 0, ratio, EDGE * ratio, 0);
  context.globalAlpha = 1;
  context.fillStyle = colours.paper;
  context.fillRect(-EDGE, 0, width + 2 * EDGE, height);
  const palette = new Palette(colours);
  const dim = scene.bright !== null;
  at.lanes.forEach((lane, place) => {
    const top = lane.top - scroll;
    if (top > height || top + lane.height < 0) return;
    context.globalAlpha = 1;
    context.fillStyle = place % 2 ? colours.paper : colours.wash;
    context.fillRect(-EDGE, top, width + 2 * EDGE, lane.height);
  });
  grid(context, scene);
  texels(context, scene, scene.all, palette, dim ? 0.22 : 1, false);
  if (scene.bright) texels(context, scene, scene.bright, palette, 1, true);
  gaps(context, scene);
  texels(context, scene, scene.failed, palette, dim ? 0.5 : 1, true, palette.of("failed"));
  labels(context, scene, dim);
  events(context, scene, dim);
  outline(context, scene, scene.hovered, colours.soft, 1);
  outline(context, scene, scene.selected, colours.accent, 2);
  if (scene.until !== null) curtain(context, scene);
}

class Palette {
  private readonly kinds: Uint32Array;
  private readonly tints: Uint32Array;

  constructor(private readonly colours: Colours) {
    this.kinds = Uint32Array.from(KINDS, (name) => texel(colours[name]));
    this.tints = Uint32Array.from(TINTS, (name) => texel(colours[name]));
  }

  of(name: ColourName): number {
    return texel(this.colours[name]);
  }

  span(scene: Scene, place: number): number {
    return scene.tint[place] ? this.tints[scene.tint[place]] : this.kinds[scene.spans.kind[place]];
  }
}

function texel(colour: string): number {
  const value = Number.parseInt(colour.slice(1), 16);
  return ((255 << 24) | ((value & 255) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

let line: HTMLCanvasElement | null = null;
let pixels: ImageData | null = null;

/** One canvas of a pixel a row, for all rows that are in view. */
function texels(
  context: CanvasRenderingContext2D, scene: Scene, layer: Layer, palette: Palette, alpha: number, atLeastTwo: boolean, colour: number | null = null,
): void {
  const { width, height, layout: at, scroll } = scene;
  const seen: { row: Row; top: number; high: number }[] = [];
  layer.forEach((rows, lane) =>
    rows.forEach((row, place) => {
      const { top, height: high } = at.lanes[lane].rows[place];
      const y = top - scroll;
      if (row.places.length && y < height && y + high > 0) seen.push({ row, top: y, high: high - BETWEEN });
    }),
  );
  if (!seen.length || width < 1) return;
  line ??= document.createElement("canvas");
  if (line.width !== width || line.height < seen.length) {
    line.width = width;
    line.height = Math.max(seen.length, 64);
    pixels = null;
  }
  const small = line.getContext("2d", { willReadFrequently: true })!;
  if (!pixels || pixels.width !== width || pixels.height < seen.length) pixels = new ImageData(width, line.height);
  const words = new Uint32Array(pixels.data.buffer);
  words.fill(0, 0, width * seen.length);
  seen.forEach(({ row }, place) => fill(words.subarray(place * width, (place + 1) * width), row, scene, palette, atLeastTwo, colour));
  small.putImageData(pixels, 0, 0, 0, 0, width, seen.length);
  context.imageSmoothingEnabled = false;
  context.globalAlpha = alpha;
  seen.forEach(({ top, high }, place) => context.drawImage(line!, 0, place, width, 1, 0, top, width, high));
  context.globalAlpha = 1;
}

function fill(words: Uint32Array, row: Row, scene: Scene, palette: Palette, atLeastTwo: boolean, colour: number | null): void {
  const [from, to] = scene.view;
  const width = words.length;
  const scale = width / (to - from);
  const { starts, ends, places } = row;
  const least = atLeastTwo ? 2 : 1;
  let place = firstAfter(ends, from);
  while (place < places.length && starts[place] < to) {
    const span = places[place];
    const left = Math.max(0, Math.floor((starts[place] - from) * scale));
    const exact = Math.min(width, Math.floor((scene.spans.end[span] - from) * scale));
    const right = Math.min(width, Math.max(exact, left + least));
    // A pixel between neighbours shows where one ends, as long as there is room for it.
    words.fill(colour ?? palette.span(scene, span), left, right - left > 3 && right < width ? right - 1 : right);
    place = right - left <= least ? Math.max(place + 1, firstAfter(starts, from + (left + 1) / scale, place)) : place + 1;
  }
}

function labels(context: CanvasRenderingContext2D, scene: Scene, dim: boolean): void {
  const { layout: at, scroll, width, height, view, colours, spans } = scene;
  const scale = width / (view[1] - view[0]);
  const marked = marks(scene);
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.globalAlpha = dim ? 0.45 : 1;
  scene.all.forEach((rows, lane) => {
    rows.forEach((row, place) => {
      const { top, height: high } = at.lanes[lane].rows[place];
      const y = top - scroll;
      if (high < NAMED || y > height || y + high < 0) return;
      const own = marked.get(lane * 256 + place) ?? [];
      let mark = 0;
      let next = firstAfter(row.ends, view[0]);
      for (let drawn = 0; next < row.places.length && row.starts[next] < view[1] && drawn < 400; ) {
        const span = row.places[next];
        const left = Math.max(0, (row.starts[next] - view[0]) * scale);
        const right = Math.min(width, (spans.end[span] - view[0]) * scale);
        if (right - left >= LABEL_LEAST) {
          drawn++;
          let [begin, end] = [left + 4, right - 4];
          while (mark < own.length && own[mark] + BESIDE < begin) mark++;
          for (let each = mark; each < own.length && own[each] - BESIDE < end; each++) {
            if (own[each] - BESIDE - begin >= LABEL_LEAST) end = own[each] - BESIDE;
            else begin = own[each] + BESIDE;
          }
          const room = Math.floor((end - begin) / CHARACTER);
          const text = scene.titles.get(span) ?? spans.name(span);
          context.fillStyle = spans.flags[span] & (FAILED | INTERRUPTED) || STRONG.has(KINDS[spans.kind[span]])
            ? colours["on-bar"]
            : colours.ink;
          if (room > 3) context.fillText(text.length > room ? `${text.slice(0, room - 1)}…` : text, begin, y + (high - BETWEEN) / 2 + 0.5);
          next++;
        } else {
          // Too narrow for a name: on to the first that ends far enough to the right to be wide enough.
          next = Math.max(next + 1, firstAfter(row.ends, Math.max(row.starts[next], view[0]) + LABEL_LEAST / scale, next));
        }
      }
    });
  });
  context.globalAlpha = 1;
}

/** Where the marks of events stand in each row, in pixels, from left to right. */
function marks({ spans, view, width }: Scene): Map<number, number[]> {
  const scale = width / (view[1] - view[0]);
  const found = new Map<number, number[]>();
  for (let number = firstAfter(spans.eventStarts, view[0] - BESIDE / scale); number < spans.events.length; number++) {
    const place = spans.events[number];
    const x = (spans.start[place] - view[0]) * scale;
    if (x > width + BESIDE) break;
    const key = spans.lane[place] * 256 + spans.row[place];
    const own = found.get(key);
    if (own) own.push(x);
    else found.set(key, [x]);
  }
  return found;
}

const MARKS: ColourName[] = ["soft", "answer", "vote", "lost", "final"];

/** What an event is, by what it is called. */
export function eventColour(name: string): ColourName {
  if (name.startsWith("Agent answer")) return "answer";
  if (name.startsWith("Agent vote")) return "vote";
  if (name.startsWith("Agent restart")) return "lost";
  if (name.startsWith("Winner selected") || name.startsWith("Final answer")) return "final";
  return "soft";
}

function events(context: CanvasRenderingContext2D, scene: Scene, dim: boolean): void {
  const { layout: at, scroll, width, height, view, colours, spans } = scene;
  const scale = width / (view[1] - view[0]);
  const last = new Map<number, number>();
  for (let number = firstAfter(spans.eventStarts, view[0] - 6 / scale); number < spans.events.length; number++) {
    const place = spans.events[number];
    const x = (spans.start[place] - view[0]) * scale;
    if (x > width + 6) break;
    const lane = spans.lane[place];
    const row = at.lanes[lane].rows[spans.row[place]];
    const y = row.top - scroll + (row.height - BETWEEN) / 2;
    if (y < -8 || y > height + 8) continue;
    const name = spans.name(place);
    const colour = eventColour(name);
    // Of many alike in the same place one is enough.
    const key = (lane * 256 + spans.row[place]) * MARKS.length + MARKS.indexOf(colour);
    if (x - (last.get(key) ?? -9) < 3) continue;
    last.set(key, x);
    context.globalAlpha = dim && !scene.bright?.length ? 0.4 : 1;
    const size = colour === "soft" ? 3 : Math.min(Math.max(row.height, 9) / 2, 6);
    context.beginPath();
    if (colour === "final") star(context, x, y, size + 1.5);
    else if (colour === "answer") context.arc(x, y, size - 0.5, 0, 7);
    else if (colour === "vote") {
      context.moveTo(x, y - size);
      context.lineTo(x + size, y + size * 0.8);
      context.lineTo(x - size, y + size * 0.8);
    } else {
      context.moveTo(x, y - size);
      context.lineTo(x + size, y);
      context.lineTo(x, y + size);
      context.lineTo(x - size, y);
    }
    context.closePath();
    context.fillStyle = colours[colour];
    context.strokeStyle = colours.paper;
    context.lineWidth = 1.2;
    context.fill();
    context.stroke();
  }
  context.globalAlpha = 1;
}

function star(context: CanvasRenderingContext2D, x: number, y: number, size: number): void {
  for (let point = 0; point < 10; point++) {
    const [angle, length] = [(point * Math.PI) / 5 - Math.PI / 2, point % 2 ? size * 0.45 : size];
    context[point ? "lineTo" : "moveTo"](x + Math.cos(angle) * length, y + Math.sin(angle) * length);
  }
}

function gaps(context: CanvasRenderingContext2D, scene: Scene): void {
  const { layout: at, scroll, width, height, view, colours } = scene;
  const scale = width / (view[1] - view[0]);
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  for (const gap of scene.gaps) {
    const left = Math.max(-2, (gap.start - view[0]) * scale);
    const right = Math.min(width + 2, (gap.end - view[0]) * scale);
    const { top, height: high } = at.lanes[gap.lane].rows[gap.row];
    const y = top - scroll;
    if (right - left < 6 || y > height || y + high < 0) continue;
    context.strokeStyle = colours.lost;
    context.setLineDash([3, 3]);
    context.lineWidth = 1;
    context.strokeRect(left + 1.5, y + 0.5, right - left - 3, high - 3);
    context.setLineDash([]);
    const room = Math.floor((right - left - 10) / CHARACTER);
    if (room > 6 && high >= NAMED) {
      context.fillStyle = colours.soft;
      context.fillText(gap.text.length > room ? `${gap.text.slice(0, room - 1)}…` : gap.text, left + 6, y + (high - BETWEEN) / 2 + 0.5);
    }
  }
}

function outline(context: CanvasRenderingContext2D, scene: Scene, place: number, colour: string, thickness: number): void {
  if (place < 0) return;
  const box = boxOf(scene, place);
  if (!box) return;
  context.strokeStyle = colour;
  context.lineWidth = thickness;
  context.strokeRect(box.left - thickness / 2, box.top - thickness / 2, box.width + thickness, box.height + thickness);
}

export function boxOf(scene: Pick<Scene, "spans" | "layout" | "view" | "width" | "scroll">, place: number) {
  const { spans, layout: at, view, width, scroll } = scene;
  const scale = width / (view[1] - view[0]);
  const isEvent = spans.kind[place] === spans.eventKind;
  const left = (spans.start[place] - view[0]) * scale - (isEvent ? 7 : 0);
  const right = isEvent ? left + 14 : Math.max((spans.end[place] - view[0]) * scale, left + 2);
  if (right < 0 || left > width) return null;
  const row = at.lanes[spans.lane[place]].rows[spans.row[place]];
  return { left: Math.max(left, 0), top: row.top - scroll, width: Math.min(right, width) - Math.max(left, 0), height: row.height - BETWEEN };
}

/** What is not yet at the moment up to which the run is replayed. */
function curtain(context: CanvasRenderingContext2D, scene: Scene): void {
  const { view, width, height, colours } = scene;
  const x = ((scene.until! - view[0]) / (view[1] - view[0])) * width;
  context.globalAlpha = 0.88;
  context.fillStyle = colours.paper;
  context.fillRect(Math.max(-EDGE, x), 0, width + 2 * EDGE, height);
  context.globalAlpha = 1;
  context.fillStyle = colours.accent;
  context.fillRect(x - 1, 0, 2, height);
}

/** Moments for the axis: whole steps of 1, 2 or 5. */
export function ticks(view: [number, number], width: number): number[] {
  const room = Math.max(2, Math.floor(width / 110));
  const rough = (view[1] - view[0]) / room;
  const power = 10 ** Math.floor(Math.log10(rough));
  const steps = rough > 6e7 ? [6e7, 12e7, 3e8, 6e8, 12e8, 18e8, 36e8, 72e8, 144e8, 432e8, 864e8] : [1, 2, 5, 10].map((factor) => factor * power);
  const step = steps.find((each) => each >= rough) ?? rough;
  const found: number[] = [];
  for (let moment = Math.ceil(view[0] / step) * step; moment <= view[1] && found.length < 100; moment += step) found.push(moment);
  return found;
}

function grid(context: CanvasRenderingContext2D, scene: Scene): void {
  const { view, width, height, colours } = scene;
  context.fillStyle = colours.line;
  for (const moment of ticks(view, width)) context.fillRect(Math.round(((moment - view[0]) / (view[1] - view[0])) * width), 0, 1, height);
}

/** The span at a point of the canvas; -1 for none. */
export function hit(scene: Scene, x: number, y: number): number {
  const { layout: at, scroll, view, width, spans } = scene;
  const lane = at.lanes.findIndex((each) => y + scroll >= each.top && y + scroll < each.top + each.height);
  if (lane < 0) return -1;
  const scale = (view[1] - view[0]) / width;
  const moment = view[0] + x * scale;
  const number = at.lanes[lane].rows.findIndex((each) => y + scroll >= each.top && y + scroll < each.top + each.height);
  let near = -1;
  let nearest = 7 * scale;
  for (let event = firstAfter(spans.eventStarts, moment - 7 * scale); event < spans.events.length && spans.eventStarts[event] < moment + 7 * scale; event++) {
    const place = spans.events[event];
    if (spans.lane[place] !== lane || spans.row[place] !== number) continue;
    const away = Math.abs(spans.start[place] - moment);
    if (away < nearest) [near, nearest] = [place, away];
  }
  if (near >= 0) return near;
  const row = scene.all[lane][number];
  if (!row) return -1;
  for (let place = firstAfter(row.ends, moment - 2 * scale); place < row.places.length && row.starts[place] <= moment + scale; place++)
    if (spans.end[row.places[place]] >= moment - 2 * scale) return row.places[place];
  return -1;
}

/** All of the run in a few pixels: where who worked, and what failed. */
export function minimap(
  context: CanvasRenderingContext2D, spans: Spans, colours: Colours, width: number, height: number, ratio: number,
): void {
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const lanes = spans.json.lanes.length;
  const step = Math.max(1, height / lanes);
  const scale = width / Math.max(spans.length, 1);
  const columns = new Uint8Array(width * lanes);
  for (let place = 0; place < spans.count; place++) {
    const kind = spans.json.kinds[spans.kind[place]];
    const lane = spans.lane[place];
    const level = spans.flags[place] & FAILED ? 3 : kind === "model" || kind === "tool" ? 2 : kind === "session" || kind === "event" ? 0 : 1;
    if (!level) continue;
    const right = Math.min(width - 1, Math.floor(spans.end[place] * scale));
    for (let x = Math.floor(spans.start[place] * scale); x <= right; x++) {
      const at = lane * width + x;
      if (columns[at] < level) columns[at] = level;
    }
  }
  const fills = ["", colours.round, colours.model, colours.failed];
  for (let lane = 0; lane < lanes; lane++)
    for (let x = 0; x < width; ) {
      const level = columns[lane * width + x];
      let right = x + 1;
      while (right < width && columns[lane * width + right] === level) right++;
      if (level) {
        context.fillStyle = fills[level];
        context.fillRect(x, lane * step, right - x, Math.max(1, step - (step > 3 ? 1 : 0)));
      }
      x = right;
    }
}
