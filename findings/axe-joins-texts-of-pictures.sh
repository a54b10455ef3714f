#!/bin/sh
# axe-core 4.14.1, seen on 2026-11-29: `label-content-name-mismatch` and the lines of a button in an SVG. Needs Chromium.
#
# The good guess: the rule compares a button's accessible name with the words that one sees on it; two `<text>` elements, one below the other, are two lines.
# Seen: their texts are joined with nothing between them, so that "answer 1" and "round 0" are "answer 1round 0", which no name has. A blank between the
# elements, which is drawn nowhere, mends it.
# Ends with 1 if any of this is no longer so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund axe-core@4.14.1 playwright-core@1.65.1
cat >asked.cjs <<'JS'
const {chromium} = require("playwright-core");
const {readFileSync} = require("fs");
const picture = (between) =>
  `<!doctype html><html lang="en"><title>t</title><main><h1>t</h1><svg width="200" height="60"><g role="button" tabindex="0" aria-label="answer 1 round 0; of a">
  <rect width="90" height="40" fill="#fff"></rect><text x="9" y="18">answer 1</text>${between}<text x="9" y="34">round 0</text></g></svg></main></html>`;
(async () => {
  const browser = await chromium.launch({executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"]});
  const page = await browser.newPage();
  const found = [];
  for (const between of ["", " "]) {
    await page.setContent(picture(between));
    await page.evaluate(readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
    found.push(await page.evaluate(async () => (await axe.run(document, {runOnly: ["label-content-name-mismatch"]})).violations.length));
  }
  await browser.close();
  console.log(`violations of two texts side by side: ${found[0]}, with a blank between them: ${found[1]}`);
  process.exit(found[0] === 1 && found[1] === 0 ? 0 : 1);
})();
JS
node asked.cjs
