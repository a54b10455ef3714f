/** The editor of statements: Logfire's tables, columns and keys complete themselves. It stands in a shadow, whose styles need no leave of the page's policy. */
import { autocompletion, closeBrackets, completionKeymap, type CompletionContext } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { PostgreSQL, sql } from "@codemirror/lang-sql";
import { bracketMatching, HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, keymap, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "preact/hooks";
import { isDark } from "../state/theme";
import type { AtHand } from "../state/types";

const theme = (dark: boolean) => [
  EditorView.theme(
    {
      "&": { backgroundColor: "var(--paper)", color: "var(--ink)", fontSize: "13px" },
      "&.cm-focused": { outline: "none" },
      ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55", maxHeight: "340px", minHeight: "128px" },
      ".cm-content": { caretColor: "var(--ink)", padding: "8px 4px" },
      ".cm-tooltip": { backgroundColor: "var(--raise)", border: "1px solid var(--line)", color: "var(--ink)" },
      ".cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent-wash)", color: "var(--ink)" },
      ".cm-completionDetail": { color: "var(--soft)" },
    },
    { dark },
  ),
  syntaxHighlighting(HighlightStyle.define([
    { tag: tags.keyword, color: "var(--agent)" }, { tag: tags.string, color: "var(--answer)" }, { tag: tags.comment, color: "var(--soft)" },
    { tag: [tags.number, tags.bool, tags.null], color: "var(--lost)" }, { tag: tags.operator, color: "var(--soft)" },
  ])),
];

/**
 * The editor has the statement, and tells of each change; `given` is a statement that is to take its place. It is an object, for the text of one that is
 * given again may be the same, and must not be compared with what is just being typed.
 */
export default function Editor({ given, words, change, ask }: {
  given: { text: string };
  words: AtHand;
  change: (text: string) => void;
  ask: () => void;
}) {
  const box = useRef<HTMLDivElement>(null);
  const editor = useRef<EditorView | null>(null);
  const look = useRef(new Compartment());
  const latest = useRef({ change, ask });
  latest.current = { change, ask };
  useEffect(() => {
    const root = box.current!.shadowRoot ?? box.current!.attachShadow({ mode: "open" });
    const schema = Object.fromEntries(Object.entries(words.tables).map(([table, columns]) => [
      table, Object.entries(columns).map(([label, detail]) => ({ label, detail, type: "property" })),
    ]));
    const functions = words.functions.map((label) => ({ label, type: "function", apply: `${label}(` }));
    const columns = [...new Set(Object.values(words.tables).flatMap(Object.keys))].map((label) => ({ label, type: "property" }));
    const keys = words.keys.map((label) => ({ label, type: "constant" }));
    const complete = (context: CompletionContext) => {
      const quoted = context.matchBefore(/'[\w.]*/);
      if (quoted) return { from: quoted.from + 1, options: keys, validFor: /^[\w.]*$/ };
      const word = context.matchBefore(/\w+/);
      return word || context.explicit ? { from: word?.from ?? context.pos, options: [...functions, ...columns], validFor: /^\w*$/ } : null;
    };
    const language = sql({ dialect: PostgreSQL, schema, upperCaseKeywords: true });
    const view = new EditorView({
      root,
      parent: root,
      state: EditorState.create({
        doc: given.text,
        extensions: [
          history(), bracketMatching(), closeBrackets(), autocompletion(), language, PostgreSQL.language.data.of({ autocomplete: complete }),
          placeholder("SELECT … FROM records"), EditorView.lineWrapping, look.current.of(theme(isDark.peek())),
          EditorView.contentAttributes.of({ "aria-label": "SQL statement" }),
          keymap.of([{ key: "Mod-Enter", run: () => (latest.current.ask(), true) }, ...completionKeymap, ...defaultKeymap, ...historyKeymap]),
          EditorView.updateListener.of((update) => update.docChanged && latest.current.change(update.state.doc.toString())),
        ],
      }),
    });
    editor.current = view;
    return () => view.destroy();
  }, [words]);
  useEffect(() => {
    const view = editor.current;
    if (view && view.state.doc.toString() !== given.text) view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: given.text } });
  }, [given]);
  useEffect(() => editor.current?.dispatch({ effects: look.current.reconfigure(theme(isDark.value)) }), [isDark.value]);
  return <div class="editor" ref={box} />;
}
