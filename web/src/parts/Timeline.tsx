/** The run over time: an agent a lane, its rounds, model calls and tools below each other, and all of it in small above. */
import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { draw, EDGE, hit, layout, minimap, ticks, TINTS, type Scene } from "../draw/timeline";
import { change } from "../state/address";
import { duration, plural } from "../state/format";
import {
  emphasis, fit, isWhole, onPath, pan, play, playing, replay, reveal, select, selected, show, spans, speed, stopReplay, titleOf, titles, told, view, zoom,
} from "../state/run";
import { FAILED, INTERRUPTED, type Spans } from "../state/spans";
import { colours } from "../state/theme";

const [GUTTER, MOST_GUTTER, CHARACTER] = [148, 250, 7.6];
const NARROW = 640;
const MOST_HEIGHT = 0.52;

/** A colour for the rounds that came to something, or to nothing. */
function tints(all: Spans): Uint8Array {
  const found = new Uint8Array(all.count);
  const of = (name: (typeof TINTS)[number]) => TINTS.indexOf(name);
  for (const coordination of told.value?.coordinations ?? [])
    for (const round of coordination.rounds) {
      const place = all.place(round.span_id);
      if (place < 0) continue;
      found[place] = round.outcome === "error" ? of("round-failed")
        : round.thrown_away ? of("round-lost")
        : round.vote ? of("round-vote")
        : round.answer || round.after_all ? of("round-answer") : 0;
    }
  return found;
}

