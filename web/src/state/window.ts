/** How far back one looks, and how wide the steps of a chart over that time are. */
export const WINDOWS = { "1h": "the last hour", "24h": "the last day", "7d": "the last week", "30d": "the last month", all: "all times" } as const;
export type Window = keyof typeof WINDOWS;
export const RESOLUTIONS: Record<Window, string> = { "1h": "1 minute", "24h": "15 minutes", "7d": "3 hours", "30d": "12 hours", all: "1 minute" };
const HOURS: Record<Window, number | null> = { "1h": 1, "24h": 24, "7d": 168, "30d": 720, all: null };

export function sinceOf(window: Window): string | null {
  const hours = HOURS[window] ?? null;
  return hours === null ? null : new Date(Date.now() - hours * 3_600_000).toISOString();
}
