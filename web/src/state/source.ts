/** Where the data come from: the server that this page is from, or the file that it stands in. */
import { inFile } from "./address";
import type { Comparison, Dashboards, Document, AtHand, Listing, Span, SpansJson, Table } from "./types";

export class Refused extends Error {
  constructor(message: string, readonly hint: string | null = null) {
    super(message);
  }
}

async function ask(path: string, init?: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new Refused("The server does not answer.", "Is `massgen-tracing view` still running?");
  }
  if (response.ok || response.status === 304) return response;
  const told = await response.json().catch(() => null);
  throw new Refused(told?.error?.message ?? `The server answered ${response.status}.`, told?.error?.hint ?? null);
}

async function get<T>(path: string, params: Record<string, string | number | null | undefined> = {}): Promise<T> {
  const said = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) if (value !== null && value !== undefined) said.set(key, String(value));
  return (await ask(`${path}?${said}`)).json() as Promise<T>;
}

interface Inlined {
  run: Document;
  spans: SpansJson;
  details: Record<string, Span>;
  left_out: number;
}

const inlined: Inlined | null = inFile ? JSON.parse(document.getElementById("run-data")!.textContent!) : null;

/** Spans of a file whose details there was no room for. */
export const withoutDetails = inlined?.left_out ?? 0;

export interface Wanted {
  run: string | null;
  turn: number | null;
}

export async function spans(wanted: Wanted, version: string | null): Promise<SpansJson | null> {
  if (inlined) return version === inlined.spans.version ? null : inlined.spans;
  const said = new URLSearchParams();
  if (wanted.run) said.set("run", wanted.run);
  if (wanted.turn !== null) said.set("turn", String(wanted.turn));
  const response = await ask(`/api/spans?${said}`, version ? { headers: { "If-None-Match": `"${version}"` } } : undefined);
  return response.status === 304 ? null : response.json();
}

export const run = async (wanted: Wanted): Promise<Document> => inlined?.run ?? get<Document>("/api/run", { ...wanted });

export async function span(wanted: Wanted, trace: string, id: string): Promise<Span> {
  if (!inlined) return get<Span>("/api/span", { ...wanted, trace, span: id });
  const found = inlined.details[id];
  if (!found) throw new Refused("What this span says is not in this file.", "It was left out, for the file would be too large; the run's own page has it.");
  return found;
}

export async function search(wanted: Wanted, q: string): Promise<{ version: string; places: number[] }> {
  if (!inlined) return get("/api/search", { ...wanted, q });
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  const { names, name, ids } = inlined.spans;
  const places: number[] = [];
  for (let place = 0; place < name.length; place++) {
    const detail = inlined.details[ids.slice(place * 16, place * 16 + 16)];
    const text = (detail ? JSON.stringify(detail) : names[name[place]]).toLowerCase();
    if (words.length && words.every((word) => text.includes(word))) places.push(place);
  }
  return { version: inlined.spans.version, places };
}

export const runs = (limit: number): Promise<Listing> => get("/api/runs", { limit });
export const compare = (first: string, second: string): Promise<Comparison> => get("/api/compare", { first, second });
export const atHand = (): Promise<AtHand> => get("/api/queries");
export const dashboards = (): Promise<Dashboards> => get("/api/dashboards");

export interface Question {
  sql?: string;
  query?: string;
  trace?: string | null;
  since?: string | null;
  params?: Record<string, string>;
  limit?: number;
}

export async function sql(question: Question, signal?: AbortSignal): Promise<Table> {
  const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(question), signal };
  return (await ask("/api/sql", init)).json();
}