export function Timeline() {
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const small = useRef<HTMLCanvasElement>(null);
  const width = useSignal(800);
  const scroll = useSignal(0);
  const hovered = useSignal(-1);
  const pointer = useSignal<[number, number]>([0, 0]);
  const band = useSignal<[number, number] | null>(null);
  const scene = useRef<Scene | null>(null);

  const visible = useSignal(visibleHeight());
  const ratio = useSignal(devicePixelRatio || 1);

  const narrow = useComputed(() => width.value < NARROW);
  const gutter = useComputed(() => {
    const longest = Math.max(0, ...(spans.value?.json.lanes.map((lane) => lane.name.length) ?? []));
    return narrow.value ? EDGE : Math.min(MOST_GUTTER, Math.max(GUTTER, Math.ceil(longest * CHARACTER) + 12));
  });
  const across = useComputed(() => Math.max(1, Math.floor(width.value - gutter.value - EDGE)));
  const all = useComputed(() => spans.value?.layer() ?? []);
  const scale = useComputed(() => (view.value[1] - view.value[0]) / across.value);
  const at = useComputed(() => (spans.value ? layout(spans.value, all.value, scale.value, narrow.value) : null));
  const failed = useComputed(() => spans.value?.layer((place) => (spans.value!.flags[place] & (FAILED | INTERRUPTED)) !== 0) ?? []);
  const bright = useComputed(() => (emphasis.value ? (spans.value?.layer((place) => emphasis.value!.has(place)) ?? null) : null));
  const tint = useComputed(() => (spans.value ? tints(spans.value) : new Uint8Array()));
  const gaps = useComputed(() => {
    const lanes = new Map(spans.value?.json.lanes.map((lane, place) => [lane.name, place]));
    return (told.value?.gaps ?? []).flatMap((gap) => {
      const lane = lanes.get(gap.agent_id ?? "");
      if (lane === undefined) return [];
      const text = `nothing for ${duration(gap.seconds)}${gap.after ? ` after ${gap.after}` : ""}`;
      return [{ lane, row: Math.min(1, spans.value!.json.lanes[lane].rows - 1), start: gap.start * 1e6, end: (gap.start + gap.seconds) * 1e6, text }];
    });
  });

  useEffect(() => {
    const box = scroller.current;
    if (!box) return;
    const observer = new ResizeObserver(() => (width.value = box.clientWidth));
    observer.observe(box);
    width.value = box.clientWidth;
    const resized = () => {
      visible.value = visibleHeight();
      ratio.value = devicePixelRatio || 1;
    };
    addEventListener("resize", resized);
    return () => {
      observer.disconnect();
      removeEventListener("resize", resized);
    };
  }, [spans.value === null]);

  const frame = useRef(0);
  useSignalEffect(() => {
    const place = at.value;
    const element = canvas.current;
    if (!spans.value || !place || !element) return;
    const plain: Scene = {
      spans: spans.value, layout: place, all: all.value, failed: failed.value, bright: bright.value, view: view.value, scroll: scroll.value,
      width: across.value, height: Math.min(place.height, visible.value), ratio: ratio.value,
      colours: colours.value, tint: tint.value, titles: titles.value, selected: selected.value, hovered: hovered.value, gaps: gaps.value, until: replay.value,
    };
    scene.current = plain;
    cancelAnimationFrame(frame.current);
    frame.current = requestAnimationFrame(() => {
      const [right, down] = [Math.round((plain.width + 2 * EDGE) * plain.ratio), Math.round(plain.height * plain.ratio)];
      if (element.width !== right || element.height !== down) {
        [element.width, element.height] = [right, down];
        element.style.width = `${plain.width + 2 * EDGE}px`;
        element.style.height = `${plain.height}px`;
      }
      draw(element.getContext("2d", { alpha: false })!, plain);
      if (!element.dataset.drawn) {
        element.dataset.drawn = "1";
        performance.mark("drawn");
      }
    });
  });

  useSignalEffect(() => {
    const element = small.current;
    if (!spans.value || !element) return;
    [element.width, element.height] = [Math.round(across.value * ratio.value), Math.round(36 * ratio.value)];
    element.style.width = `${across.value}px`;
    minimap(element.getContext("2d")!, spans.value, colours.value, across.value, 36, ratio.value);
  });

  // The selected span is brought into view, sideways and in height.
  useSignalEffect(() => {
    const place = selected.value;
    if (place < 0 || !spans.value) return;
    reveal(place);
    const box = scroller.current;
    const row = at.peek()?.lanes[spans.value.lane[place]]?.rows[spans.value.row[place]];
    if (!box || !row) return;
    const { top, height } = row;
    if (top < box.scrollTop || top + height > box.scrollTop + box.clientHeight) box.scrollTop = Math.max(0, top - box.clientHeight / 2);
  });

  useWheel(scroller, across, gutter);

  if (!spans.value || !at.value) return null;
  const json = spans.value.json;
  const moment = (x: number) => view.value[0] + (x / across.value) * (view.value[1] - view.value[0]);
  const place = (x: number) => ((x - view.value[0]) / (view.value[1] - view.value[0])) * across.value;
  const point = (event: PointerEvent | MouseEvent): [number, number] => {
    const box = canvas.current!.getBoundingClientRect();
    return [event.clientX - box.left - EDGE, event.clientY - box.top];
  };

  return (
    <section class="timeline" aria-label="Timeline">
      <Controls narrow={narrow.value} />
      <div class="mini" style={{ paddingLeft: `${gutter.value}px` }}>
        <canvas ref={small} aria-hidden="true" onPointerDown={(event) => startWindow(event, across.value)} />
        {!isWhole.value && (
          <div
            class="window"
            style={{
              left: `${gutter.value + (view.value[0] / json.length) * across.value}px`,
              width: `${Math.max(4, ((view.value[1] - view.value[0]) / json.length) * across.value)}px`,
            }}
          />
        )}
      </div>
      <div class="axis" aria-hidden="true">
        {ticks(view.value, across.value).filter((each) => place(each) < across.value - 24).map((each) => (
          <span key={each} style={{ left: `${gutter.value + place(each)}px` }}>{tickText(each, view.value)}</span>
        ))}
      </div>
      <div
        class="lanes"
        ref={scroller}
        style={{ height: `${Math.min(at.value.height, visible.value)}px` }}
        tabIndex={0}
        role="group"
        aria-label="Lanes; w and s zoom, a and d move, arrow keys go from span to span"
        onScroll={(event) => (scroll.value = event.currentTarget.scrollTop)}
        onKeyDown={(event) => walk(event, spans.value!)}
      >
        <div class="inside" style={{ height: `${at.value.height}px` }}>
          <canvas
            ref={canvas}
            style={{ left: `${gutter.value - EDGE}px`, marginLeft: `${gutter.value - EDGE}px` }}
            onPointerMove={(event) => {
              pointer.value = [event.clientX, event.clientY];
              if (scene.current && !band.value) hovered.value = hit(scene.current, ...point(event));
            }}
            onPointerLeave={() => (hovered.value = -1)}
            onPointerDown={(event) => drag(event, event.currentTarget, point, moment, band, () => {
              if (scene.current) select(hit(scene.current, ...point(event)));
            })}
            onDblClick={(event) => {
              const found = scene.current ? hit(scene.current, ...point(event)) : -1;
              if (found >= 0) zoomTo(found);
              else fit();
            }}
          />
          {json.lanes.map((lane, number) => (
            <div key={lane.name} class={`lane-name ${narrow.value ? "above" : ""}`} style={{ top: `${at.value!.lanes[number].top}px`, width: narrow.value ? "auto" : `${gutter.value - EDGE}px` }}>
              <span title={lane.name}>{lane.name}</span>
              <LaneNote name={lane.agent ? lane.name : null} />
            </div>
          ))}
          {band.value && (
            <div
              class="band"
              style={{
                left: `${gutter.value + Math.min(...band.value)}px`, width: `${Math.abs(band.value[1] - band.value[0])}px`, height: `${at.value.height}px`,
              }}
            />
          )}
        </div>
      </div>
      {hovered.value >= 0 && <Tip place={hovered.value} at={pointer.value} />}
    </section>
  );
}

