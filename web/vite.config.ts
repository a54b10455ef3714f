import { readdirSync, readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

/** What the licences of the libraries ask for: their texts go with what is built of them. */
function licences(): Plugin {
  return {
    name: "licences",
    generateBundle(_, bundle) {
      const folders = new Set<string>();
      for (const chunk of Object.values(bundle))
        for (const id of chunk.type === "chunk" ? chunk.moduleIds : []) {
          const found = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id.replaceAll("\\", "/").replace(/^\0/, ""));
          if (found) folders.add(found[0]);
        }
      const texts = [...folders].sort().map((folder) => {
        const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
        const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
        return `${name} ${version} (${license})\n\n${file ? readFileSync(`${folder}/${file}`, "utf8").trim() : ""}\n`;
      });
      this.emitFile({ type: "asset", fileName: "licenses.txt", source: texts.join(`\n${"-".repeat(80)}\n\n`) });
    },
  };
}

// Two builds: the pages that the server serves, and the run's page as one script for the file that `massgen-tracing report` writes.
export default defineConfig(({ mode }) => {
  const dist = "../massgen_tracing/views/web/dist";
  const common = { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 700 };
  return mode === "report"
    ? {
        plugins: [licences()],
        define: { "process.env.NODE_ENV": '"production"' },
        build: {
          ...common,
          outDir: `${dist}/report`,
          emptyOutDir: true,
          lib: { entry: "src/report.tsx", formats: ["iife" as const], name: "report", fileName: () => "report.js", cssFileName: "report" },
        },
      }
    : { base: "/", plugins: [licences()], build: { ...common, outDir: dist, emptyOutDir: true } };
});
