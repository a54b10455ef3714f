/** The spans of a run in typed arrays, and for each row of each lane who stands in it, by time. */
import type { SpansJson } from "./types";

export const FAILED = 1;
export const OPEN = 2;
export const INTERRUPTED = 4;

/** Spans of one row that cover none of each other, by their starts. */
export interface Row {
  places: Int32Array;
  starts: Float64Array;
  ends: Float64Array;
  /** Microseconds of the longest of them. */
  longest: number;
}

/** For each lane its rows. */
export type Layer = Row[][];

export class Spans {
  readonly count: number;
  readonly start: Float64Array;
  readonly end: Float64Array;
  readonly parent: Int32Array;
  readonly depth: Uint16Array;
  readonly lane: Uint16Array;
  readonly row: Uint8Array;
  readonly kind: Uint8Array;
  readonly flags: Uint8Array;
  /** How many spans are below each. */
  readonly below: Int32Array;
  /** Places by start, all but events. */
  private readonly ordered: Int32Array;
  readonly events: Int32Array;
  readonly eventStarts: Float64Array;
  readonly eventKind: number;
  private index: Map<string, number> | null = null;

  constructor(readonly json: SpansJson) {
    const many = json.start.length;
    this.count = many;
    this.start = Float64Array.from(json.start);
    this.end = new Float64Array(many);
    for (let place = 0; place < many; place++) this.end[place] = json.duration[place] < 0 ? json.length : json.start[place] + json.duration[place];
    this.parent = Int32Array.from(json.parent);
    this.depth = Uint16Array.from(json.depth);
    this.lane = Uint16Array.from(json.lane);
    this.row = Uint8Array.from(json.row);
    this.kind = Uint8Array.from(json.kind);
    this.flags = Uint8Array.from(json.flags);
    this.below = new Int32Array(many);
    for (let place = many - 1; place >= 0; place--) if (this.parent[place] >= 0) this.below[this.parent[place]] += this.below[place] + 1;
    this.eventKind = json.kinds.indexOf("event");
    const all = Int32Array.from({ length: many }, (_, place) => place).sort((a, b) => this.start[a] - this.start[b] || a - b);
    this.ordered = all.filter((place) => this.kind[place] !== this.eventKind);
    this.events = all.filter((place) => this.kind[place] === this.eventKind);
    this.eventStarts = Float64Array.from(this.events, (place) => this.start[place]);
  }

  get length(): number {
    return this.json.length;
  }

  name(place: number): string {
    return this.json.names[this.json.name[place]];
  }

  kindName(place: number): string {
    return this.json.kinds[this.kind[place]];
  }

  id(place: number): string {
    return this.json.ids.slice(place * 16, place * 16 + 16);
  }

  trace(place: number): string {
    return this.json.traces[this.json.trace[place] ?? 0];
  }

  /** Seconds; null for a span that has not ended. */
  seconds(place: number): number | null {
    return this.json.duration[place] < 0 ? null : this.json.duration[place] / 1e6;
  }

  place(id: string | null): number {
    if (!id) return -1;
    this.index ??= new Map(Array.from({ length: this.count }, (_, place) => [this.id(place), place]));
    return this.index.get(id) ?? -1;
  }

  /** The spans that are wanted, row by row. */
  layer(wanted?: (place: number) => boolean): Layer {
    const found: number[][][] = this.json.lanes.map((lane) => Array.from({ length: lane.rows }, () => []));
    for (const place of this.ordered) if (!wanted || wanted(place)) found[this.lane[place]][this.row[place]]?.push(place);
    return found.map((rows) =>
      rows.map((places) => ({
        places: Int32Array.from(places),
        starts: Float64Array.from(places, (place) => this.start[place]),
        ends: runningMost(Float64Array.from(places, (place) => this.end[place])),
        longest: places.reduce((most, place) => Math.max(most, this.end[place] - this.start[place]), 0),
      })),
    );
  }
}

function runningMost(values: Float64Array): Float64Array {
  for (let place = 1; place < values.length; place++) if (values[place] < values[place - 1]) values[place] = values[place - 1];
  return values;
}

/** The first place of a rising array whose value is greater than a moment. */
export function firstAfter(values: Float64Array, moment: number, from = 0): number {
  let [low, high] = [from, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] > moment) high = middle;
    else low = middle + 1;
  }
  return low;
}
