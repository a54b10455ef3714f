import { useSignal } from "@preact/signals";
import { render, type ComponentType } from "preact";
import { useEffect } from "preact/hooks";
import { Frame } from "./parts/Frame";
import { Problem, Waiting } from "./parts/ui";
import { RunPage } from "./pages/RunPage";
import { RunsPage } from "./pages/RunsPage";
import { address } from "./state/address";
import { Refused } from "./state/source";
import "./style.css";

/** Pages that few look at first, each a file of its own. */
const LATER: Record<string, () => Promise<{ default: ComponentType }>> = {
  "/sql": () => import("./pages/SqlPage"),
  "/dashboards": () => import("./pages/DashboardsPage"),
  "/compare": () => import("./pages/ComparePage"),
};

function Later({ path }: { path: string }) {
  const page = useSignal<{ shown: ComponentType } | Refused | null>(null);
  useEffect(() => {
    LATER[path]().then(
      (found) => (page.value = { shown: found.default }),
      () => (page.value = new Refused("This page cannot be loaded.", "Is `massgen-tracing view` still running?")),
    );
  }, []);
  if (page.value instanceof Refused) return <main class="page"><Problem error={page.value} whole /></main>;
  if (!page.value) return <main class="page"><Waiting>One moment …</Waiting></main>;
  const Shown = page.value.shown;
  return <Shown />;
}

function Page() {
  const { path } = address.value;
  if (path === "/") return <RunsPage />;
  if (path in LATER) return <Later key={path} path={path} />;
  return <RunPage />; // also an address as Logfire's links are
}

function App() {
  return <Frame><Page /></Frame>;
}

render(<App />, document.getElementById("app")!);
