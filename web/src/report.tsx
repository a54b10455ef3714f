/** The run's page in a file of its own: what it shows stands in the file, and there is nobody to ask. */
import { render } from "preact";
import { Frame } from "./parts/Frame";
import { RunPage } from "./pages/RunPage";
import "./style.css";

function App() {
  return <Frame><RunPage /></Frame>;
}

render(<App />, document.getElementById("app")!);
