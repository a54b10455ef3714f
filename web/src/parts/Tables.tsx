/** What a run came to, in tables: answers, cost, time, errors, findings. Each number is the command line's; each line leads to its span. */
import type { ComponentChildren } from "preact";
import { change } from "../state/address";
import { cost, count, duration, plural, tokens } from "../state/format";
import { onPath, selectId, selectedId, show, told } from "../state/run";
import type { Document, Finding } from "../state/types";
import { Said } from "./Markdown";
import { Bar, Empty } from "./ui";

function SpanLink({ id, children }: { id: string | null; children: ComponentChildren }) {
  if (!id) return <>{children}</>;
  return <button type="button" class="link" aria-pressed={selectedId.value === id} onClick={() => selectId(id)}>{children}</button>;
}

const place = (agent: string | null, round: number | null) => `${agent ?? "no agent"}${round === null ? "" : ` round ${round}`}`;

export function Answers() {
  const document = told.value!;
  const course = document.coordinations;
  if (!course.some((each) => each.answers.length || each.final.length)) return <Empty>No answer is recorded.</Empty>;
  return (
    <div class="answers">
      {course.map((each) => (
        <div key={each.session}>
          {each.final.map((final) => (
            <article key={final.span_id} class="answer final">
              <h3><SpanLink id={final.span_id}>Final answer of {final.agent_id || "nobody that is known"}</SpanLink></h3>
              {final.text ? <Said text={final.text} /> : <p class="note">Its text is not recorded.</p>}
            </article>
          ))}
          {each.answers.map((answer) => {
            const votes = each.rounds.filter((round) => round.vote?.label === answer.label);
            return (
              <article key={answer.span_id} class="answer">
                <h3>
                  <SpanLink id={answer.span_id}>{answer.label} of {answer.agent_id}</SpanLink>
                  {answer.label === each.winner_label && <span class="won"> ★ won</span>}
                </h3>
                {answer.text ? <Said text={answer.text} /> : <p class="note">Its text is not recorded.</p>}
                {votes.length > 0 && (
                  <ul class="votes">
                    {votes.map((round) => (
                      <li key={round.span_id}>
                        <SpanLink id={round.span_id}>{round.agent_id} voted for it</SpanLink>
                        {round.vote!.stands ? "" : " (this vote did not stand)"}
                        {round.vote!.reason ? `: ${round.vote!.reason}` : ""}
                      </li>
                    ))}
                  </ul>
                )}
              </article>
            );
          })}
        </div>
      ))}
    </div>
  );
}

