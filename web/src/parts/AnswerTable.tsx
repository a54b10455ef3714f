/** The rows of an answer. Ids lead to what they are of; texts are shown as they are. */
import { useSignal } from "@preact/signals";
import { href } from "../state/address";
import { moment } from "../state/format";
import type { Cell, Table } from "../state/types";
import { written } from "./Chart";
import { Link } from "./ui";

const STEP = 200;
const FEW = 400;
/** Characters that stand in one line, also where it is narrow. */
const SHORT = 28;

export function AnswerTable({ table }: { table: Table }) {
  const shown = useSignal(STEP);
  const sorted = useSignal<[number, boolean] | null>(null);
  const rows = [...table.rows];
  if (sorted.value) {
    const [at, down] = sorted.value;
    rows.sort((a, b) => order(a[at], b[at]) * (down ? -1 : 1));
  }
  const trace = table.columns.findIndex((column) => column.name === "trace_id");
  return (
    <div class="answer-table" tabIndex={0} role="group" aria-label="Rows">
      <table>
        <thead>
          <tr>
            {table.columns.map((column, place) => (
              <th key={place} class={column.numeric ? "n" : ""} aria-sort={sorted.value?.[0] === place ? (sorted.value[1] ? "descending" : "ascending") : undefined}>
                <button type="button" class="link" onClick={() => (sorted.value = [place, sorted.value?.[0] === place ? !sorted.value[1] : column.numeric])} title={`Sort by it (${column.type})`}>
                  {column.name}{sorted.value?.[0] === place ? (sorted.value[1] ? " ↓" : " ↑") : ""}
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, shown.value).map((row, number) => (
            <tr key={number}>
              {table.columns.map((column, place) => (
                <td key={place} class={column.numeric ? "n" : String(row[place] ?? "").length <= SHORT ? "short" : ""}><Value cell={row[place]} name={column.name} type={column.type} trace={trace < 0 ? null : String(row[trace])} /></td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > shown.value && <button type="button" class="more" onClick={() => (shown.value += STEP * 5)}>Show more: {shown.value} of {rows.length}</button>}
    </div>
  );
}

function order(a: Cell, b: Cell): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
  return typeof a === "number" && typeof b === "number" ? a - b : String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0;
}

function Value({ cell, name, type, trace }: { cell: Cell; name: string; type: string; trace: string | null }) {
  const all = useSignal(false);
  if (cell === null) return <span class="soft">–</span>;
  if (typeof cell === "number") return <>{written(cell)}</>;
  if (typeof cell === "boolean") return <>{String(cell)}</>;
  if (typeof cell === "object") return <pre>{JSON.stringify(cell, null, 1)}</pre>;
  if (name === "trace_id") return <Link to={href("/run", { run: cell })}><code>{cell.slice(0, 12)}…</code></Link>;
  if (name === "span_id" && trace) return <Link to={href("/run", { run: trace, span: cell })}><code>{cell}</code></Link>;
  if (type.startsWith("timestamp")) return <span title={cell}>{moment(cell, true)}</span>;
  if (cell.length <= FEW || all.value) return cell.includes("\n") || cell.startsWith("{") ? <pre>{cell}</pre> : <>{cell}</>;
  return <>{cell.slice(0, FEW)}<button type="button" class="link" onClick={() => (all.value = true)}> … all {cell.length.toLocaleString("en-US")} characters</button></>;
}
