/** The run that is open: its spans, what is said of it, what is selected and found in it, and its changes while it goes on. */
import { batch, computed, effect, signal } from "@preact/signals";
import { address, change } from "./address";
import * as source from "./source";
import { Refused, type Wanted } from "./source";
import { FAILED, Spans } from "./spans";
import type { Document, Span } from "./types";

const LIVE_MS = 1000;
const IDLE_MS = 5000;

/** Of the time, so much is left to the server between two readings: one of a large run takes it seconds. */
const LEISURE = 3;

export const wanted = computed<Wanted>(() => {
  const { path, params } = address.value;
  const turn = params.get("turn");
  const trace = /trace_id\s*=\s*'([0-9a-f]+)'/i.exec(params.get("q") ?? "");
  if (path.split("/").length > 2 && trace) return { run: trace[1], turn: null };
  return { run: params.get("run"), turn: turn === null ? null : Number(turn) };
});
const wantedKey = computed(() => JSON.stringify(wanted.value));

export const spans = signal<Spans | null>(null);
export const told = signal<Document | null>(null);
export const problem = signal<Refused | null>(null);
/** Whether the server has stopped answering after it has answered. */
export const unreachable = signal(false);

let opened = "";
let asking = false;
let timer = 0;

/** Reads the run, and again whenever it has changed. */
export async function load(): Promise<void> {
  clearTimeout(timer);
  const key = wantedKey.value;
  if (opened !== key) {
    batch(() => {
      spans.value = told.value = null;
      problem.value = null;
      detail.value = null;
      replay.value = null;
    });
    opened = key;
  }
  if (asking) return;
  asking = true;
  const began = performance.now();
  try {
    const found = await source.spans(wanted.value, spans.peek()?.json.version ?? null);
    if (opened !== key) return;
    if (found) spans.value = new Spans(found);
    if (found || !told.peek()) {
      const document = await source.run(wanted.value);
      if (opened === key) told.value = document;
    }
    problem.value = null;
    unreachable.value = false;
  } catch (error) {
    if (opened === key) {
      if (spans.peek()) unreachable.value = true;
      else problem.value = error as Refused;
    }
  } finally {
    asking = false;
    if (opened !== wantedKey.value) void load();
    else if (onPage) timer = window.setTimeout(load, Math.max(told.peek()?.facts.state === "live" ? LIVE_MS : IDLE_MS, LEISURE * (performance.now() - began)));
  }
}

let onPage = false;
/** Starts to follow the run; gives what stops it. */
export function follow(): () => void {
  onPage = true;
  const stop = effect(() => {
    void wantedKey.value;
    void load();
  });
  return () => {
    onPage = false;
    clearTimeout(timer);
    stop();
  };
}

/** What a round is called in the timeline and in the list: its number, and what it came to. */
export const titles = computed<Map<number, string>>(() => {
  const found = new Map<number, string>();
  const all = spans.value;
  if (!all || !told.value) return found;
  for (const coordination of told.value.coordinations)
    for (const round of coordination.rounds) {
      const place = all.place(round.span_id);
      if (place < 0) continue;
      const name = round.after_all ? "presentation" : round.round === null ? all.name(place) : `round ${round.round}`;
      const end = round.after_all ? (round.outcome === "error" ? "failed" : "")
        : round.thrown_away ? `${round.thrown_away}${round.by ? ` by ${round.by}` : ""}`
        : round.vote ? `vote for ${round.vote.label ?? round.vote.for ?? "?"}`
        : round.answer ? `answer ${round.answer.label}` : (round.outcome ?? "");
      found.set(place, end ? `${name}: ${end}` : name);
    }
  return found;
});

/** Whose a span is: its lane's name. */
export const whose = (place: number): string => {
  const all = spans.value;
  return all ? (all.json.lanes[all.lane[place]]?.name ?? "") : "";
};

export const titleOf = (place: number): string => titles.value.get(place) ?? spans.value?.name(place) ?? "";

// What is selected.

export const selectedId = computed(() => address.value.params.get("span"));
export const selected = computed(() => spans.value?.place(selectedId.value) ?? -1);
export const detail = signal<Span | Refused | null>(null);

export function select(place: number): void {
  const all = spans.peek();
  if (!all) return;
  change({ span: place < 0 ? null : all.id(place) }, selected.peek() >= 0 && place >= 0);
}

export function selectId(id: string | null): void {
  change({ span: id }, selected.peek() >= 0 && id !== null);
}

const shown = computed(() => {
  const all = spans.value;
  const place = selected.value;
  // A span that goes on may say more with each version.
  return !all || place < 0 ? "" : `${all.trace(place)} ${all.id(place)} ${all.seconds(place) === null ? all.json.version : ""}`;
});

effect(() => {
  const [trace, id] = shown.value.split(" ");
  if (!id) {
    detail.value = null;
    return;
  }
  const key = shown.value;
  source.span(wanted.peek(), trace, id).then(
    (found) => shown.peek() === key && (detail.value = found),
    (error) => shown.peek() === key && (detail.value = error),
  );
});

// What is looked for.

export const query = computed(() => (address.value.path.split("/").length > 2 ? "" : (address.value.params.get("q") ?? "")));
export const found = signal<Set<number> | null>(null);
export const foundList = computed(() => (found.value ? [...found.value].sort((a, b) => a - b) : []));
export const searching = signal(false);

