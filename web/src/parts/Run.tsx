/** A run on one page: what came of it, what failed, the timeline, and behind tabs the course, the spans and the sums. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { change, href, inFile } from "../state/address";
import { cost, duration, moment, plural, tokens, zone } from "../state/format";
import {
  errors, found, foundList, nextError, nextFound, problem, query, replay, searching, select, selected, selectedId, spans, tab, told, unreachable, wanted,
  type Tab,
} from "../state/run";
import { withoutDetails } from "../state/source";
import { Course } from "./Course";
import { Details } from "./Details";
import { Outline } from "./Outline";
import { Answers, Errors, Findings, Spending, Time } from "./Tables";
import { Timeline } from "./Timeline";
import { Link, Problem, State, Tabs, Waiting } from "./ui";

export function RunView() {
  if (problem.value) return <main class="page"><Problem error={problem.value} whole /></main>;
  if (!spans.value) return <main class="page"><Waiting>Reading the run …</Waiting></main>;
  return (
    <main class={`page run ${selected.value >= 0 ? "with-details" : ""}`}>
      <div class="main">
        <Head />
        <Alarm />
        <Search />
        <Timeline />
        {told.value ? <Panels /> : <Waiting>Working out what is to be said of it …</Waiting>}
      </div>
      <Details />
      {selectedId.value && selected.value < 0 && <p class="toast" role="status">There is no span {selectedId.value} in this run.</p>}
    </main>
  );
}

function Head() {
  const document = told.value;
  if (!document) return <header class="run-head"><h1>{wanted.value.run ?? "The newest run"}</h1></header>;
  const { facts } = document;
  const name = document.run.startsWith("trace ") ? document.trace_id : document.run;
  const outcome = facts.winner ? <><b class="won">★ {facts.winner}</b>{facts.winner_label ? ` (${facts.winner_label})` : ""}</> : null;
  const figures: [string, preact.ComponentChildren][] = [
    ["won", outcome],
    ["ended", facts.finish_reason && facts.finish_reason !== "completed" ? facts.finish_reason : null],
    ["took", duration(facts.seconds)],
    ["agents", facts.agents.length || null],
    ["model calls", facts.model_calls],
    ["tool calls", facts.tool_calls],
    ["tokens in → out", tokens(facts.usage.input_tokens, facts.usage.output_tokens)],
    ["cost", cost(facts.usage.cost, facts.calls_of_unknown_cost)],
  ];
  return (
    <header class="run-head">
      <h1>{document.whole_question ?? document.work ?? document.run}</h1>
      <p class="soft">
        <State state={facts.state} /> {document.run}
        {document.turns.length > 1 && (
          <label> · question <select value={String(document.turn)} onChange={(event) => change({ turn: event.currentTarget.value, span: null, from: null, to: null })}>
            {document.turns.map((turn) => <option key={turn} value={String(turn)}>{turn} of {document.turns.length}</option>)}
          </select></label>
        )}
        {" · "}
        <button type="button" class="link" title="Between UTC and local time" onClick={() => (zone.value = zone.value === "utc" ? "local" : "utc")}>{moment(facts.start)}</button>
        {!inFile && (
          <>
            {" · "}<Link to={href("/sql", { trace: name })}>ask in SQL</Link>
            {" · "}<Link to={href("/compare", { second: document.turns.length > 1 ? `${name}:${document.turn}` : name })}>compare</Link>
          </>
        )}
        {unreachable.value && <span class="state interrupted">the server does not answer</span>}
      </p>
      <dl class="figures">
        {figures.filter(([, value]) => value !== null && value !== "" && value !== undefined).map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
      </dl>
      {document.skipped && <p class="note">{document.skipped}</p>}
      {facts.scrubbed > 0 && <p class="note">{plural(facts.scrubbed, "secret")} {facts.scrubbed === 1 ? "was" : "were"} taken out when it was recorded.</p>}
      {inFile && withoutDetails > 0 && <p class="note">What {plural(withoutDetails, "span")} {withoutDetails === 1 ? "says" : "say"} is not in this file: it would be too large.</p>}
    </header>
  );
}

/** What failed comes first, also where it is far down. */
function Alarm() {
  const places = errors.value;
  const document = told.value;
  const interrupted = document?.facts.state === "interrupted";
  if (!places.length && !interrupted) return null;
  const at = places.indexOf(selected.value);
  const place = places[at >= 0 ? at : 0];
  const first = document?.failures.find((each) => spans.value!.place(each.span_id) === place);
  return (
    <div class="alarm" role="region" aria-label="Errors">
      {places.length > 0 && (
        <>
          <button type="button" class="link what" onClick={() => select(place)}>
            <b>{plural(places.length, "error")}</b>
            {first && <> · {first.agent_id ?? "no agent"}{first.round === null ? "" : ` round ${first.round}`}: {first.error}</>}
          </button>
          <span class="buttons">
            <button type="button" onClick={() => nextError(-1)} aria-label="Previous error" title="Previous error (E)">‹</button>
            <span>{at >= 0 ? `${at + 1} of ${places.length}` : ""}</span>
            <button type="button" onClick={() => nextError(1)} aria-label="Next error" title="Next error (e)">›</button>
          </span>
        </>
      )}
      {interrupted && !places.length && <span><b>Interrupted:</b> its process was gone before it had ended.</span>}
    </div>
  );
}

