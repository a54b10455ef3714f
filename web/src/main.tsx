import { render } from "preact";
import { lazy, Suspense } from "preact/compat";
import { Frame } from "./parts/Frame";
import { Waiting } from "./parts/ui";
import { RunPage } from "./pages/RunPage";
import { RunsPage } from "./pages/RunsPage";
import { address } from "./state/address";
import "./style.css";

const SqlPage = lazy(() => import("./pages/SqlPage"));
const DashboardsPage = lazy(() => import("./pages/DashboardsPage"));
const ComparePage = lazy(() => import("./pages/ComparePage"));

function Page() {
  switch (address.value.path) {
    case "/":
      return <RunsPage />;
    case "/sql":
      return <SqlPage />;
    case "/dashboards":
      return <DashboardsPage />;
    case "/compare":
      return <ComparePage />;
    default: // also an address as Logfire's links are
      return <RunPage />;
  }
}

function App() {
  return <Frame><Suspense fallback={<main class="page"><Waiting>One moment …</Waiting></main>}><Page /></Suspense></Frame>;
}

render(<App />, document.getElementById("app")!);
