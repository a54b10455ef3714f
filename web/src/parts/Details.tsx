/** One span in full: what happened in words, what was said, and then every value that it has. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { href } from "../state/address";
import { cost, count, duration, moment, plural, tokens } from "../state/format";
import { detail, reveal, select, selectId, selected, spans, titleOf, told } from "../state/run";
import { Refused } from "../state/source";
import type { Message, Pair, Part, Span } from "../state/types";
import { Said } from "./Markdown";
import { zoomTo } from "./Timeline";
import { Copy, Plain, Problem, State, Waiting } from "./ui";

export function Details() {
  const place = selected.value;
  const all = spans.value;
  const panel = useRef<HTMLElement>(null);
  useEffect(() => {
    if (panel.current) panel.current.scrollTop = 0;
  }, [place]);
  if (place < 0 || !all) return null;
  const told = detail.value;
  return (
    <aside class="details" ref={panel} aria-label="Details of the span" id="details">
      <header>
        <div class="buttons">
          <button type="button" class="quiet" disabled={all.parent[place] < 0} onClick={() => select(all.parent[place])} title="The span that this one is in">
            ↑ parent
          </button>
          <button type="button" class="quiet" onClick={() => { reveal(place); zoomTo(place); }} title="Zoom to it (z)">zoom</button>
          <Copy text={location.href} />
          <button type="button" class="close" onClick={() => select(-1)} aria-label="Close the details" title="Close (Esc)">✕</button>
        </div>
        <h2><i class={`mark back-${all.kindName(place)}`} />{titleOf(place)}</h2>
      </header>
      {told instanceof Refused ? <Problem error={told} /> : told && told.span_id === all.id(place) ? <Told span={told} /> : <Waiting>Reading it …</Waiting>}
    </aside>
  );
}

function Told({ span }: { span: Span }) {
  return (
    <>
      <Head span={span} />
      {span.error && <div class="error" role="note"><b>{span.state === "interrupted" ? "Interrupted" : "Failed"}</b><Said text={span.error} /></div>}
      {span.cut && (
        <p class="note">
          Some of its values were cut when they were recorded, and say how long they were. <code>full_content=True</code> records them in full.
        </p>
      )}
      {span.texts.filter((each) => each.title !== "Error" || each.text !== span.error).map((each) => (
        <Section key={each.title} title={each.title}><Said text={each.text} /></Section>
      ))}
      {span.tool && <Tool tool={span.tool} />}
      {span.told.length > 0 && <Conversation title="What it was told" messages={span.told} fold={span.told.length > 8} />}
      {span.said.length > 0 && <Conversation title="What it said" messages={span.said} />}
      {span.kind === "model" && !span.told.length && !span.said.length && <p class="note">Its messages are not recorded.</p>}
      {span.events.length > 0 && (
        <Section title={`Events (${span.events.length})`}>
          {span.events.map((event, number) => (
            <details key={number} open={event.name === "exception"}>
              <summary>{event.name} <span class="soft">+{duration(event.offset)}</span></summary>
              <Pairs pairs={event.attributes} />
            </details>
          ))}
        </Section>
      )}
      {span.links.length > 0 && (
        <Section title={`Links (${span.links.length})`}>
          <ul>
            {span.links.map((link) => (
              <li key={link.span_id}>
                {spans.value!.place(link.span_id) >= 0
                  ? <button type="button" class="quiet" onClick={() => selectId(link.span_id)}>span {link.span_id}</button>
                  : <a href={href("/run", { run: link.trace_id, span: link.span_id })}>span {link.span_id} of trace {link.trace_id.slice(0, 8)}…</a>}
                {link.attributes.length > 0 && <Pairs pairs={link.attributes} />}
              </li>
            ))}
          </ul>
        </Section>
      )}
      <Section title={`Attributes (${span.attributes.length})`}>
        <Pairs pairs={span.attributes} />
        {span.dropped > 0 && <p class="note">{plural(span.dropped, "value")} had no room where it was recorded.</p>}
      </Section>
      <details class="section">
        <summary>Where it comes from</summary>
        <Pairs pairs={[
          ["trace_id", span.trace_id], ["span_id", span.span_id], ["parent_span_id", span.parent_span_id ?? "none"], ["name", span.span_name],
          ["scope", span.scope ?? "not said"], ...span.resource,
        ]} />
      </details>
    </>
  );
}

function Head({ span }: { span: Span }) {
  const usage = span.usage;
  const round = told.value?.facts.rounds.find((each) => each.span_id === span.span_id);
  const facts: [string, ComponentChildren][] = [
    ["who", [span.agent_id, span.round === null ? null : `round ${span.round}`].filter(Boolean).join(", ")],
    ["what", [span.outcome, span.label].filter(Boolean).join(" ")],
    ["took", span.seconds === null ? (span.state === "open" ? "goes on" : "unknown: it never ended") : span.kind === "event" ? "" : duration(span.seconds)],
    ["began", <span title={moment(span.start, true)}>{`+${duration(span.offset)}`} <span class="soft">{moment(span.start)}</span></span>],
    ["model", [span.model, span.provider && span.model !== span.provider ? span.provider : null].filter(Boolean).join(", ")],
    ["first chunk", span.first_chunk_seconds === null ? "" : duration(span.first_chunk_seconds)],
    ["tokens", usage ? tokens(usage.input_tokens, usage.output_tokens) : ""],
    ["of which", usage ? [
      usage.cached_input_tokens === null ? null : `${count(usage.cached_input_tokens)} from the cache`,
      usage.reasoning_tokens === null ? null : `${count(usage.reasoning_tokens)} reasoning`,
    ].filter(Boolean).join(", ") : ""],
    ["cost", usage ? cost(usage.cost, round?.calls_of_unknown_cost) : ""],
  ];
  return (
    <dl class="facts">
      {facts.filter(([, value]) => value).map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
      {span.state !== "ended" && <div><dt>state</dt><dd><State state={span.state === "open" ? "live" : span.state} /></dd></div>}
    </dl>
  );
}

function Section({ title, children }: { title: string; children: ComponentChildren }) {
  return <section class="section"><h3>{title}</h3>{children}</section>;
}

function Tool({ tool }: { tool: NonNullable<Span["tool"]> }) {
  return (
    <>
      <Section title={`${tool.name} was called with`}>{tool.arguments === null ? <p class="note">not recorded</p> : <Plain text={tool.arguments} />}</Section>
      <Section title="It gave">
        {tool.result === null ? <p class="note">not recorded</p> : <Plain text={tool.result} />}
        {tool.result !== null && tool.chars !== null && tool.chars > tool.result.length && (
          <p class="note">{plural(tool.chars, "character")} in all, of which the beginning is recorded.</p>
        )}
      </Section>
    </>
  );
}

function Conversation({ title, messages, fold = false }: { title: string; messages: Message[]; fold?: boolean }) {
  const early = fold ? messages.slice(0, -4) : [];
  return (
    <Section title={title}>
      {early.length > 0 && (
        <details>
          <summary>{plural(early.length, "earlier message")}</summary>
          {early.map((message, number) => <Turn key={number} message={message} />)}
        </details>
      )}
      {messages.slice(early.length).map((message, number) => <Turn key={number} message={message} />)}
    </Section>
  );
}

function Turn({ message }: { message: Message }) {
  return (
    <article class={`message ${["system", "user", "assistant", "tool"].includes(message.role) ? message.role : "other"}`}>
      <h4>
        {message.role}{message.name ? ` · ${message.name}` : ""}
        {message.finish_reason && <span class="soft"> · stopped: {message.finish_reason}</span>}
      </h4>
      {message.parts.map((part, number) => <Piece key={number} part={part} />)}
      {!message.parts.length && <p class="note">nothing</p>}
    </article>
  );
}

function Piece({ part }: { part: Part }) {
  switch (part.type) {
    case "text":
      return <Said text={part.content ?? ""} />;
    case "reasoning":
      return <details class="reasoning" open><summary>reasoning</summary><Said text={part.content ?? ""} /></details>;
    case "tool_call":
      return <div class="call"><b>calls {part.name}</b>{part.arguments !== undefined && <Plain text={part.arguments} />}</div>;
    case "tool_call_response":
      return <div class="call"><b>result</b><Plain text={part.response ?? ""} /></div>;
    default:
      return <p class="note">something that is no text: {part.type}</p>;
  }
}

function Pairs({ pairs }: { pairs: Pair[] }) {
  if (!pairs.length) return <p class="note">none</p>;
  return (
    <dl class="pairs">
      {pairs.map(([key, value]) => (
        <div key={key}>
          <dt>{key}</dt>
          <dd>{value.length > 120 || value.includes("\n") ? <Plain text={value} /> : <code>{value === "" ? "(empty)" : value}</code>}</dd>
        </div>
      ))}
    </dl>
  );
}
