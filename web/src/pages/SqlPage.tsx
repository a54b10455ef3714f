/** SQL over the recordings: the queries that come with the package, a statement, its rows and a chart of them. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { AnswerTable } from "../parts/AnswerTable";
import { Bars, LineChart, lines, timeColumn } from "../parts/Chart";
import Editor from "../parts/Editor";
import { Problem, Waiting } from "../parts/ui";
import { address, change } from "../state/address";
import { duration, plural } from "../state/format";
import * as source from "../state/source";
import { Refused } from "../state/source";
import { RESOLUTIONS, sinceOf, WINDOWS, type Window } from "../state/window";
import type { AtHand, Table } from "../state/types";

const FIRST = "SELECT span_name, COUNT(*) AS spans, AVG(duration) AS seconds\nFROM records\nGROUP BY span_name\nORDER BY spans DESC\nLIMIT 50";
const DEFAULTS: Record<string, string> = { agent: "%" };

export default function SqlPage() {
  const { params } = address.value;
  const words = useSignal<AtHand | null>(null);
  const table = useSignal<Table | null>(null);
  const problem = useSignal<Refused | null>(null);
  const asking = useSignal(false);
  const filter = useSignal("");
  const given = useSignal({ text: params.get("sql") ?? FIRST });
  const text = useSignal(given.value.text);
  const answers = useSignal<Record<string, string>>(DEFAULTS);
  const stop = useRef<AbortController | null>(null);
  const span = (params.get("since") as Window | null) ?? "all";
  const chart = params.get("show") === "chart";

  useEffect(() => {
    document.title = "SQL · massgen_tracing";
    source.atHand().then((found) => (words.value = found), (error) => (problem.value = error));
    if (params.get("sql")) void ask();
  }, []);
  useEffect(() => {
    // The back button brings an earlier statement back.
    const said = params.get("sql");
    if (said && said !== text.peek()) put(said);
  }, [params.get("sql")]);

  const placeholder = words.value?.placeholder ?? "[TRACE_ID]";
  const needed = [...new Set([...text.value.matchAll(/\$([a-z_]\w*)/gi)].map((found) => found[1]))];
  const aboutTrace = text.value.includes(placeholder);

  function put(statement: string): void {
    text.value = statement;
    given.value = { text: statement };
  }

  async function ask(): Promise<void> {
    stop.current?.abort();
    const mine = (stop.current = new AbortController());
    const now = address.peek().params;
    const since = (now.get("since") as Window | null) ?? "all";
    change({ sql: text.peek() });
    asking.value = true;
    problem.value = null;
    try {
      const params = { resolution: RESOLUTIONS[since], ...answers.peek() };
      const found = await source.sql({ sql: text.peek(), trace: text.peek().includes(placeholder) ? now.get("trace") : null, since: sinceOf(since), params }, mine.signal);
      if (stop.current === mine) table.value = found;
    } catch (error) {
      if (stop.current === mine) {
        problem.value = error instanceof Refused ? error : new Refused(String(error));
        table.value = null;
      }
    } finally {
      if (stop.current === mine) asking.value = false;
    }
  }

  const said = filter.value.toLowerCase();
  const queries = words.value?.queries.filter((each) => `${each.name} ${each.about}`.toLowerCase().includes(said)) ?? [];
  return (
    <main class="page sql">
      <aside aria-label="Queries at hand">
        <h2>Queries at hand</h2>
        <input type="search" id="search" aria-label="Filter the queries" placeholder="Filter" value={filter.value} onInput={(event) => (filter.value = event.currentTarget.value)} />
        <ul>
          {queries.map((each) => (
            <li key={each.name}>
              <button
                type="button"
                class="link"
                onClick={() => {
                  put(each.sql);
                  if (!each.trace || address.peek().params.get("trace")) void ask();
                  else table.value = null;
                }}
              >
                {each.name}<small>{each.about}</small>
              </button>
            </li>
          ))}
        </ul>
      </aside>
      <div>
        <h1>SQL</h1>
        <p class="soft">Logfire's SQL over <code>records</code>, <code>records_all</code> and <code>metrics</code>. Ctrl+Enter asks.</p>
        {words.value ? <Editor given={given.value} words={words.value} change={(next) => (text.value = next)} ask={ask} /> : <Waiting>…</Waiting>}
        <div class="ask">
          <button type="button" class="main-one" onClick={ask}>ask</button>
          <label>of <select value={span} onChange={(event) => change({ since: event.currentTarget.value === "all" ? null : event.currentTarget.value })}>
            {Object.entries(WINDOWS).map(([key, title]) => <option key={key} value={key}>{title}</option>)}
          </select></label>
          {aboutTrace && (
            <label>about the run or trace <input type="text" placeholder="a run's name" value={params.get("trace") ?? ""} onInput={(event) => change({ trace: event.currentTarget.value || null }, true)} /></label>
          )}
          {needed.map((name) => (
            <label key={name}>${name} <input type="text" value={answers.value[name] ?? (name === "resolution" ? RESOLUTIONS[span] : "")} onInput={(event) => (answers.value = { ...answers.value, [name]: event.currentTarget.value })} /></label>
          ))}
          <button type="button" aria-pressed={chart} onClick={() => change({ show: chart ? null : "chart" })}>chart</button>
          {asking.value && <button type="button" onClick={() => { stop.current?.abort(); stop.current = null; asking.value = false; }}>stop</button>}
          <span class="soft" role="status">
            {asking.value ? "asking …" : table.value ? `${plural(table.value.rows.length, "row")} in ${duration(table.value.seconds)}` : ""}
          </span>
        </div>
        {aboutTrace && !params.get("trace") && !table.value && <p class="note">This query is about one run: name it beside <code>ask</code>, or open the query from a run's page.</p>}
        {problem.value && <Problem error={problem.value} />}
        {table.value && (
          <>
            {table.value.cut && <p class="note">There are more: the answer was cut {table.value.cut === "rows" ? `at ${plural(table.value.limit, "row")}` : "for it has too many bytes"}.</p>}
            {table.value.skipped && <p class="note">{table.value.skipped}</p>}
            {chart && <Drawn table={table.value} />}
            {table.value.rows.length ? <AnswerTable key={text.value} table={table.value} /> : <p class="empty">No row.</p>}
          </>
        )}
      </div>
    </main>
  );
}

/** A chart of a column of numbers that is chosen: over time where the rows have times, else a bar a row. */
function Drawn({ table }: { table: Table }) {
  const numbers = table.columns.filter((column) => column.numeric).map((column) => column.name);
  const time = timeColumn(table);
  const asked = address.value.params.get("draw");
  const drawn = asked && numbers.includes(asked) ? asked : numbers[0];
  if (!drawn) return <p class="note">There is no column of numbers to draw.</p>;
  const by = table.columns.find((column, place) => !column.numeric && place !== time)?.name;
  const made = lines(table, by, [drawn]);
  return (
    <section class="drawn">
      <label>
        draws <select value={drawn} onChange={(event) => change({ draw: event.currentTarget.value }, true)}>
          {numbers.map((name) => <option key={name} value={name}>{name}</option>)}
        </select>{made ? ` over ${table.columns[time].name}${by ? `, a line for each ${by}` : ""}` : ""}
      </label>
      {made ? <LineChart data={made} label={`${drawn} over time`} height={260} /> : <Bars table={table} number={drawn} />}
    </section>
  );
}
