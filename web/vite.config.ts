import { defineConfig } from "vite";

// Two builds: the pages that the server serves, and the run's page as one script for the file that `massgen-tracing report` writes.
export default defineConfig(({ mode }) => {
  const dist = "../massgen_tracing/views/web/dist";
  const common = { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 700 };
  return mode === "report"
    ? {
        define: { "process.env.NODE_ENV": '"production"' },
        build: {
          ...common,
          outDir: `${dist}/report`,
          emptyOutDir: true,
          lib: { entry: "src/report.tsx", formats: ["iife" as const], name: "report", fileName: () => "report.js", cssFileName: "report" },
        },
      }
    : { base: "/", build: { ...common, outDir: dist, emptyOutDir: true, license: { fileName: "LICENSES.md" } } };
});
