/** The same spans as a list, for the keyboard, for reading aloud, and for looking closely: only what is in view is in the document. */
import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { duration, plural } from "../state/format";
import { emphasis, found, select, selected, spans, titleOf, whose } from "../state/run";
import { FAILED, INTERRUPTED } from "../state/spans";
import { zoomTo } from "./Timeline";

const HEIGHT = 26;
const FEW = 400;

export function Outline() {
  const all = spans.value!;
  const box = useRef<HTMLDivElement>(null);
  const scroll = useSignal(0);
  const height = useSignal(480);
  const open = useSignal<Set<number>>(initial());
  const only = useSignal(true);

  // With something found, that alone and what it is in is listed.
  const listed = useComputed(() => {
    const now = spans.value!;
    const filter = only.value ? found.value : null;
    if (filter) {
      const keep = new Set<number>();
      for (const place of filter) for (let each = place; each >= 0 && !keep.has(each); each = now.parent[each]) keep.add(each);
      return Int32Array.from(keep).sort();
    }
    const places: number[] = [];
    for (let place = 0; place < now.count; ) {
      places.push(place);
      place += open.value.has(place) ? 1 : now.below[place] + 1;
    }
    return Int32Array.from(places);
  });

  const goTo = (place: number) => {
    const rows = listed.peek();
    const row = rows.indexOf(place);
    const element = box.current;
    if (row < 0 || !element) return;
    const top = row * HEIGHT;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + HEIGHT > element.scrollTop + element.clientHeight) element.scrollTop = top + HEIGHT - element.clientHeight;
  };

  useSignalEffect(() => {
    const place = selected.value;
    const now = spans.value;
    if (place < 0 || !now) return;
    const above: number[] = [];
    for (let each = now.parent[place]; each >= 0; each = now.parent[each]) if (!open.peek().has(each)) above.push(each);
    if (above.length) open.value = new Set([...open.peek(), ...above]);
    requestAnimationFrame(() => goTo(place));
  });

  useEffect(() => {
    const element = box.current!;
    const observer = new ResizeObserver(() => (height.value = element.clientHeight));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const rows = listed.value;
  const first = Math.max(0, Math.floor(scroll.value / HEIGHT) - 6);
  const shown = rows.subarray(first, first + Math.ceil(height.value / HEIGHT) + 12);
  const toggle = (place: number, to = !open.peek().has(place)) => {
    const next = new Set(open.peek());
    if (to) next.add(place);
    else next.delete(place);
    open.value = next;
  };
  const press = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const here = rows.indexOf(selected.value);
    const place = selected.value;
    const to = (row: number) => select(rows[Math.max(0, Math.min(rows.length - 1, row))]);
    const actions: Record<string, () => void> = {
      ArrowDown: () => to(here + 1), j: () => to(here + 1), ArrowUp: () => to(here - 1), k: () => to(here - 1),
      PageDown: () => to(here + 15), PageUp: () => to(here - 15), Home: () => to(0), End: () => to(rows.length - 1),
      ArrowRight: () => (all.below[place] && !open.value.has(place) ? toggle(place, true) : to(here + 1)),
      ArrowLeft: () => (open.value.has(place) && all.below[place] ? toggle(place, false) : all.parent[place] >= 0 && select(all.parent[place])),
      Enter: () => place >= 0 && zoomTo(place),
    };
    actions.l = actions.ArrowRight;
    actions.h = actions.ArrowLeft;
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  };

  return (
    <div class="outline">
      <div class="controls">
        <span class="soft">{found.value && only.value ? `${plural(found.value.size, "span")} found` : plural(all.count, "span")}</span>
        {found.value && (
          <label><input type="checkbox" checked={only.value} onChange={() => (only.value = !only.value)} /> only what was found</label>
        )}
        <button type="button" class="quiet" onClick={() => (open.value = everything())}>open all</button>
        <button type="button" class="quiet" onClick={() => (open.value = new Set([0]))}>close all</button>
      </div>
      <div
        class="rows"
        ref={box}
        role="tree"
        aria-label="Spans"
        style={{ height: `${Math.max(3, rows.length) * HEIGHT + 2}px` }}
        tabIndex={0}
        aria-activedescendant={selected.value >= 0 ? `row-${selected.value}` : undefined}
        onScroll={(event) => (scroll.value = event.currentTarget.scrollTop)}
        onKeyDown={press}
      >
        <div class="inside" role="presentation" style={{ height: `${rows.length * HEIGHT}px` }}>
          {[...shown].map((place, number) => (
            <OutlineRow key={place} place={place} top={(first + number) * HEIGHT} isOpen={open.value.has(place)} toggle={toggle} />
          ))}
        </div>
      </div>
    </div>
  );

  function initial(): Set<number> {
    if (all.count <= FEW) return everything();
    return new Set(Array.from({ length: all.count }, (_, place) => place).filter((place) => all.depth[place] < 1));
  }

  function everything(): Set<number> {
    return new Set(Array.from({ length: all.count }, (_, place) => place).filter((place) => all.below[place]));
  }
}

function OutlineRow({ place, top, isOpen, toggle }: { place: number; top: number; isOpen: boolean; toggle: (place: number) => void }) {
  const all = spans.value!;
  const length = Math.max(all.length, 1);
  const bad = all.flags[place] & (FAILED | INTERRUPTED);
  const kind = all.kindName(place);
  const dim = emphasis.value !== null && !emphasis.value.has(place);
  const seconds = all.seconds(place);
  const indent = Math.min(all.depth[place], 14) * 14;
  return (
    <div
      id={`row-${place}`}
      class={`row ${bad ? "bad" : ""} ${dim ? "dim" : ""}`}
      role="treeitem"
      aria-level={all.depth[place] + 1}
      aria-expanded={all.below[place] ? isOpen : undefined}
      aria-selected={place === selected.value}
      style={{ top: `${top}px` }}
      onClick={() => select(place)}
      onDblClick={() => zoomTo(place)}
    >
      <span class="name" style={{ paddingLeft: `${indent}px` }}>
        {all.below[place] ? (
          <button
            type="button"
            tabIndex={-1}
            class="twist"
            aria-label={isOpen ? "Close" : "Open"}
            onClick={(event) => {
              event.stopPropagation();
              toggle(place);
            }}
          >
            {isOpen ? "▾" : "▸"}
          </button>
        ) : <span class="twist" />}
        <i class={`mark back-${bad ? "failed" : kind}`} title={kind} />
        <span class="title">{kind === "round" && <b>{whose(place)} </b>}{titleOf(place)}</span>
        {!isOpen && all.below[place] > 0 && <small>{all.below[place].toLocaleString("en-US")}</small>}
      </span>
      <svg class="when" viewBox={`0 0 1000 10`} preserveAspectRatio="none" aria-hidden="true">
        <rect
          x={(all.start[place] / length) * 1000}
          width={Math.max(3, ((all.end[place] - all.start[place]) / length) * 1000)}
          height="10"
          class={`fill-${bad ? "failed" : kind}`}
        />
      </svg>
      <span class="took">{kind === "event" ? `+${duration(all.start[place] / 1e6)}` : seconds === null ? "open" : duration(seconds)}</span>
    </div>
  );
}
