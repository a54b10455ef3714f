/** The recorded runs, newest first; those that go on change as they do. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Link, Problem, State, Waiting } from "../parts/ui";
import { address, change, go, href } from "../state/address";
import { ago, cost, duration, moment, now, plural, tokens } from "../state/format";
import * as source from "../state/source";
import type { Refused } from "../state/source";
import type { Listing, RunLine } from "../state/types";

const STEP = 30;

export function RunsPage() {
  const listing = useSignal<Listing | null>(null);
  const problem = useSignal<Refused | null>(null);
  const chosen = useSignal<string[]>([]);
  const limit = Number(address.value.params.get("limit")) || STEP;
  const filter = (address.value.params.get("q") ?? "").toLowerCase();
  useEffect(() => {
    document.title = "Runs · massgen_tracing";
    let [timer, gone] = [0, false];
    const read = async () => {
      try {
        const found = await source.runs(limit);
        if (gone) return;
        listing.value = found;
        problem.value = null;
      } catch (error) {
        if (!gone) problem.value = error as Refused;
      }
      now.value = Date.now();
      if (!gone) timer = window.setTimeout(read, listing.value?.runs.some((run) => run.state === "live") ? 1500 : 5000);
    };
    void read();
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [limit]);

  if (problem.value && !listing.value) return <main class="page"><Problem error={problem.value} whole /></main>;
  if (!listing.value) return <main class="page"><Waiting>Reading the runs …</Waiting></main>;
  const { runs, root, known, more, notes } = listing.value;
  const shown = filter ? runs.filter((run) => `${run.run} ${run.question ?? ""} ${run.work ?? ""} ${run.agents?.join(" ") ?? ""} ${run.state}`.toLowerCase().includes(filter)) : runs;
  return (
    <main class="page runs">
      <header class="list-head">
        <h1>Runs</h1>
        <p class="soft">in <code>{root}</code></p>
        <input
          type="search"
          id="search"
          aria-label="Filter the runs"
          placeholder="Filter: question, agent, state"
          value={address.value.params.get("q") ?? ""}
          onInput={(event) => change({ q: event.currentTarget.value || null }, true)}
        />
        <button type="button" disabled={chosen.value.length !== 2} onClick={() => go(href("/compare", { first: chosen.value[0], second: chosen.value[1] }))}>
          compare{chosen.value.length ? ` (${chosen.value.length} of 2)` : ""}
        </button>
      </header>
      {problem.value && <Problem error={problem.value} />}
      {!runs.length && <p class="empty">There are no runs here yet. <code>massgen-tracing run --dry-run "your question"</code> makes one without any key.</p>}
      <ul class="cards">
        {shown.map((run) => (
          <Card
            key={run.run}
            run={run}
            isChosen={chosen.value.includes(run.run)}
            choose={() => (chosen.value = chosen.value.includes(run.run) ? chosen.value.filter((each) => each !== run.run) : [...chosen.value, run.run].slice(-2))}
          />
        ))}
      </ul>
      {filter && <p class="soft">{plural(shown.length, "run")} of the {runs.length} that are listed.</p>}
      {more && (
        <button type="button" class="more" onClick={() => change({ limit: limit + STEP }, true)}>Show more: {runs.length} of about {known.toLocaleString("en-US")}</button>
      )}
      {notes.map((note) => <p key={note} class="note">{note}</p>)}
    </main>
  );
}

function Card({ run, isChosen, choose }: { run: RunLine; isChosen: boolean; choose: () => void }) {
  const recorded = run.agents !== undefined;
  const title = run.question ?? run.work ?? run.run;
  return (
    <li class={`card ${run.errors ? "with-errors" : ""}`}>
      <input type="checkbox" checked={isChosen} onChange={choose} aria-label={`Choose ${run.run} for a comparison`} disabled={!recorded} />
      <div class="what">
        <h2>{recorded ? <Link to={href("/run", { run: run.run })}>{title}</Link> : title}</h2>
        <p class="soft">
          <State state={run.state} /> {run.winner ? <b class="won">★ {run.winner}</b> : null}
          {run.errors ? <span class="bad">{plural(run.errors, "error")}</span> : null}
          <span title={moment(run.started)}>{moment(run.started)} <span class="ago">{ago(run.started)}</span></span>
          {title === run.run ? null : <span class="name">{run.run}</span>}
          {run.turns.length > 1 && <span>{plural(run.turns.length, "question")}</span>}
        </p>
      </div>
      {recorded ? (
        <dl>
          <div><dt>agents</dt><dd>{run.agents!.length || "–"}</dd></div>
          <div><dt>took</dt><dd>{duration(run.seconds) || "–"}</dd></div>
          <div><dt>tokens</dt><dd>{tokens(run.input_tokens, run.output_tokens)}</dd></div>
          <div><dt>cost</dt><dd>{cost(run.cost_usd, run.calls_of_unknown_cost)}</dd></div>
        </dl>
      ) : <p class="soft">nothing recorded</p>}
    </li>
  );
}
