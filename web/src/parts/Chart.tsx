/** Lines or bars over time, or bars of names, of the rows of an answer. */
import { useEffect, useRef } from "preact/hooks";
import { colours } from "../state/theme";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { count, moment, zone } from "../state/format";
import type { Cell, Table } from "../state/types";

const SERIES = ["model", "tool", "lost", "agent", "failed", "answer", "soft", "final"] as const;
const MOST_SERIES = 8;

export interface Lines {
  names: string[];
  times: number[];
  values: (number | null)[][];
  left_out: number;
}

const numberOf = (cell: Cell): number | null => (typeof cell === "number" ? cell : typeof cell === "string" && cell !== "" && !Number.isNaN(Number(cell)) ? Number(cell) : null);

/** The first column of times over which numbers are told, or null. */
export function timeColumn(table: Table): number {
  return table.columns.findIndex((column) => column.type.startsWith("timestamp") || column.type.startsWith("date"));
}

/** The rows as lines: one for each number, or one for each value of the column *by*. */
export function lines(table: Table, by?: string, of?: string[]): Lines | null {
  const time = timeColumn(table);
  const at = by === undefined ? -1 : table.columns.findIndex((column) => column.name === by);
  const numbers = table.columns.map((column, place) => ({ ...column, place })).filter((column) => (of ? of.includes(column.name) : column.numeric));
  if (time < 0 || !numbers.length) return null;
  const found = new Map<string, Map<number, number | null>>();
  const moments = new Set<number>();
  for (const row of table.rows) {
    const when = new Date(String(row[time])).getTime() / 1000;
    if (Number.isNaN(when)) continue;
    moments.add(when);
    for (const column of numbers) {
      const who = at < 0 ? "" : String(row[at] ?? "not said");
      const name = at < 0 ? column.name : numbers.length > 1 ? `${who} ${column.name}` : who;
      if (!found.has(name)) found.set(name, new Map());
      found.get(name)!.set(when, numberOf(row[column.place]));
    }
  }
  const times = [...moments].sort((a, b) => a - b);
  // Around a single moment uPlot would show three years, whatever the scale's range says.
  if (times.length === 1) times.splice(0, 1, times[0] - 60, times[0], times[0] + 60);
  const all = [...found].map(([name, values]) => ({ name, values, sum: [...values.values()].reduce<number>((sum, value) => sum + (value ?? 0), 0) }));
  all.sort((a, b) => b.sum - a.sum);
  const shown = all.slice(0, MOST_SERIES);
  return {
    names: shown.map((each) => each.name), times, values: shown.map((each) => times.map((time) => each.values.get(time) ?? null)),
    left_out: all.length - shown.length,
  };
}

/** A moment on the axis; of one that is finer than days, the first tick tells the day. */
function tick(seconds: number, step: number, first: boolean): string {
  const text = moment(seconds * 1000);
  if (step >= 86_400) return text.slice(0, 10);
  const time = text.slice(11, step >= 60 ? 16 : 19);
  return first ? `${time}\n${text.slice(0, 10)}` : time;
}

export function LineChart({ data, height = 220, label }: { data: Lines; height?: number; label: string }) {
  const box = useRef<HTMLDivElement>(null);
  const colour = colours.value;
  useEffect(() => {
    const element = box.current!;
    const axis = { stroke: colour.soft, grid: { stroke: colour.line, width: 1 }, ticks: { stroke: colour.line, width: 1 }, font: "11px system-ui" };
    const plot = new uPlot(
      {
        width: Math.max(120, element.clientWidth),
        height,
        legend: { show: false },
        cursor: { drag: { x: false, y: false } },
        tzDate: (seconds) => (zone.peek() === "utc" ? uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC") : new Date(seconds * 1000)),
        scales: { y: { range: (_, least, most) => [Math.min(0, least), most > 0 ? most * 1.06 : 1] } },
        axes: [{ ...axis, values: (_, splits, __, ___, step) => splits.map((split, place) => tick(split, step, place === 0)) }, { ...axis, size: 58, values: (_, ticks) => ticks.map((tick) => (Math.abs(tick) < 1 && tick !== 0 ? String(Number(tick.toPrecision(2))) : count(tick))) }],
        series: [
          {},
          ...data.names.map((name, place) => ({
            label: name, stroke: colour[SERIES[place]], width: 2, spanGaps: true, points: { show: data.times.length < 60, size: 6, fill: colour[SERIES[place]] },
          })),
        ],
      },
      [data.times, ...data.values] as uPlot.AlignedData,
      element,
    );
    const observer = new ResizeObserver(() => plot.setSize({ width: Math.max(120, element.clientWidth), height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.destroy();
    };
  }, [data, height, colour]);
  return (
    <figure class="chart" role="img" aria-label={label} style={{ margin: 0 }}>
      <div ref={box} />
      <ul class="key">
        {data.names.map((name, place) => <li key={name}><i style={{ background: `var(--${SERIES[place]})` }} />{name}</li>)}
        {data.left_out > 0 && <li class="soft">and {data.left_out} smaller</li>}
      </ul>
    </figure>
  );
}

const MOST_BARS = 40;

/** The first numbers of the rows as bars, each called by what stands before them. */
export function Bars({ table, number }: { table: Table; number?: string }) {
  const at = table.columns.findIndex((column) => (number ? column.name === number : column.numeric));
  if (at < 0) return null;
  const names = table.columns.map((_, place) => place).filter((place) => !table.columns[place].numeric);
  const most = Math.max(...table.rows.map((row) => numberOf(row[at]) ?? 0));
  return (
    <div class="hbars" role="img" aria-label={`${table.columns[at].name} as bars`}>
      {table.rows.slice(0, MOST_BARS).map((row, place) => (
        <>
          <span key={`n${place}`}>{names.map((name) => String(row[name] ?? "not said")).join(" · ").slice(0, 60) || `row ${place + 1}`}</span>
          <svg key={`b${place}`} class="bar" viewBox="0 0 100 8" preserveAspectRatio="none"><rect width={most > 0 ? (100 * (numberOf(row[at]) ?? 0)) / most : 0} height="8" class="fill-model" /></svg>
          <span key={`v${place}`} class="n">{row[at] === null ? "unknown" : typeof row[at] === "number" ? written(row[at] as number) : String(row[at])}</span>
        </>
      ))}
      {table.rows.length > MOST_BARS && <span class="soft">and {table.rows.length - MOST_BARS} more</span>}
    </div>
  );
}

export function written(value: number): string {
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  return Math.abs(value) >= 100 ? value.toFixed(1) : String(Number(value.toPrecision(5)));
}