function visibleHeight(): number {
  return Math.max(180, Math.floor(innerHeight * MOST_HEIGHT));
}

function tickText(moment: number, [from, to]: [number, number]): string {
  if (moment === 0) return "0";
  const seconds = moment / 1e6;
  const step = (to - from) / 1e6;
  if (step >= 600 || seconds >= 3600) return duration(seconds);
  if (step >= 20) return seconds >= 60 ? duration(seconds) : `${Math.round(seconds)}s`;
  const digits = Math.min(6, Math.max(0, Math.ceil(-Math.log10(step / 10))));
  return `${seconds.toFixed(digits)}s`;
}

export function zoomTo(place: number): void {
  const all = spans.peek()!;
  const length = Math.max(all.end[place] - all.start[place], 100);
  show(all.start[place] - length * 0.06, all.end[place] + length * 0.06);
}

function LaneNote({ name }: { name: string | null }) {
  const document = told.value;
  if (!name || !document) return null;
  const rounds = document.facts.rounds.filter((each) => each.agent_id === name).length;
  const won = document.facts.winner === name;
  return (
    <small>
      {won && <b class="won" title="The winner">★ </b>}
      {rounds ? plural(rounds, "round") : ""}
    </small>
  );
}

function Tip({ place, at: [x, y] }: { place: number; at: [number, number] }) {
  const all = spans.value!;
  const left = Math.min(x + 14, innerWidth - 300);
  return (
    <div class="tip" role="presentation" style={{ left: `${Math.max(4, left)}px`, top: `${y + 18 > innerHeight - 90 ? y - 74 : y + 18}px` }}>
      <b>{titleOf(place)}</b>
      <div>
        {all.json.lanes[all.lane[place]].name} · {all.kindName(place)} · +{duration(all.start[place] / 1e6)}
        {all.kind[place] === all.eventKind ? "" : ` · ${all.seconds(place) === null ? "has not ended" : duration(all.seconds(place))}`}
        {all.flags[place] & FAILED ? " · failed" : all.flags[place] & INTERRUPTED ? " · interrupted" : ""}
      </div>
    </div>
  );
}