function Search() {
  const typed = useSignal(query.value);
  const box = useRef<HTMLInputElement>(null);
  const timer = useRef(0);
  useEffect(() => {
    if (document.activeElement !== box.current) typed.value = query.value;
  }, [query.value]);
  const look = (text: string, wait: number) => {
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => change({ q: text.trim() || null }, true), wait);
  };
  const at = foundList.value.indexOf(selected.value);
  return (
    <form
      class="search"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        look(typed.value, 0);
      }}
    >
      <input
        id="search"
        ref={box}
        type="search"
        value={typed.value}
        placeholder={'Search in the run: a word, "a phrase", key=value, agent=…, kind=tool, -word'}
        aria-label="Search in the run"
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => {
          typed.value = event.currentTarget.value;
          look(typed.value, 250);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter") {
            event.preventDefault();
            nextFound(event.shiftKey ? -1 : 1);
          } else if (event.key === "Escape") {
            typed.value = "";
            look("", 0);
            event.currentTarget.blur();
          }
        }}
      />
      {found.value && (
        <span class="buttons" role="status">
          <button type="button" onClick={() => nextFound(-1)} aria-label="Previous match" title="Previous match (N)">‹</button>
          <span>{searching.value ? "…" : at >= 0 ? `${at + 1} of ${foundList.value.length}` : plural(foundList.value.length, "match").replace("matchs", "matches")}</span>
          <button type="button" onClick={() => nextFound(1)} aria-label="Next match" title="Next match (n)">›</button>
        </span>
      )}
    </form>
  );
}

function Panels() {
  const { failures, failures_left_out: more, findings, coordinations } = told.value!;
  const coordinated = coordinations.some((each) => each.rounds.length);
  const tabs: [Tab, string, number?][] = [
    ...(coordinated ? ([["course", "Course"]] as [Tab, string][]) : []),
    ["spans", "Spans"],
    ...(coordinated ? ([["answers", "Answers"]] as [Tab, string][]) : []),
    ["cost", "Cost"],
    ["time", "Time"],
    ["errors", "Errors", failures.length + more],
    ["findings", "Findings", findings.length],
  ];
  const shown = { course: Course, spans: Outline, answers: Answers, cost: Spending, time: Time, errors: Errors, findings: Findings };
  const current = tabs.some(([name]) => name === tab.value) ? tab.value : "spans";
  const Shown = shown[current];
  return (
    <section class="panels">
      <Tabs tabs={tabs} current={current} choose={(name) => change({ tab: name }, true)} label="Parts of the run" />
      <div role="tabpanel" id={`panel-${current}`} aria-labelledby={`tab-${current}`} class={`panel ${replay.value !== null ? "replayed" : ""}`}>
        <h2 class="unseen">{tabs.find(([name]) => name === current)![1]}</h2>
        <Shown />
      </div>
    </section>
  );
}
