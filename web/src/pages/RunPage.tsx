import { useEffect } from "preact/hooks";
import { keys } from "../keys";
import { RunView } from "../parts/Run";
import { follow, told } from "../state/run";

export function RunPage() {
  useEffect(keys, []);
  useEffect(follow, []);
  const title = told.value?.whole_question ?? told.value?.run;
  useEffect(() => {
    document.title = title ? `${title.slice(0, 80)} · massgen_tracing` : "massgen_tracing";
  }, [title]);
  return <RunView />;
}