function Controls({ narrow }: { narrow: boolean }) {
  const [from, to] = view.value;
  return (
    <div class="controls">
      <div class="group">
        <button type="button" onClick={() => zoom(0.5)} title="Zoom in (w)" aria-label="Zoom in">+</button>
        <button type="button" onClick={() => zoom(2)} title="Zoom out (s)" aria-label="Zoom out">−</button>
        <button type="button" onClick={fit} disabled={isWhole.value} title="Show all of it (0)">all</button>
      </div>
      <span class="soft range">{isWhole.value ? duration((to - from) / 1e6) : `${duration((to - from) / 1e6)} from +${duration(from / 1e6)}`}</span>
      <button
        type="button"
        aria-pressed={onPath.value}
        onClick={() => change({ path: onPath.value ? null : 1 })}
        title="Which calls the run waited for, one after the other (c)"
      >
        {narrow ? "path" : "critical path"}
      </button>
      <div class="group replay">
        <button type="button" onClick={play} title="Play the run again (p)" aria-label={playing.value ? "Pause the replay" : "Replay the run"}>
          {playing.value ? "❚❚" : "▶"} {narrow ? "" : "replay"}
        </button>
        {replay.value !== null && (
          <>
            <input
              type="range"
              min="0"
              max={String(spans.value!.length)}
              value={String(Math.round(replay.value))}
              aria-label="Moment of the replay"
              onInput={(event) => (replay.value = Number(event.currentTarget.value))}
            />
            <select aria-label="Speed of the replay" value={String(speed.value)} onChange={(event) => (speed.value = Number(event.currentTarget.value))}>
              {["0.25", "1", "4"].map((each) => <option key={each} value={each}>×{each}</option>)}
            </select>
            <output class="soft">+{duration(replay.value / 1e6)}</output>
            <button type="button" onClick={stopReplay} aria-label="End the replay">✕</button>
          </>
        )}
      </div>
      <Legend />
    </div>
  );
}

/** What can be drawn: its colour, what it is called, and the mark of the moment when it happened. */
const LEGEND: [string, string, string?][] = [
  ["model", "model call"], ["tool", "tool"], ["agent", "agent"], ["round-answer", "answer", "●"], ["round-vote", "vote", "▲"], ["round-lost", "thrown away", "◆"],
  ["failed", "failed"],
];

/** The colours of what there is in this run. */
function Legend() {
  const all = spans.value!;
  const document = told.value;
  const rounds = document?.coordinations.flatMap((each) => each.rounds) ?? [];
  const kinds = new Set<string>(Array.from(new Set(all.kind), (kind) => all.json.kinds[kind]));
  if (rounds.some((each) => each.answer)) kinds.add("round-answer");
  if (rounds.some((each) => each.vote)) kinds.add("round-vote");
  if (rounds.some((each) => each.thrown_away)) kinds.add("round-lost");
  if (all.flags.some((flags) => flags & (FAILED | INTERRUPTED))) kinds.add("failed");
  return (
    <ul class="legend" aria-label="Colours">
      {LEGEND.filter(([name]) => kinds.has(name)).map(([name, title, mark]) => (
        <li key={name}><i class={`back-${name}`} />{title}{mark && <span class={`mark-${name}`} aria-hidden="true">{mark}</span>}</li>
      ))}
      {rounds.some((each) => each.after_all) && <li><span class="won" aria-hidden="true">★</span>winner, final answer</li>}
      {(document?.gaps.length ?? 0) > 0 && <li><i class="back-gap" />nothing went on</li>}
    </ul>
  );
}

