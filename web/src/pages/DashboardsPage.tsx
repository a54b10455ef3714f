/** The dashboards that can be imported into Logfire, drawn of what is recorded here. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { AnswerTable } from "../parts/AnswerTable";
import { Bars, LineChart, lines, written } from "../parts/Chart";
import { Link, Problem, Waiting } from "../parts/ui";
import { address, change, href } from "../state/address";
import * as source from "../state/source";
import type { Refused } from "../state/source";
import { RESOLUTIONS, sinceOf, WINDOWS, type Window } from "../state/window";
import type { AtHand, Dashboards, Panel, Table } from "../state/types";

export default function DashboardsPage() {
  const all = useSignal<Dashboards | null>(null);
  const words = useSignal<AtHand | null>(null);
  const problem = useSignal<Refused | null>(null);
  useEffect(() => {
    document.title = "Dashboards · massgen_tracing";
    source.dashboards().then((found) => (all.value = found), (error) => (problem.value = error));
    source.atHand().then((found) => (words.value = found), () => undefined);
  }, []);
  if (problem.value) return <main class="page"><Problem error={problem.value} whole /></main>;
  if (!all.value) return <main class="page"><Waiting>Reading the dashboards …</Waiting></main>;
  const { params } = address.value;
  const names = Object.keys(all.value.dashboards);
  const name = params.get("name") && names.includes(params.get("name")!) ? params.get("name")! : names[0];
  const board = all.value.dashboards[name];
  const since = (params.get("since") as Window | null) ?? "all";
  const variables = Object.fromEntries((board.variables ?? []).map((each) => [each, params.get(each) ?? all.value!.variables[each].value]));
  return (
    <main class="page">
      <h1 class="unseen">{board.title}</h1>
      <nav class="tabs" aria-label="Dashboards">
        {names.map((each) => (
          <Link key={each} to={href("/dashboards", { name: each, since: params.get("since") })} current={each === name} class="tab">{all.value!.dashboards[each].title}</Link>
        ))}
      </nav>
      <div class="ask">
        <label>of <select value={since} onChange={(event) => change({ since: event.currentTarget.value === "all" ? null : event.currentTarget.value })}>
          {Object.entries(WINDOWS).map(([key, title]) => <option key={key} value={key}>{title}</option>)}
        </select></label>
        {Object.entries(variables).map(([each, value]) => (
          <label key={each}>{all.value!.variables[each].title} <input type="text" value={value} onChange={(event) => change({ [each]: event.currentTarget.value || null })} /></label>
        ))}
        <span class="soft">{board.about}</span>
      </div>
      {board.groups.map((group) => (
        <section key={`${name} ${group.title}`}>
          <h2>{group.title}</h2>
          {group.rows.map((row, number) => (
            <div class="panel-grid" key={number}>
              {row.panels.map((panel) => (
                <Tile key={panel.title} panel={panel} width={widthOf(panel, row.panels)} since={since} variables={variables} sql={words.value?.queries.find((each) => each.name === panel.query)?.sql} />
              ))}
            </div>
          ))}
        </section>
      ))}
    </main>
  );
}

function widthOf(panel: Panel, row: Panel[]): number {
  if (panel.width) return panel.width;
  const given = row.reduce((sum, each) => sum + (each.width ?? 0), 0);
  return Math.floor((24 - given) / row.filter((each) => !each.width).length);
}

function Tile({ panel, width, since, variables, sql }: { panel: Panel; width: number; since: Window; variables: Record<string, string>; sql?: string }) {
  const table = useSignal<Table | null>(null);
  const problem = useSignal<Refused | null>(null);
  const asked = JSON.stringify([panel.query, since, variables]);
  useEffect(() => {
    const mine = new AbortController();
    problem.value = null;
    source.sql({ query: panel.query, since: sinceOf(since), params: { ...variables, resolution: RESOLUTIONS[since] } }, mine.signal)
      .then((found) => (table.value = found), (error) => !mine.signal.aborted && (problem.value = error));
    return () => mine.abort();
  }, [asked]);
  return (
    <article class="tile" style={{ gridColumn: `span ${width}` }}>
      <h3>
        {panel.title}
        {sql && <Link to={href("/sql", { sql })} class="soft" label={`SQL: the query ${panel.query}`}>SQL</Link>}
      </h3>
      {problem.value ? <Problem error={problem.value} /> : !table.value ? <Waiting>…</Waiting> : <Shown panel={panel} table={table.value} />}
    </article>
  );
}

function Shown({ panel, table }: { panel: Panel; table: Table }) {
  if (!table.rows.length) return <p class="empty">Nothing is recorded.</p>;
  switch (panel.as) {
    case "values":
      return (
        <dl class="values">
          {table.columns.map((column, place) => {
            const cell = table.rows[0][place];
            return <div key={column.name}><dt>{column.name.replaceAll("_", " ")}</dt><dd>{cell === null ? "unknown" : typeof cell === "number" ? written(cell) : String(cell)}</dd></div>;
          })}
        </dl>
      );
    case "lines": {
      const made = lines(table, panel.by, panel.of);
      return made ? <LineChart data={made} label={panel.title} height={190} /> : <AnswerTable table={table} />;
    }
    case "bars":
    case "pie":
      return <Bars table={table} />;
    default:
      return <AnswerTable table={table} />;
  }
}