export function Spending() {
  const { used, facts } = told.value!;
  const most = Math.max(...used.map((each) => each.cost ?? 0));
  const unknown = facts.calls_of_unknown_cost;
  return (
    <>
      <h3>Agents and models</h3>
      <p class="soft">
        {unknown ? `The cost of ${plural(unknown, "call")} is not known, and is in no sum: ≥ says so.` : "The cost of every call is known."} Each call counts once, whoever reported it.
      </p>
      {used.length ? (
        <div class="scroll">
          <table>
            <thead><tr><th>agent</th><th>model</th><th class="n">calls</th><th class="n">tokens in → out</th><th class="n">from cache</th><th class="n">reasoning</th><th class="n">cost</th><th class="wide"><span class="unseen">share</span></th></tr></thead>
            <tbody>
              {used.map((each) => (
                <tr key={`${each.agent_id} ${each.model}`}>
                  <td>{each.agent_id ?? "(no agent)"}</td>
                  <td>{each.model ?? "(unknown)"}</td>
                  <td class="n">{each.calls}</td>
                  <td class="n">{tokens(each.input_tokens, each.output_tokens)}</td>
                  <td class="n">{count(each.cached_input_tokens)}</td>
                  <td class="n">{count(each.reasoning_tokens)}</td>
                  <td class="n">{cost(each.cost, each.calls_of_unknown_cost)}</td>
                  <td class="wide"><Bar value={each.cost ?? 0} most={most} /></td>
                </tr>
              ))}
            </tbody>
            <tfoot>
              <tr>
                <th>all</th><td /><td class="n">{facts.model_calls}</td>
                <td class="n">{tokens(facts.usage.input_tokens, facts.usage.output_tokens)}</td>
                <td class="n">{count(facts.usage.cached_input_tokens)}</td>
                <td class="n">{count(facts.usage.reasoning_tokens)}</td>
                <td class="n">{cost(facts.usage.cost, unknown)}</td><td class="wide" />
              </tr>
            </tfoot>
          </table>
        </div>
      ) : <Empty>No model call is recorded{facts.usage.input_tokens === null ? "" : `; its rounds say ${tokens(facts.usage.input_tokens, facts.usage.output_tokens)} tokens and ${cost(facts.usage.cost)}`}.</Empty>}
      <h3>Thrown away</h3>
      {facts.thrown_away.length ? (
        <div class="scroll">
          <table>
            <thead><tr><th>round</th><th>why</th><th class="n">time</th><th class="n">tokens in → out</th><th class="n">cost</th></tr></thead>
            <tbody>
              {facts.thrown_away.map((each) => (
                <tr key={each.span_id}>
                  <td><SpanLink id={each.span_id}>{place(each.agent_id, each.round)}</SpanLink></td>
                  <td>{each.cause}{each.by ? ` by ${each.by}` : ""}</td>
                  <td class="n">{duration(each.seconds) || "unknown"}</td>
                  <td class="n">{tokens(each.usage.input_tokens, each.usage.output_tokens)}</td>
                  <td class="n">{cost(each.usage.cost, each.calls_of_unknown_cost)}</td>
                </tr>
              ))}
            </tbody>
          </table>
          <LeftOut name="thrown_away" />
        </div>
      ) : <Empty>Nothing was thrown away.</Empty>}
    </>
  );
}

function LeftOut({ name }: { name: string }) {
  const many = told.value!.facts.left_out[name];
  return many ? <p class="note">{many.toLocaleString("en-US")} more are not shown; <code>massgen-tracing sql</code> has them.</p> : null;
}

/** Brings a part of the time in which nothing went on into the timeline, with what is around it. */
function look({ start, seconds }: { start: number; seconds: number }): void {
  show((start - seconds / 3) * 1e6, (start + seconds * (4 / 3)) * 1e6);
  document.querySelector(".timeline")?.scrollIntoView({ block: "nearest" });
}

