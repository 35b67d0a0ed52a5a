import assert from "node:assert/strict";
import { it } from "node:test";
import { createStatusLine } from "./status.ts";

function screen(isTTY: boolean): { isTTY: boolean; columns: number; text: string; write(text: string): void } {
  return {
    isTTY,
    columns: 20,
    text: "",
    write(text) {
      this.text += text;
    },
  };
}

it("writes one line per sentence with the elapsed time without a terminal", () => {
  const stream = screen(false);
  let clock = 0;
  const status = createStatusLine(stream, {}, () => clock);
  status.progress("building etcd");
  clock = 61_250;
  status.progress("building etcd");
  status.progress("starting");
  status.clear();
  assert.equal(stream.text, "[   0.0 s] building etcd\n[  61.3 s] starting\n");
});

it("does the same in CI, even with a terminal", () => {
  const stream = screen(true);
  createStatusLine(stream, { CI: "true" }, () => 0).progress("starting");
  assert.equal(stream.text, "[   0.0 s] starting\n");
});

it("redraws one line on a terminal, cut so that it does not wrap, and clears it", () => {
  const stream = screen(true);
  const status = createStatusLine(stream, {}, () => 0);
  status.progress("a sentence that is too long");
  assert.equal(stream.text, "\r\u001b[2K0.0 s  a sentence t");
  stream.text = "";
  status.clear();
  status.clear();
  assert.equal(stream.text, "\r\u001b[2K");
});