/** From span to span by the arrow keys: along a row, up to the parent, down to the first child. */
function walk(event: KeyboardEvent, all: Spans): void {
  const here = selected.peek();
  const { key } = event;
  if (!key.startsWith("Arrow") || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  if (here < 0) {
    select(0);
    return;
  }
  if (key === "ArrowUp") {
    if (all.parent[here] >= 0) select(all.parent[here]);
  } else if (key === "ArrowDown") {
    if (all.below[here]) select(here + 1);
  } else {
    const siblings = (place: number) => all.parent[place] === all.parent[here];
    const by = key === "ArrowRight" ? 1 : -1;
    for (let place = here + (by > 0 ? all.below[here] + 1 : -1); place >= 0 && place < all.count; place += by > 0 ? all.below[place] + 1 : -1)
      if (siblings(place)) {
        select(place);
        return;
      }
  }
}

function useWheel(scroller: { current: HTMLDivElement | null }, across: { value: number }, gutter: { value: number }): void {
  const present = spans.value !== null;
  useEffect(() => {
    const box = scroller.current;
    if (!box) return;
    const turn = (event: WheelEvent) => {
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        const x = event.clientX - box.getBoundingClientRect().left - gutter.value;
        const [from, to] = view.peek();
        zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 200))), from + (x / across.value) * (to - from));
      } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        event.preventDefault();
        pan((event.deltaX || event.deltaY) / across.value);
      }
    };
    box.addEventListener("wheel", turn, { passive: false });
    return () => box.removeEventListener("wheel", turn);
  }, [present]);
}

const pointers = new Map<number, number>();

/** A drag with the mouse chooses a part of the time; with a finger it moves, with two it zooms; a click is one that does not move. */
function drag(
  event: PointerEvent, element: HTMLCanvasElement, point: (event: PointerEvent) => [number, number], moment: (x: number) => number,
  band: { value: [number, number] | null }, click: () => void,
): void {
  if (event.button) return;
  const begin = point(event)[0];
  const touch = event.pointerType === "touch";
  const moves = touch || event.shiftKey;
  pointers.set(event.pointerId, begin);
  if (!touch) element.setPointerCapture(event.pointerId);
  let [last, moved] = [begin, false];
  const move = (next: PointerEvent) => {
    const [x] = point(next);
    if (Math.abs(x - begin) > 4) moved = true;
    if (!moved) return;
    if (pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== next.pointerId)![1];
      const [before, after] = [Math.abs(last - other), Math.abs(x - other)];
      if (before > 8 && after > 8) zoom(before / after, moment((x + other) / 2));
    } else if (moves) pan((last - x) / element.clientWidth);
    else band.value = [begin, x];
    last = x;
    pointers.set(next.pointerId, x);
  };
  const end = (next: PointerEvent) => {
    element.removeEventListener("pointermove", move);
    pointers.delete(next.pointerId);
    const chosen = band.value;
    band.value = null;
    if (next.type === "pointercancel") return;
    if (!moved) click();
    else if (chosen && Math.abs(chosen[1] - chosen[0]) > 4) {
      const [from, to] = [moment(Math.min(...chosen)), moment(Math.max(...chosen))];
      show(from, to);
    }
  };
  element.addEventListener("pointermove", move);
  element.addEventListener("pointerup", end, { once: true });
  element.addEventListener("pointercancel", end, { once: true });
}

function startWindow(event: PointerEvent & { currentTarget: HTMLCanvasElement }, across: number): void {
  const element = event.currentTarget;
  element.setPointerCapture(event.pointerId);
  const centre = (next: PointerEvent) => {
    const x = next.clientX - element.getBoundingClientRect().left;
    const [from, to] = view.peek();
    const length = isWhole.peek() ? (to - from) / 5 : to - from;
    const middle = (x / across) * (spans.peek()?.length ?? 1);
    show(middle - length / 2, middle + length / 2);
  };
  centre(event);
  element.addEventListener("pointermove", centre);
  element.addEventListener("pointerup", () => element.removeEventListener("pointermove", centre), { once: true });
}

