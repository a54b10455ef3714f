/** What all pages share: links, marks, values that can be copied, and what is said when there is nothing to show. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { go } from "../state/address";
import { plural } from "../state/format";
import type { Refused } from "../state/source";

export function Link({ to, children, class: name, label, current }: {
  to: string;
  children: ComponentChildren;
  class?: string;
  label?: string;
  current?: boolean;
}) {
  return (
    <a
      href={to}
      class={name}
      aria-label={label}
      aria-current={current ? "page" : undefined}
      onClick={(event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
        event.preventDefault();
        go(to);
      }}
    >
      {children}
    </a>
  );
}

/** What went wrong; *whole* where there is nothing else on the page. */
export function Problem({ error, whole = false }: { error: Pick<Refused, "message" | "hint">; whole?: boolean }) {
  return (
    <div class="problem" role="alert">
      {whole ? <h1>{error.message}</h1> : <p>{error.message}</p>}
      {error.hint && !error.message.includes(error.hint) && <p class="soft">{error.hint}</p>}
    </div>
  );
}

export function Waiting({ children }: { children: ComponentChildren }) {
  return <p class="waiting" role="status">{children}</p>;
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

export function State({ state }: { state: string | null | undefined }) {
  if (!state || state === "ended") return null;
  return <span class={`state ${state}`}>{state === "live" ? "live" : state}</span>;
}

export function Copy({ text }: { text: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without the clipboard's leave: by a selection, as it was done before.
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    setDone(true);
    setTimeout(() => setDone(false), 1200);
  };
  return <button type="button" class="quiet" onClick={copy}>{done ? "copied" : "copy"}</button>;
}

const FEW = 3000;

/** A text of any length: the beginning, and how much more there is, until all of it is asked for. */
export function Long({ text, children }: { text: string; children: (shown: string) => ComponentChildren }) {
  const [all, setAll] = useState(text.length <= FEW * 1.2);
  return (
    <>
      {children(all ? text : text.slice(0, FEW))}
      {!all && (
        <button type="button" class="more" onClick={() => setAll(true)}>
          Show all of it: {plural(text.length - FEW, "more character")}
        </button>
      )}
    </>
  );
}

/** A value as it is, in letters of one width. */
export function Plain({ text }: { text: string }) {
  return (
    <div class="plain">
      <Long text={text}>{(shown) => <pre tabIndex={0}>{shown}</pre>}</Long>
      <Copy text={text} />
    </div>
  );
}

export function Tabs<T extends string>({ tabs, current, choose, label }: {
  tabs: [T, string, number?][];
  current: T;
  choose: (tab: T) => void;
  label: string;
}) {
  const move = (event: KeyboardEvent, place: number) => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const next = tabs[(place + by + tabs.length) % tabs.length][0];
    choose(next);
    document.getElementById(`tab-${next}`)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label={label}>
      {tabs.map(([name, title, many], place) => (
        <button
          key={name}
          type="button"
          role="tab"
          id={`tab-${name}`}
          aria-selected={name === current}
          aria-controls={`panel-${name}`}
          tabIndex={name === current ? 0 : -1}
          onClick={() => choose(name)}
          onKeyDown={(event) => move(event, place)}
        >
          {title}
          {many ? <span class={`number ${name}`}>{many.toLocaleString("en-US")}</span> : null}
        </button>
      ))}
    </div>
  );
}

/** A share of the largest value, as a bar in a table. */
export function Bar({ value, most, colour = "model" }: { value: number; most: number; colour?: string }) {
  const share = most > 0 ? Math.max(0, Math.min(1, value / most)) : 0;
  return (
    <svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
      <rect width={100 * share} height="8" class={`fill-${colour}`} />
    </svg>
  );
}
