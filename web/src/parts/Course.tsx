/** How the agents came to their decision, as a picture: who was shown what, answered what, voted for whom, and what was thrown away. */
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { duration } from "../state/format";
import { replay, selectId, selectedId, told } from "../state/run";
import type { Coordination, CourseRound } from "../state/types";
import { Empty } from "./ui";

const [HIGH, DOWN, TOP] = [44, 26, 14];

/** Pixels of a box and between two columns: as much as one likes, and the least that can be read. */
const [WIDE, ACROSS, LEAST_WIDE, LEAST_ACROSS] = [148, 50, 120, 26];
const CHARACTER = 6.7;

/** Pixels of a picture that is drawn whole, and between the places from which a wider one is drawn anew. */
const [WHOLE, STEP] = [6000, 1200];

interface Box {
  round: CourseRound;
  x: number;
  y: number;
}

interface Edge {
  kind: "shown" | "vote" | "lost";
  from: Box;
  to: Box;
  stands: boolean;
}

interface Drawing {
  boxes: Box[];
  edges: Edge[];
  width: number;
  height: number;
  /** Pixels of a box. */
  wide: number;
}

/** Each round stands to the right of those before it, and of the answers that it was shown; closer where there is little room. */
function drawing(told: Coordination, room: number): Drawing {
  const columns = new Map<string, number>();
  const lastOf = new Map<string, number>();
  const answerOf = new Map<string, CourseRound>();
  let last = -1;
  for (const round of told.rounds) if (round.answer) answerOf.set(round.answer.label, round);
  for (const round of told.rounds) {
    const before = lastOf.get(round.agent_id);
    let column = before === undefined ? 0 : before + 1;
    for (const label of round.shown ?? []) {
      const of = answerOf.get(label);
      const at = of && columns.get(of.span_id);
      if (at !== undefined) column = Math.max(column, at + 1);
    }
    if (round.after_all) column = Math.max(column, last + 1);
    last = Math.max(last, column);
    columns.set(round.span_id, column);
    lastOf.set(round.agent_id, column);
  }
  const left = Math.min(112, 26 + 7.5 * Math.max(...told.agents.map((agent) => agent.length)));
  const liked = (last + 1) * (WIDE + ACROSS) - ACROSS;
  const spare = (last + 1) * (WIDE - LEAST_WIDE) + last * (ACROSS - LEAST_ACROSS);
  const squeezed = Math.min(1, Math.max(0, (liked - (room - left - 4)) / Math.max(1, spare)));
  const wide = Math.floor(WIDE - squeezed * (WIDE - LEAST_WIDE));
  const across = Math.floor(ACROSS - squeezed * (ACROSS - LEAST_ACROSS));
  const rowOf = new Map(told.agents.map((agent, row) => [agent, row]));
  const boxes = told.rounds.map((round) => ({
    round,
    x: left + (columns.get(round.span_id) ?? 0) * (wide + across),
    y: TOP + (rowOf.get(round.agent_id) ?? 0) * (HIGH + DOWN),
  }));
  const boxOf = new Map(boxes.map((box) => [box.round.span_id, box]));
  const answersOf = new Map<string, Box[]>();
  for (const box of boxes) {
    if (!box.round.answer) continue;
    const known = answersOf.get(box.round.agent_id);
    if (known) known.push(box);
    else answersOf.set(box.round.agent_id, [box]);
  }
  const answered = (label: string | null | undefined) => (label ? boxOf.get(answerOf.get(label)?.span_id ?? "") : undefined);
  const edges: Edge[] = [];
  for (const box of boxes) {
    const { round } = box;
    for (const label of round.shown ?? []) {
      const from = answered(label);
      if (from && from !== box && label !== round.vote?.label) edges.push({ kind: "shown", from, to: box, stands: true });
    }
    const elected = answered(round.vote?.label);
    if (elected && elected !== box) edges.push({ kind: "vote", from: elected, to: box, stands: round.vote!.stands });
    if (round.thrown_away && round.by) {
      const end = round.seconds === null ? Infinity : round.start + round.seconds + 0.5;
      const cause = answersOf.get(round.by)?.findLast((each) => each.round.start + (each.round.seconds ?? 0) <= end);
      if (cause) edges.push({ kind: "lost", from: cause, to: box, stands: true });
    }
  }
  return {
    boxes,
    edges,
    width: left + (Math.max(0, last) + 1) * (wide + across) - across + 4,
    height: TOP + Math.max(1, told.agents.length) * (HIGH + DOWN),
    wide,
  };
}

