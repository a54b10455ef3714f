/** Values as people read them, written as the command line writes them. */
import { signal } from "@preact/signals";
import { kept } from "./kept";

export const zone = kept<"utc" | "local">("zone", "utc");
export const now = signal(Date.now());

export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return "";
  if (seconds === 0) return "0";
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)}µs`;
  if (seconds < 1) return seconds < 0.01 ? `${(seconds * 1000).toFixed(1)}ms` : `${(seconds * 1000).toFixed(0)}ms`;
  if (seconds < 59.995) return `${seconds.toFixed(2)}s`;
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  return hours ? `${hours}h${String(minutes).padStart(2, "0")}m` : `${minutes}m${String(rest).padStart(2, "0")}s`;
}

export function count(value: number | null | undefined): string {
  if (value === null || value === undefined) return "unknown";
  if (Math.abs(value) < 10_000) return value.toLocaleString("en-US");
  return Math.abs(value) < 1_000_000 ? `${(value / 1000).toFixed(1)}k` : `${(value / 1e6).toFixed(2)}M`;
}

/** Tokens in and out; `?` for a side that nobody reported. */
export function tokens(input: number | null | undefined, output: number | null | undefined): string {
  if (input == null && output == null) return "unknown";
  return `${input == null ? "?" : count(input)} → ${output == null ? "?" : count(output)}`;
}

/** A cost in USD; `≥` where calls of unknown cost are not in it. */
export function cost(usd: number | null | undefined, unknown = 0): string {
  if (usd === null || usd === undefined) return "unknown";
  const sign = unknown ? "≥" : "";
  if (usd <= 0) return `${sign}$0`;
  return `${sign}$${usd.toFixed(Math.max(usd >= 100 ? 2 : 4, 1 - Math.floor(Math.log10(usd))))}`;
}

export function plural(many: number, noun: string): string {
  return `${many.toLocaleString("en-US")} ${noun}${many === 1 ? "" : "s"}`;
}

/** A moment in the zone that was chosen, and which zone that is. */
export function moment(time: string | number | null | undefined, precise = false): string {
  if (time === null || time === undefined) return "";
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "";
  const local = zone.value === "local";
  const shifted = local ? new Date(date.getTime() - date.getTimezoneOffset() * 60_000) : date;
  const text = shifted.toISOString().replace("T", " ").replace("Z", "");
  return `${precise ? text : text.slice(0, 19)} ${local ? offset(date) : "UTC"}`;
}

function offset(date: Date): string {
  const minutes = -date.getTimezoneOffset();
  const size = Math.abs(minutes);
  return `${minutes < 0 ? "−" : "+"}${String(Math.floor(size / 60)).padStart(2, "0")}:${String(size % 60).padStart(2, "0")}`;
}

export function ago(time: string | null | undefined): string {
  if (!time) return "";
  const seconds = (now.value - new Date(time).getTime()) / 1000;
  if (seconds < 0) return "";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} days ago`;
}
