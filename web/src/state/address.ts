/** What is looked at, as the address says it: links, the back button and bookmarks work. In a file of its own it stands behind the `#`. */
import { signal } from "@preact/signals";

export interface Address {
  path: string;
  params: URLSearchParams;
}

/** Whether this is one file that somebody was sent: it has no server to ask. */
export const inFile = document.getElementById("run-data") !== null;

function read(): Address {
  return inFile
    ? { path: "/run", params: new URLSearchParams(location.hash.slice(1)) }
    : { path: location.pathname, params: new URLSearchParams(location.search) };
}

export const address = signal(read());
addEventListener("popstate", () => {
  // In a file, places of the report behind the `#` say nothing of the view.
  if (!inFile || location.hash === "" || location.hash.includes("=")) address.value = read();
});

export function href(path: string, params: Record<string, string | number | null | undefined> = {}): string {
  const said = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) if (value !== null && value !== undefined && value !== "") said.set(key, String(value));
  const query = said.toString();
  return inFile ? `#${query}` : path + (query ? `?${query}` : "");
}

export function go(to: string, replace = false): void {
  history[replace ? "replaceState" : "pushState"](null, "", to);
  address.value = read();
}

/** Changes some parameters of the page that is open; null takes one away. */
export function change(changes: Record<string, string | number | null>, replace = false): void {
  const { path, params } = address.peek();
  const all: Record<string, string | number | null> = Object.fromEntries(params);
  const to = href(path, { ...all, ...changes });
  if (to !== href(path, all)) go(to, replace);
}
