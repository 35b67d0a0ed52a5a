import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { againstExitCode, cellsThatDiffer, type Against } from "../harness/model/against.ts";
import { against } from "../test/recorded/results.ts";
import { describeAgainst, formatAgainst, formatAgainstHtml } from "./against.ts";

const all = against();
const answered: Against = { ...all, versions: all.versions.slice(0, 2) };
const [old, fresh] = answered.versions as [Against["versions"][number], Against["versions"][number]];
const without = (one: typeof old, more: object = {}): typeof old => {
  const { expected: _, ...answer } = one.answer!;
  return { ...one, answer: { ...answer, ...more } };
};

describe("a ticket with several versions", () => {
  it("ends with the worst of the versions", () => {
    const code = (...versions: Against["versions"]) => againstExitCode({ ...all, versions });
    assert.equal(againstExitCode(all), 3, "one could not be started");
    assert.equal(
      code(old, { ...fresh, answer: undefined, problem: { code: "ERR_MANIFEST_REJECTED", message: "no" } }),
      2,
    );
    assert.equal(code(old, without(fresh, { reproduced: false })), 4);
    assert.equal(code(old, fresh), 1, "another answer than the expected one");
    assert.equal(code(without(old), without(fresh)), 1, "the answers differ");
    assert.equal(code(without(fresh), without(fresh)), 0);
    assert.equal(code(old, old), 0);
  });

  it("names the cells that versions answer differently", () => {
    assert.deepEqual(
      cellsThatDiffer(all).map(({ column, cells }) => [column, cells.map((cell) => cell?.status)]),
      [["given", [200, 403, undefined]]],
    );
    assert.deepEqual(cellsThatDiffer({ ...all, versions: [fresh, fresh] }), []);
  });

  it("says what differs, and what has no answer", () => {
    const { istio = "" } = fresh.answer!.versions;
    const differ = `The answers differ: 200 with Istio 1.30.1, 403 by authorization with Istio ${istio}`;
    assert.equal(describeAgainst(all), `${differ}; no answer with Istio 1.29.2`);
    assert.equal(describeAgainst(answered), differ);
    const same = { ...all, versions: [without(old), without(old, { versions: { istio: "1.31.0" } })] };
    assert.equal(describeAgainst(same), "Istio 1.30.1 and 1.31.0 give the same answer, 200");
    const text = formatAgainst(all);
    assert.match(text, /^1\.30\.1 +1\.36\.4 +200 +reproduced, and as expected$/m);
    assert.match(text, /^1\.29\.2 +- +none +could not be asked$/m);
    assert.match(text, /^Istio 1\.29\.2\n {2}the registry cannot be reached$/m);
    assert.match(text, /^ {2}GET \/, given \(the ticket's\) +200 +403 by authorization +-$/m);
  });

  it("has a page with a link to each version's own", () => {
    const page = formatAgainstHtml(all);
    for (const text of ['href="1.30/repro.html"', 'href="1.31/repro.html"', "the registry cannot be reached"])
      assert.ok(page.includes(text), text);
    assert.ok(!page.includes("1.29.2/repro.html"));
  });
});
