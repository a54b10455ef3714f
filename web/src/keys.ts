/** The keys of a run's page; nothing is taken from a field that is typed into. */
import { change } from "./state/address";
import { help } from "./parts/Frame";
import { zoomTo } from "./parts/Timeline";
import { fit, nextError, nextFound, onPath, pan, play, select, selected, spans, zoom } from "./state/run";

const ACTIONS: Record<string, () => void> = {
  w: () => zoom(0.6), s: () => zoom(1 / 0.6), a: () => pan(-0.25), d: () => pan(0.25), 0: fit,
  z: () => selected.peek() >= 0 && zoomTo(selected.peek()),
  n: () => nextFound(1), N: () => nextFound(-1), e: () => nextError(1), E: () => nextError(-1),
  c: () => change({ path: onPath.peek() ? null : 1 }), p: play,
  Escape: () => select(-1),
};

export function keys(): () => void {
  const press = (event: KeyboardEvent) => {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest?.("input, textarea, select, dialog, [contenteditable]")) return;
    if (event.key === "?") help.value = true;
    else if (event.key === "/") document.getElementById("search")?.focus();
    else if (spans.peek() && ACTIONS[event.key]) ACTIONS[event.key]();
    else return;
    event.preventDefault();
  };
  addEventListener("keydown", press);
  return () => removeEventListener("keydown", press);
}
