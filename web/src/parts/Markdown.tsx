/** Texts of models and people as Markdown. Tags stand there as they were written: nothing that a span says is markup. */
import DOMPurify from "dompurify";
import MarkdownIt from "markdown-it";
import { useMemo, useState } from "preact/hooks";
import { Copy, Long } from "./ui";

const reader = new MarkdownIt({ html: false, linkify: false, breaks: true });
// A picture would be asked for at another host, and say there that the run was looked at.
reader.disable("image");
// Their headings are none of the page's, which has its own order of them.
reader.renderer.rules.heading_open = () => '<p class="heading">';
reader.renderer.rules.heading_close = () => "</p>";
const asks = new Set(["src", "srcset", "background", "style"]);
DOMPurify.addHook("uponSanitizeAttribute", (_, data) => {
  if (asks.has(data.attrName)) data.keepAttr = false;
});
DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "A") {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow");
  }
});

export function html(text: string): string {
  return DOMPurify.sanitize(reader.render(text), { FORBID_TAGS: ["img", "style", "form", "input"], ADD_ATTR: ["target"] });
}

function Rendered({ text }: { text: string }) {
  const made = useMemo(() => html(text), [text]);
  return <div class="markdown" dangerouslySetInnerHTML={{ __html: made }} />;
}

/** What somebody has said, to be read; as it is where that is asked for. */
export function Said({ text, json = false }: { text: string; json?: boolean }) {
  const [raw, setRaw] = useState(json);
  return (
    <div class="said">
      <Long text={text}>{(shown) => (raw ? <pre>{shown}</pre> : <Rendered text={shown} />)}</Long>
      <div class="tools">
        {!json && <button type="button" class="quiet" aria-pressed={raw} onClick={() => setRaw(!raw)}>raw</button>}
        <Copy text={text} />
      </div>
    </div>
  );
}
