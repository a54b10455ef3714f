/** Dark or light, as the system says or as the reader chooses, and the colours of either for what is drawn on a canvas. */
import { computed, effect, signal } from "@preact/signals";
import { kept } from "./kept";

export const choice = kept<"system" | "light" | "dark">("theme", "system");
const dark = matchMedia("(prefers-color-scheme: dark)");
const systemIsDark = signal(dark.matches);
dark.addEventListener("change", () => (systemIsDark.value = dark.matches));
effect(() => {
  if (choice.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice.value;
});

export const isDark = computed(() => (choice.value === "system" ? systemIsDark.value : choice.value === "dark"));

const NAMES = [
  "paper", "wash", "ink", "soft", "line", "accent", "other", "session", "round", "model", "tool", "agent", "answer", "vote", "lost", "failed", "final",
  "round-answer", "round-vote", "round-lost", "round-failed", "on-bar",
] as const;
export type ColourName = (typeof NAMES)[number];
export type Colours = Record<ColourName, string>;

export const colours = computed<Colours>(() => {
  void isDark.value;
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])) as Colours;
});
