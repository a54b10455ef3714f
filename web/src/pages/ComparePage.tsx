/** Two runs side by side: what changed, and what of that is beyond what earlier runs of the same agents and models had. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Link, Problem, Waiting } from "../parts/ui";
import { address, change, href } from "../state/address";
import { cost, duration } from "../state/format";
import * as source from "../state/source";
import type { Refused } from "../state/source";
import type { Comparison, RunLine } from "../state/types";

export default function ComparePage() {
  const runs = useSignal<RunLine[] | null>(null);
  const told = useSignal<Comparison | null>(null);
  const problem = useSignal<Refused | null>(null);
  const { params } = address.value;
  const unknown = [...params.keys()].filter((name) => name !== "first" && name !== "second");
  const [first, second] = [params.get("first"), params.get("second")];
  useEffect(() => {
    document.title = "Compare · massgen_tracing";
    source.runs(100).then((found) => (runs.value = found.runs.filter((run) => run.agents !== undefined)), (error) => (problem.value = error));
  }, []);
  useEffect(() => {
    if (!first || !second) return;
    told.value = problem.value = null;
    source.compare(first, second).then((found) => (told.value = found), (error) => (problem.value = error));
  }, [first, second]);
  return (
    <main class="page">
      <h1>Compare</h1>
      <div class="compare-form">
        <Choose label="A" value={first} runs={runs.value ?? []} choose={(run) => change({ first: run })} />
        <button type="button" onClick={() => change({ first: second, second: first })} disabled={!first || !second} aria-label="Exchange A and B">⇄</button>
        <Choose label="B" value={second} runs={runs.value ?? []} choose={(run) => change({ second: run })} />
      </div>
      {unknown.length > 0 && <p class="soft">This page does not know {unknown.map((name) => `${name}=`).join(", ")}: it takes first= and second=, each a run, or RUN:N for its question N.</p>}
      {problem.value && <Problem error={problem.value} />}
      {!first || !second ? <p class="empty">{runs.value && runs.value.length < 2 ? "Two runs are compared, and fewer are recorded here." : "Choose two runs."}</p> : !told.value && !problem.value ? <Waiting>Comparing …</Waiting> : null}
      {told.value && <Told told={told.value} />}
    </main>
  );
}

function Choose({ label, value, runs, choose }: { label: string; value: string | null; runs: RunLine[]; choose: (run: string) => void }) {
  const known = runs.some((run) => run.run === value || run.turns.some((turn) => `${run.run}:${turn.turn}` === value));
  return (
    <label>{label} <select value={value ?? ""} onChange={(event) => choose(event.currentTarget.value)}>
      <option value="" disabled>choose a run</option>
      {value && !known && <option value={value}>{value}</option>}
      {runs.flatMap((run) => {
        const title = `${(run.question ?? run.work ?? "").slice(0, 60)} · ${run.run}`;
        const whole = <option key={run.run} value={run.run}>{title}</option>;
        return run.turns.length > 1 ? [whole, ...run.turns.map((turn) => <option key={`${run.run}:${turn.turn}`} value={`${run.run}:${turn.turn}`}>{title}, question {turn.turn}</option>)] : [whole];
      })}
    </select></label>
  );
}

function written(value: number | null, unit: string | null, costless = 0): string {
  if (value === null) return "unknown";
  return unit === "s" ? duration(value) : unit === "USD" ? cost(value, costless) : value.toLocaleString("en-US");
}

/** Of costs that leave calls out, as far as something is known of it: A's calls are what is compared with, B's would add to it. */
function changed(first: number | null, second: number | null, unit: string | null, costless: [number, number]): string {
  if (first === null || second === null || first === second) return "";
  const [ofFirst, ofSecond] = unit === "USD" ? costless : [0, 0];
  if (ofFirst) return "unknown";
  if (!first) return `+${written(second, unit, ofSecond)}`;
  const share = (second - first) / first;
  const digits = Math.abs(share) < 0.1 ? 1 : 0;
  const percent = Math.abs(share * 100).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${ofSecond ? "≥" : ""}${share > 0 ? "+" : "−"}${percent} %`;
}

function Told({ told }: { told: Comparison }) {
  const name = (side: Comparison["first"]) => (
    <Link to={href("/run", { run: side.run.startsWith("trace ") ? side.trace_id : side.run, turn: side.turn })}>{side.run}{side.turn === null ? "" : `, question ${side.turn}`}</Link>
  );
  const spread = told.measures.some((each) => each.spread);
  return (
    <>
      <p>A is {name(told.first)}, B is {name(told.second)}.{!told.same_configuration && <span class="bad"> They are of different configurations: other agents, or other models.</span>}</p>
      {told.first.calls_of_unknown_cost + told.second.calls_of_unknown_cost > 0 && <p class="soft">≥: calls whose cost nobody knows are not in it.</p>}
      <div class="compared">
      <div class="scroll">
        <h2>Measures</h2>
        <table>
          <thead><tr><th>what</th><th class="n">A</th><th class="n">B</th><th class="n">change</th>{spread && <th>earlier runs of the same agents</th>}</tr></thead>
          <tbody>
            {told.measures.map((each) => (
              <tr key={each.name}>
                <td>{each.name}</td>
                <td class="n">{written(each.first, each.unit, told.first.calls_of_unknown_cost)}</td>
                <td class="n">{written(each.second, each.unit, told.second.calls_of_unknown_cost)}</td>
                <td class="n">{changed(each.first, each.second, each.unit, [told.first.calls_of_unknown_cost, told.second.calls_of_unknown_cost])}</td>
                {spread && <td>{each.spread ? `${written(each.spread[0], each.unit)} to ${written(each.spread[1], each.unit)}` : ""}{each.beyond_spread ? <b class="bad"> beyond it</b> : ""}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <Counts title="Tool calls" rows={told.tools.map((each) => [each.tool, each.first, each.second])} />
      <Counts title="Findings" rows={told.findings.map((each) => [each.code, each.first, each.second])} />
      </div>
    </>
  );
}

function Counts({ title, rows }: { title: string; rows: [string, number, number][] }) {
  if (!rows.length) return null;
  return (
    <div class="scroll">
      <h2>{title}</h2>
      <table>
        <thead><tr><th>what</th><th class="n">A</th><th class="n">B</th></tr></thead>
        <tbody>{rows.map(([name, first, second]) => <tr key={name}><td>{name}</td><td class="n">{first}</td><td class="n">{second}</td></tr>)}</tbody>
      </table>
    </div>
  );
}
