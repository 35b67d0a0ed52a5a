import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, beforeEach, describe, test } from "node:test";
import { asObjectRecord, keyOf, readJournal, writeJournal, type Write } from "./journal.ts";

describe("the journal of mesh-wide objects", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "meshproof-journal-test-"));
  const file = path.join(folder, "j.jsonl");
  after(() => rmSync(folder, { recursive: true }));
  beforeEach(() => rmSync(file, { force: true }));

  /** A disk with room for this many bytes. */
  const disk = (room: number): Write => {
    let left = room;
    return (descriptor, bytes, offset) => {
      const some = Math.min(left, bytes.length - offset);
      left -= some;
      return some === 0 ? 0 : writeSync(descriptor, bytes, offset, some);
    };
  };

  test("a record that is written in several pieces is whole", () => {
    writeJournal(file, { a: 1 }, (descriptor, bytes, offset) => writeSync(descriptor, bytes, offset, 1));
    assert.deepEqual(readJournal(file), { records: [{ a: 1 }], unreadable: 0 });
  });

  test("on a full disk writing fails, and the partial record does not damage another one", () => {
    const length = Buffer.byteLength(`\n${JSON.stringify({ torn: "record" })}\n`);
    for (let room = 0; room < length; room++) {
      rmSync(file, { force: true });
      writeJournal(file, { before: 1 });
      assert.throws(() => writeJournal(file, { torn: "record" }, disk(room)), { code: "ERR_JOURNAL" });
      writeJournal(file, { after: 2 });
      const { records, unreadable } = readJournal(file);
      const whole = room === length - 1 ? [{ torn: "record" }] : [];
      assert.deepEqual(records, [{ before: 1 }, ...whole, { after: 2 }], `${room} bytes`);
      assert.equal(unreadable, room <= 1 || whole.length > 0 ? 0 : 1, `${room} bytes`);
    }
  });

  test("lines that are not records are counted, and the other lines are read", () => {
    writeFileSync(file, '{"a":1}\n');
    appendFileSync(file, '{"b":\nnull\n7\n"text"\n\n');
    writeJournal(file, { c: 3 });
    assert.deepEqual(readJournal(file), { records: [{ a: 1 }, { c: 3 }], unreadable: 4 });
  });

  test("two processes that write at once do not share a line", () => {
    for (let index = 0; index < 20; index++) writeJournal(file, { index });
    assert.equal(readFileSync(file, "utf8").split("\n\n").length, 20);
  });

  test("only a line that names an object is an object record", () => {
    const record = { apiVersion: "v1", kind: "ConfigMap", namespace: "n", name: "x", nonce: "f" };
    assert.deepEqual(asObjectRecord(record), record);
    for (const wrong of [
      null,
      "text",
      [],
      { ...record, nonce: undefined },
      { ...record, uid: 7 },
      { ...record, name: null },
    ])
      assert.equal(asObjectRecord(wrong), undefined);
  });

  test("an object has the same key under each version of its API, and another key in another group", () => {
    const ref = { apiVersion: "security.istio.io/v1", kind: "AuthorizationPolicy", namespace: "n", name: "x" };
    assert.equal(keyOf(ref), keyOf({ ...ref, apiVersion: "security.istio.io/v1beta1" }));
    assert.notEqual(keyOf(ref), keyOf({ ...ref, apiVersion: "other.example/v1" }));
    assert.notEqual(keyOf(ref), keyOf({ ...ref, namespace: "m" }));
  });
});