const short = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function what(round: CourseRound): string {
  if (round.after_all) return round.outcome === "error" ? "failed to present" : "final answer";
  if (round.thrown_away) return round.thrown_away + (round.by ? ` by ${round.by}` : "");
  if (round.vote) return `vote for ${round.vote.label ?? round.vote.for ?? "somebody"}`;
  if (round.answer) return `answer ${round.answer.label}`;
  return round.state === "open" ? "works" : round.outcome ?? round.state;
}

function kindOf(round: CourseRound): string {
  if (round.after_all) return "final";
  if (round.outcome === "error") return "failed";
  if (round.thrown_away) return "lost";
  if (round.vote) return round.vote.stands ? "vote" : "vote old";
  return round.answer ? "answer" : round.state === "open" ? "open" : "none";
}

/** The two lines of a box. */
function written(round: CourseRound, over: boolean, wide: number): [string, string] {
  const second = [round.round === null ? "presentation" : `round ${round.round}`, over ? duration(round.seconds) : ""];
  return [short(over ? what(round) : "works", Math.floor((wide - 14) / CHARACTER)), second.filter(Boolean).join(" · ")];
}

/** What is read aloud: whose round it is, the lines of its box as they stand there, and what these have no room for. */
function spoken(round: CourseRound, [first, second]: [string, string]): string {
  const shown = round.shown === null ? "what it was shown is not recorded" : round.shown.length ? `was shown ${round.shown.join(", ")}` : "was shown no answer";
  return [`${round.agent_id}: ${first} ${second}`, first.endsWith("…") ? what(round) : "", shown].filter(Boolean).join("; ");
}

export function Course() {
  const course = told.value?.coordinations ?? [];
  if (!course.length) return <Empty>There is no coordination in this recording: nobody answered or voted. The spans are on the next tab.</Empty>;
  return <>{course.map((each, number) => <Picture key={each.session} told={each} title={course.length > 1 ? `Attempt ${number + 1}` : null} />)}</>;
}

