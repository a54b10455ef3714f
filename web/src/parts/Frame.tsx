/** What stands around every page: where one can go, dark or light, and which keys there are. */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { address, inFile } from "../state/address";
import { choice, isDark } from "../state/theme";
import { Link } from "./ui";

export const help = signal(false);

const PAGES: [string, string][] = [["/", "Runs"], ["/sql", "SQL"], ["/dashboards", "Dashboards"], ["/compare", "Compare"]];

export function Frame({ children }: { children: preact.ComponentChildren }) {
  const { path } = address.value;
  return (
    <>
      <a class="skip" href="#content">To the content</a>
      <nav class="top" aria-label="Pages">
        {inFile ? <><a href="#content" aria-current="page">Run</a><a href="#report">Report in words</a></> : PAGES.map(([to, title]) => (
          <Link key={to} to={to} current={path === to || (to === "/" && path !== "/sql" && path !== "/dashboards" && path !== "/compare")}>{title}</Link>
        ))}
        <span class="space" />
        <button type="button" class="quiet" onClick={() => (help.value = true)} aria-label="Keys" title="Keys (?)">?</button>
        <button
          type="button"
          class="quiet"
          onClick={() => (choice.value = isDark.value ? "light" : "dark")}
          aria-label={isDark.value ? "Light colours" : "Dark colours"}
          title={isDark.value ? "Light colours" : "Dark colours"}
        >
          {isDark.value ? "☀" : "☾"}
        </button>
      </nav>
      <div id="content">{children}</div>
      <Help />
    </>
  );
}

const KEYS: [string, string][] = [
  ["w / s", "zoom in, out"], ["a / d", "move to the left, to the right"], ["0", "all of the run"], ["z", "zoom to the selected span"],
  ["← → ↑ ↓", "in the timeline: next to it, its parent, its first child"], ["j / k", "in the list: next, previous; h / l close and open"],
  ["/", "search"], ["n / N", "next, previous match"], ["e / E", "next, previous error"], ["c", "critical path"], ["p", "replay"], ["Esc", "close the details"],
];

function Help() {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (help.value && !box.current?.open) box.current?.showModal();
    if (!help.value) box.current?.close();
  }, [help.value]);
  return (
    <dialog ref={box} class="help" aria-label="Keys" onClose={() => (help.value = false)}>
      <h2>Keys</h2>
      <dl>{KEYS.map(([keys, what]) => <div key={keys}><dt>{keys}</dt><dd>{what}</dd></div>)}</dl>
      <p class="soft">With the mouse: drag over a time to zoom into it, Ctrl and the wheel zoom, Shift and the wheel move, a double click zooms to a span.</p>
      <button type="button" onClick={() => (help.value = false)}>close</button>
    </dialog>
  );
}