export function Time() {
  const { facts, gaps } = told.value!;
  const most = Math.max(...facts.critical_path.map((each) => each.seconds));
  const longest = Math.max(...facts.tools.map((each) => each.seconds));
  return (
    <>
      <h3>
        What the run waited for{" "}
        <button type="button" aria-pressed={onPath.value} onClick={() => change({ path: onPath.value ? null : 1 })}>show it in the timeline</button>
      </h3>
      {facts.critical_path.length ? (
        <div class="scroll">
          <table>
            <thead><tr><th>agent</th><th>what</th><th class="n">times</th><th class="n">in all</th><th class="n">longest</th><th class="wide"><span class="unseen">share</span></th></tr></thead>
            <tbody>
              {facts.critical_path.map((each) => (
                <tr key={`${each.agent_id} ${each.name}`}>
                  <td>{each.agent_id ?? "(no agent)"}</td>
                  <td><SpanLink id={each.span_id}>{each.name}</SpanLink></td>
                  <td class="n">{each.count}</td>
                  <td class="n">{duration(each.seconds)}</td>
                  <td class="n">{duration(each.longest_seconds)}</td>
                  <td class="wide"><Bar value={each.seconds} most={most} colour="agent" /></td>
                </tr>
              ))}
            </tbody>
          </table>
          <LeftOut name="critical_path" />
        </div>
      ) : <Empty>No path can be told: there is no session with calls in it.</Empty>}
      <h3>Where nothing went on</h3>
      {gaps.length ? (
        <div class="scroll">
          <table>
            <thead><tr><th>round</th><th class="n">for</th><th class="n">from</th><th>after</th></tr></thead>
            <tbody>
              {gaps.slice(0, 100).map((each, number) => (
                <tr key={number}><td><button type="button" class="link" title="Show it in the timeline" onClick={() => look(each)}>{place(each.agent_id, each.round)}</button></td><td class="n">{duration(each.seconds)}</td><td class="n">+{duration(each.start)}</td><td>{each.after ?? "its start"}</td></tr>
              ))}
            </tbody>
          </table>
          {gaps.length > 100 && <p class="note">The longest 100 of {gaps.length}.</p>}
        </div>
      ) : <Empty>In no round was there a second without any work.</Empty>}
      <h3>Tools</h3>
      {facts.tools.length ? (
        <div class="scroll">
          <table>
            <thead><tr><th>tool</th><th class="n">calls</th><th class="n">failed</th><th class="n">in all</th><th class="n">longest</th><th class="wide"><span class="unseen">share</span></th></tr></thead>
            <tbody>
              {facts.tools.map((each) => (
                <tr key={each.tool}>
                  <td>{each.tool}</td><td class="n">{each.calls}</td><td class={`n ${each.failures ? "bad" : ""}`}>{each.failures}</td>
                  <td class="n">{duration(each.seconds)}</td><td class="n">{duration(each.longest_seconds)}</td>
                  <td class="wide"><Bar value={each.seconds} most={longest} colour="tool" /></td>
                </tr>
              ))}
            </tbody>
          </table>
          <LeftOut name="tools" />
        </div>
      ) : <Empty>No tool was called.</Empty>}
    </>
  );
}

export function Errors() {
  const { failures, failures_left_out: more, facts } = told.value!;
  if (!failures.length) return <Empty>Nothing failed.{facts.interrupted_spans ? ` ${plural(facts.interrupted_spans, "span")} did not end.` : ""}</Empty>;
  return (
    <>
      <ol class="errors">
        {failures.map((each) => (
          <li key={each.span_id}>
            <SpanLink id={each.span_id}><b>{place(each.agent_id, each.round)}</b> · {each.name}</SpanLink>
            <p>{each.error}</p>
          </li>
        ))}
      </ol>
      {more > 0 && <p class="note">{more.toLocaleString("en-US")} more: search for <code>state=error</code>.</p>}
    </>
  );
}

export function Findings() {
  const { findings, facts } = told.value as Document;
  return (
    <>
      {findings.length ? findings.map((each, number) => <One key={number} finding={each} />) : <Empty>There are no findings.</Empty>}
      {facts.missing.length > 0 && (
        <>
          <h3>What the recording does not tell</h3>
          <ul>{facts.missing.map((each) => <li key={each}>{each}</li>)}</ul>
        </>
      )}
    </>
  );
}

function One({ finding }: { finding: Finding }) {
  const price = [
    finding.seconds === null ? null : duration(finding.seconds),
    finding.tokens === null ? null : plural(finding.tokens, "token"),
    finding.usd === null ? null : cost(finding.usd, finding.calls_of_unknown_cost),
  ].filter(Boolean);
  return (
    <article class={`finding ${finding.severity}`}>
      <h3><span class="severity">{finding.severity}</span> {finding.what}</h3>
      <p class="soft"><code>{finding.code}</code>{price.length ? ` · ${price.join(" · ")}` : ""}</p>
      <ul>
        {finding.evidence.map((each, number) => <li key={number}><SpanLink id={each.span_id}>{each.text}</SpanLink></li>)}
        {finding.evidence_left_out > 0 && <li class="soft">and {finding.evidence_left_out} more</li>}
      </ul>
      <p>{finding.recommendation}</p>
    </article>
  );
}