function Picture({ told, title }: { told: Coordination; title: string | null }) {
  const looked = useSignal<string | null>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const room = useSignal(1000);
  useEffect(() => {
    const box = scroller.current!;
    const observer = new ResizeObserver(() => (room.value = box.clientWidth));
    observer.observe(box);
    room.value = box.clientWidth;
    return () => observer.disconnect();
  }, []);
  const made = useMemo(() => drawing(told, room.value), [told, room.value]);
  const { wide } = made;
  const scroll = useSignal(0);
  // Of a picture that is many screens wide, what is near the screen is drawn.
  const [from, to] = made.width > WHOLE ? [Math.max(0, scroll.value - STEP), Math.min(made.width, scroll.value + 3 * STEP)] : [0, made.width];
  const isNear = (box: Box) => box.x < to && box.x + wide > from;
  const near = useComputed(() => looked.value ?? (made.boxes.some((box) => box.round.span_id === selectedId.value) ? selectedId.value : null));
  const touches = (edge: Edge) => near.value === null || edge.from.round.span_id === near.value || edge.to.round.span_id === near.value;
  const isBefore = (round: CourseRound) => replay.value === null || round.start * 1e6 <= replay.value;
  const isOver = (round: CourseRound) => replay.value === null || (round.start + (round.seconds ?? Infinity)) * 1e6 <= replay.value;
  const edges = made.edges.filter((edge) => isNear(edge.from) || isNear(edge.to));
  const many = edges.length > 120;
  return (
    <figure class="course">
      {title && <figcaption>{title}</figcaption>}
      <div
        class="scroll"
        ref={scroller}
        tabIndex={0}
        role="group"
        aria-label="Rounds, what they were shown and what they came to"
        onScroll={(event) => (scroll.value = Math.floor(event.currentTarget.scrollLeft / STEP) * STEP)}
      >
        <div class="inside" style={{ width: `${made.width}px`, height: `${made.height}px` }}>
        <svg style={{ left: `${from}px` }} width={to - from} height={made.height} viewBox={`${from} 0 ${to - from} ${made.height}`} role="group">
          <defs>
            <pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
              <rect width="7" height="7" class="fill-round-lost" /><rect width="2" height="7" class="fill-lost" opacity="0.35" />
            </pattern>
            <marker id="arrow" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M8 0L0 4L8 8z" class="fill-vote" /></marker>
          </defs>
          {told.agents.map((agent, row) => (
            <g key={agent}>
              <line x1="0" x2={made.width} y1={TOP + row * (HIGH + DOWN) + HIGH / 2} y2={TOP + row * (HIGH + DOWN) + HIGH / 2} class="rail" />
              <text x="0" y={TOP + row * (HIGH + DOWN) + HIGH / 2 - 6} class={`agent ${agent === told.winner ? "won" : ""}`}>
                {agent === told.winner ? "★ " : ""}{short(agent, 12)}<title>{agent}</title>
              </text>
            </g>
          ))}
          {edges.map((edge, number) => {
            const close = near.value !== null && touches(edge);
            if (!isOver(edge.from.round) || !(edge.kind === "shown" ? isBefore : isOver)(edge.to.round)) return null;
            if (edge.kind === "shown" && many && !close) return null;
            return <path key={number} d={curve(edge, wide)} class={`edge ${edge.kind} ${edge.stands ? "" : "old"} ${touches(edge) ? "" : "far"}`} marker-start={edge.kind === "vote" ? "url(#arrow)" : undefined} />;
          })}
          {made.boxes.filter(isNear).map((box) => {
            const { round, x, y } = box;
            if (!isBefore(round)) return null;
            const over = isOver(round);
            const words = written(round, over, wide);
            const far = near.value !== null && near.value !== round.span_id && !edges.some((edge) => touches(edge) && (edge.from === box || edge.to === box));
            return (
              <g
                key={round.span_id}
                class={`box ${over ? kindOf(round) : "open"} ${far ? "far" : ""} ${round.span_id === selectedId.value ? "selected" : ""}`}
                role="button"
                tabindex={0}
                aria-label={spoken(round, words)}
                transform={`translate(${x} ${y})`}
                onClick={() => selectId(round.span_id)}
                onKeyDown={(event) => {
                  if (event.key !== "Enter" && event.key !== " ") return;
                  event.preventDefault();
                  selectId(round.span_id);
                }}
                onMouseEnter={() => (looked.value = round.span_id)}
                onMouseLeave={() => (looked.value = null)}
                onFocus={() => (looked.value = round.span_id)}
                onBlur={() => (looked.value = null)}
              >
                <title>{[spoken(round, words), round.answer?.text, round.vote?.reason].filter(Boolean).join("\n\n")}</title>
                <rect width={wide} height={HIGH} rx="7" />
                <text x="9" y="18">{words[0]}</text>{" "}
                <text x="9" y="34" class="second">{words[1]}</text>
                {over && round.answer && round.answer.label === told.winner_label && <text x={wide - 20} y="19" class="star" aria-hidden="true">★</text>}
              </g>
            );
          })}
        </svg>
        </div>
      </div>
      <Tally told={told} />
      <ul class="legend">
        <li><svg width="26" height="8"><path d="M0 4H26" class="edge shown" /></svg>was shown</li>
        <li><svg width="26" height="8"><path d="M0 4H26" class="edge vote" /></svg>voted for</li>
        {made.edges.some((edge) => edge.kind === "vote" && !edge.stands) && <li><svg width="26" height="8"><path d="M0 4H26" class="edge vote old" /></svg>voted for, which does not stand</li>}
        {made.edges.some((edge) => edge.kind === "lost") && <li><svg width="26" height="8"><path d="M0 4H26" class="edge lost" /></svg>made it start again</li>}
      </ul>
    </figure>
  );
}

function curve({ from, to, kind }: Edge, wide: number): string {
  const lift = kind === "vote" ? -5 : kind === "lost" ? 8 : 3;
  const [x1, y1, x2, y2] = [from.x + wide + (kind === "vote" ? 3 : 0), from.y + HIGH / 2 + lift, to.x, to.y + HIGH / 2 + lift];
  if (x2 >= x1) {
    const bend = Math.max(18, Math.min(60, (x2 - x1) / 2));
    return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
  }
  // Beside or before it: from the edge of the one to that of the other which face each other.
  const down = to.y > from.y;
  const [a, b] = [from.x + wide / 2 + 22, to.x + wide / 2 + 22];
  const [begin, end] = [down ? from.y + HIGH : from.y, down ? to.y : to.y + HIGH];
  return `M${a} ${begin}C${a} ${begin + (down ? 16 : -16)} ${b} ${end + (down ? -16 : 16)} ${b} ${end}`;
}

function Tally({ told }: { told: Coordination }) {
  const entries = Object.entries(told.tally).sort(([, a], [, b]) => b - a);
  if (!entries.length && !told.winner) return null;
  return (
    <p class="tally">
      {told.winner ? <><b class="won">★ {told.winner}</b> won{told.winner_label ? ` with ${told.winner_label}` : ""}{told.reason ? `: ${told.reason}` : ""}. </> : "There is no winner. "}
      {entries.length > 0 && <>Votes that stand: {entries.map(([label, many]) => `${label} ${many}`).join(", ")}.</>}
    </p>
  );
}
