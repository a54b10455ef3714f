/** What the server says, as `massgen_tracing/views/web` writes it. Times are seconds from the run's start; what is not known is null. */

export interface Usage {
  input_tokens: number | null;
  output_tokens: number | null;
  reasoning_tokens: number | null;
  cached_input_tokens: number | null;
  cost: number | null;
}

export interface SpansJson {
  version: string;
  begin: number; // Unix milliseconds
  length: number; // microseconds
  kinds: string[];
  lanes: { name: string; agent: boolean; rows: number }[];
  names: string[];
  traces: string[];
  ids: string;
  trace: number[];
  start: number[];
  duration: number[];
  parent: number[];
  depth: number[];
  lane: number[];
  row: number[];
  kind: number[];
  flags: number[];
  name: number[];
}

export interface RoundJson {
  span_id: string;
  agent_id: string;
  round: number | null;
  round_type: string | null;
  outcome: string | null;
  label: string | null;
  error: string | null;
  seconds: number | null;
  calls_of_unknown_cost: number;
  usage: Usage;
}

export interface CourseRound {
  span_id: string;
  agent_id: string;
  round: number | null;
  start: number;
  seconds: number | null;
  state: string;
  after_all: boolean;
  outcome: string | null;
  shown: string[] | null;
  answer: { label: string; text: string | null } | null;
  vote: { for: string | null; label: string | null; stands: boolean; reason: string | null } | null;
  thrown_away: string | null;
  by: string | null;
}

export interface Coordination {
  session: string;
  agents: string[];
  rounds: CourseRound[];
  winner: string | null;
  winner_label: string | null;
  tally: Record<string, number>;
  reason: string | null;
  answers: { label: string; agent_id: string; span_id: string; text: string | null }[];
  final: { agent_id: string; span_id: string; text: string | null }[];
}

export interface Finding {
  code: string;
  severity: "high" | "medium" | "low";
  what: string;
  agents: string[];
  spans: string[];
  evidence: { text: string; span_id: string | null; agent_id: string | null; round: number | null }[];
  evidence_left_out: number;
  seconds: number | null;
  tokens: number | null;
  usd: number | null;
  calls_of_unknown_cost: number;
  recommendation: string;
}

export interface Facts {
  state: "live" | "interrupted" | "ended";
  question: string;
  start: string | null;
  seconds: number | null;
  agents: string[];
  winner: string | null;
  winner_label: string | null;
  model_calls: number;
  calls_of_unknown_cost: number;
  tool_calls: number;
  errors: number;
  open_spans: number;
  interrupted_spans: number;
  scrubbed: number;
  usage: Usage;
  attempts: number | null;
  rounds: RoundJson[];
  votes: { voter: string; voted_for: string | null; label: string | null; stands: boolean; span_id: string; reason: string | null }[];
  finish_reason: string | null;
  critical_path: { agent_id: string | null; name: string; count: number; seconds: number; longest_seconds: number; span_id: string }[];
  tools: { tool: string; calls: number; failures: number; seconds: number; longest_seconds: number }[];
  thrown_away: (RoundJson & { cause: string; by: string | null })[];
  missing: string[];
  left_out: Record<string, number>;
}

export interface Document {
  run: string;
  directory: string | null;
  trace_id: string | null;
  turn: number | null;
  link: string | null;
  facts: Facts;
  findings: Finding[];
  version: string;
  turns: number[];
  work: string | null;
  whole_question: string | null;
  skipped: string | null;
  coordinations: Coordination[];
  used: ({ agent_id: string | null; model: string | null; calls: number; calls_of_unknown_cost: number } & Usage)[];
  gaps: { agent_id: string | null; round: number | null; start: number; seconds: number; after: string | null }[];
  failures: { agent_id: string | null; round: number | null; span_id: string; name: string; error: string }[];
  failures_left_out: number;
  path: string[];
}

export type Pair = [key: string, value: string];

export interface Part {
  type: string;
  content?: string;
  name?: string;
  id?: string;
  arguments?: string;
  response?: string;
}

export interface Message {
  role: string;
  parts: Part[];
  finish_reason?: string;
  name?: string;
}

export interface Span {
  place: number;
  trace_id: string;
  span_id: string;
  parent_span_id: string | null;
  name: string;
  span_name: string;
  kind: string;
  agent_id: string | null;
  round: number | null;
  start: string;
  offset: number;
  seconds: number | null;
  state: string;
  failed: boolean;
  error: string | null;
  outcome: string | null;
  label: string | null;
  model: string | null;
  provider: string | null;
  usage: Usage | null;
  first_chunk_seconds: number | null;
  texts: { title: string; text: string }[];
  told: Message[];
  said: Message[];
  tool: { name: string; arguments: string | null; result: string | null; chars: number | null } | null;
  cut: boolean;
  attributes: Pair[];
  events: { name: string; offset: number; attributes: Pair[] }[];
  links: { trace_id: string; span_id: string; attributes: Pair[] }[];
  scope: string | null;
  resource: Pair[];
  dropped: number;
}

export interface RunLine {
  run: string;
  directory: string | null;
  started: string | null;
  state: "live" | "interrupted" | "ended" | null;
  turns: { turn: number; attempts: number; report: string | null }[];
  question?: string | null;
  work?: string | null;
  agents?: string[];
  seconds?: number | null;
  winner?: string | null;
  winner_label?: string | null;
  input_tokens?: number | null;
  output_tokens?: number | null;
  cost_usd?: number | null;
  calls_of_unknown_cost?: number;
  errors?: number;
}

export interface Listing {
  root: string;
  runs: RunLine[];
  known: number;
  more: boolean;
  notes: string[];
}

export type Cell = string | number | boolean | null | object;

export interface Table {
  columns: { name: string; type: string; numeric: boolean; json: boolean }[];
  rows: Cell[][];
  cut: string | null;
  limit: number;
  seconds: number;
  skipped: string | null;
}

export interface AtHand {
  queries: { name: string; about: string; sql: string; params: string[]; trace: boolean }[];
  placeholder: string;
  tables: Record<string, Record<string, string>>;
  functions: string[];
  keys: string[];
}

export interface Panel {
  title: string;
  query: string;
  as: "values" | "table" | "bars" | "pie" | "lines";
  by?: string;
  of?: string[];
  width?: number;
}

export interface Dashboards {
  variables: Record<string, { title: string; value: string }>;
  dashboards: Record<
    string,
    { title: string; about: string; variables?: string[]; groups: { title: string; rows: { height?: number; panels: Panel[] }[] }[] }
  >;
}

export interface Side {
  run: string;
  turn: number | null;
  trace_id: string | null;
  calls_of_unknown_cost: number;
}

export interface Comparison {
  first: Side;
  second: Side;
  same_configuration: boolean;
  measures: { name: string; unit: string | null; first: number | null; second: number | null; spread: [number, number] | null; beyond_spread: boolean | null }[];
  tools: { tool: string; first: number; second: number }[];
  findings: { code: string; first: number; second: number }[];
  compared_with: string[];
}
