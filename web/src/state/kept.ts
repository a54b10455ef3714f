/** What the reader has chosen, kept for the next visit where the browser lets us. */
import { effect, signal, type Signal } from "@preact/signals";

export function kept<T extends string>(name: string, otherwise: T): Signal<T> {
  let found: string | null = null;
  try {
    found = localStorage.getItem(name);
  } catch {
    // A file that was opened from the disk may have no storage.
  }
  const made = signal((found ?? otherwise) as T);
  effect(() => {
    const { value } = made;
    try {
      localStorage.setItem(name, value);
    } catch {
      // The same.
    }
  });
  return made;
}