effect(() => {
  const said = query.value.trim();
  const all = spans.value;
  if (!said || !all) {
    found.value = null;
    return;
  }
  searching.value = true;
  source
    .search(wanted.peek(), said)
    .then((answer) => {
      if (query.peek().trim() === said) found.value = new Set(answer.places.filter((place) => place < all.count));
    })
    .catch(() => (found.value = new Set()))
    .finally(() => (searching.value = false));
});

function step(places: readonly number[], by: 1 | -1): void {
  if (!places.length) return;
  const here = selected.peek();
  const next = by > 0 ? places.find((place) => place > here) : places.findLast((place) => place < here);
  select(next ?? (by > 0 ? places[0] : places[places.length - 1]));
}

export const nextFound = (by: 1 | -1): void => step(foundList.peek(), by);

/** The spans that failed of themselves, in the order of the list; without what is said of the run, all that failed. */
export const errors = computed<number[]>(() => {
  const all = spans.value;
  if (!all) return [];
  if (told.value) return told.value.failures.map((each) => all.place(each.span_id)).filter((place) => place >= 0).sort((a, b) => a - b);
  return Array.from({ length: all.count }, (_, place) => place).filter((place) => all.flags[place] & FAILED);
});
export const nextError = (by: 1 | -1): void => step(errors.peek(), by);

// What is shown of it.

export type Tab = "course" | "spans" | "answers" | "cost" | "time" | "errors" | "findings";
export const tab = computed<Tab>(() => {
  const said = address.value.params.get("tab") as Tab | null;
  return said ?? (told.value?.coordinations.some((each) => each.rounds.length) ? "course" : "spans");
});

export const onPath = computed(() => address.value.params.get("path") === "1");

/** The spans that are to stand out: those that were found, or the critical path; null where none is. */
export const emphasis = computed<Set<number> | null>(() => {
  if (found.value) return found.value;
  const all = spans.value;
  return onPath.value && all && told.value ? new Set(told.value.path.map((id) => all.place(id)).filter((place) => place >= 0)) : null;
});

// The part of the time that is shown, in microseconds.

export const view = signal<[number, number]>([0, 1]);
/** Whether the whole run is shown, and so goes on to be while it grows. */
export const isWhole = signal(true);
const LEAST = 20;

export function show(from: number, to: number): void {
  const most = Math.max(spans.peek()?.length ?? 1, 1);
  let length = Math.min(Math.max(to - from, LEAST), most);
  const begin = Math.min(Math.max(from, 0), most - length);
  if (length > most * 0.9999) length = most;
  batch(() => {
    isWhole.value = length >= most;
    view.value = isWhole.value ? [0, most] : [begin, begin + length];
  });
}

export function zoom(factor: number, around?: number): void {
  const [from, to] = view.peek();
  const centre = around ?? (from + to) / 2;
  show(centre - (centre - from) * factor, centre + (to - centre) * factor);
}

export function pan(share: number): void {
  const [from, to] = view.peek();
  show(from + (to - from) * share, to + (to - from) * share);
}

export function fit(): void {
  show(0, spans.peek()?.length ?? 1);
}

/** Brings a span into view, without moving what is in view already. */
export function reveal(place: number): void {
  const all = spans.peek();
  if (!all || place < 0) return;
  const [from, to] = view.peek();
  const [start, end] = [all.start[place], all.end[place]];
  const length = to - from;
  if (start < to && end > from && (start >= from || end <= to || end - start > length)) return;
  const middle = (start + end) / 2;
  show(middle - length / 2, middle + length / 2);
}

effect(() => {
  const all = spans.value;
  if (!all) return;
  if (isWhole.peek()) view.value = [0, Math.max(all.length, 1)];
});

let restored = "";
effect(() => {
  // The part that an address names is shown once, when its run has been read.
  const all = spans.value;
  if (!all || restored === opened) return;
  restored = opened;
  const { params } = address.peek();
  const [from, to] = [Number(params.get("from")), Number(params.get("to"))];
  if (to > from) show(from, to);
  else fit();
});

let writing = 0;
effect(() => {
  const [from, to] = view.value;
  const whole = isWhole.value;
  if (!spans.peek()) return;
  clearTimeout(writing);
  writing = window.setTimeout(() => {
    if (restored === opened) change({ from: whole ? null : Math.round(from), to: whole ? null : Math.round(to) }, true);
  }, 250);
});

// Replaying: up to which moment the run is shown, in microseconds; null for all of it.

export const replay = signal<number | null>(null);
export const playing = signal(false);
export const speed = signal(1);
const REPLAY_SECONDS = 20;

let last = 0;
function tick(at: number): void {
  const all = spans.peek();
  if (!playing.peek() || !all) return;
  const passed = last ? at - last : 0;
  last = at;
  const next = (replay.peek() ?? 0) + (passed / 1000 / REPLAY_SECONDS) * all.length * speed.peek();
  if (next >= all.length) {
    batch(() => {
      replay.value = null;
      playing.value = false;
    });
    return;
  }
  replay.value = next;
  requestAnimationFrame(tick);
}

export function play(): void {
  if (playing.peek()) {
    playing.value = false;
    return;
  }
  last = 0;
  batch(() => {
    replay.value ??= 0;
    playing.value = true;
  });
  requestAnimationFrame(tick);
}

export function stopReplay(): void {
  batch(() => {
    playing.value = false;
    replay.value = null;
  });
}
