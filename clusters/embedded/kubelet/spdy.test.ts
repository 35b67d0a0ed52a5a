import assert from "node:assert/strict";
import { test } from "node:test";
import { type SpdyFrame, SpdyReader, SpdyWriter } from "./spdy.ts";

// Written by Go's spdystream 0.5.1: two SYN_STREAM frames of one connection (error stream 1, data stream 3) and a DATA frame.
const FROM_GO =
  "800300010000003e0000000100000000000078f9e3c6a7c202253a703a2b294a4dcc851625aca9a0808614cb45e01c60616061c0c0c0c0590489c64c50f2663400000000ffff800300010000001800000003000000000000c2aa19540e2512d60b000000ffff000000030100000568656c6c6f";

function read(pieces: readonly Buffer[]): Promise<SpdyFrame[]> {
  const frames: SpdyFrame[] = [];
  const reader = new SpdyReader((frame) => frames.push(frame));
  return Promise.all(pieces.map((piece) => reader.push(piece))).then(() => frames);
}

test("reads the streams that client-go opens, however the bytes are cut", async () => {
  const bytes = Buffer.from(FROM_GO, "hex");
  const expected = [
    {
      kind: "open",
      stream: 1,
      headers: new Map([
        ["port", "8080"],
        ["requestid", "0"],
        ["streamtype", "error"],
      ]),
      last: false,
    },
    {
      kind: "open",
      stream: 3,
      headers: new Map([
        ["port", "8080"],
        ["requestid", "0"],
        ["streamtype", "data"],
      ]),
      last: false,
    },
    { kind: "data", stream: 3, data: Buffer.from("hello"), last: true },
  ];
  const sorted = (frames: SpdyFrame[]): unknown[] =>
    frames.map((f) => (f.kind === "open" ? { ...f, headers: new Map([...f.headers].sort()) } : f));
  assert.deepEqual(sorted(await read([bytes])), expected);
  assert.deepEqual(sorted(await read([...bytes].map((byte) => Buffer.from([byte])))), expected);
});

test("writes replies that carry one zlib stream, data, resets and pings", () => {
  const writer = new SpdyWriter();
  const hex = (frame: Buffer): string => frame.toString("hex");
  // Go's spdystream 0.5.1 reads these as SynReplyFrame 1 and 3 without headers.
  assert.equal(hex(writer.reply(1)), "8003000200000014000000017801000400fbff00000000000000ffff");
  assert.equal(hex(writer.reply(3)), "8003000200000012000000030004" + "00fbff00000000000000ffff");
  assert.equal(hex(writer.data(3, "abc", false)), "0000000300000003616263");
  assert.equal(hex(writer.data(1, "", true)), "0000000101000000");
  assert.equal(hex(writer.reset(3)), "80030003000000080000000300000005");
  assert.equal(hex(writer.ping(7)), "800300060000000400000007");
});
