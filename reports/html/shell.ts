import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Status } from "../../harness/model/result.ts";
import { html, raw, type Html } from "./escape.ts";

const read = (name: string): string => readFileSync(new URL(`./page/${name}`, import.meta.url), "utf8");
const style = read("page.css");
const script = read("page.js");

interface Page {
  readonly title: string;
  /** Status for the icon in the browser's tab. */
  readonly status: Status;
  readonly body: Html;
}

/**
 * Renders one HTML file without dependencies: no network, no inline handler, no style attribute. Its CSP allows only its own
 * stylesheet and script by their hashes, so that text that was not escaped by mistake could not run either.
 */
export function renderPage({ title, status, body }: Page): string {
  const policy = `default-src 'none'; style-src '${hash(style)}'; script-src '${hash(script)}'; img-src data:; base-uri 'none'; form-action 'none'`;
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${policy}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="referrer" content="no-referrer" />
        <title>${title}</title>
        <link rel="icon" href="${icon(status)}" />
        ${raw(`<style>${style}</style>`)}
      </head>
      <body>
        ${body} ${raw(`<script>${script}</script>`)}
      </body>
    </html> `.markup;
}

function hash(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}

/** A coloured icon for the browser's tab. */
function icon(status: Status): string {
  const color = {
    passed: "%23147a50",
    failed: "%23c02a1d",
    flaky: "%23c02a1d",
    error: "%237a3fb0",
    "known-failure": "%23147a50",
    skipped: "%23667",
  }[status];
  const path =
    status === "passed" || status === "known-failure"
      ? "M4 8.5l3 3 5.5-7"
      : status === "skipped"
        ? "M4.5 8h7"
        : "M4.5 4.5l7 7m0-7l-7 7";
  return `data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><rect width='16' height='16' rx='4' fill='${color}'/><path d='${path}' fill='none' stroke='white' stroke-width='2'/></svg>`;
}
