import assert from "node:assert/strict";
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { writeJournal, type ObjectRecord } from "../../harness/mesh/journal.ts";
import { joinJournals } from "./clean-up.ts";
import { clusterJournalOf, readClusterJournal } from "./cluster-journal.ts";
import {
  beginJournal,
  differenceOf,
  endJournal,
  isAlive,
  journalFolder,
  listJournals,
  openJournal,
  type JournalHead,
} from "./journal.ts";
import { judgeInventory, ownership, type Made } from "./remove.ts";

describe("the journal of a run", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "meshproof-existing-journal-test-"));
  const outside = process.env["XDG_STATE_HOME"];
  before(() => void (process.env["XDG_STATE_HOME"] = folder));
  after(() => {
    if (outside === undefined) delete process.env["XDG_STATE_HOME"];
    else process.env["XDG_STATE_HOME"] = outside;
    rmSync(folder, { recursive: true });
  });
  beforeEach(() => {
    assert.ok(journalFolder().startsWith(folder), "never the user's own");
    rmSync(journalFolder(), { recursive: true, force: true });
  });

  const CLUSTER = { server: "https://a.example", ca: "c0ffee", uid: "u-1" };
  const head = (run: string): Omit<JournalHead, "process"> => ({
    run,
    namespaces: [`meshproof-${run}`],
    meshWide: false,
    inCluster: clusterJournalOf(run),
    context: "c",
    allowExec: [],
    cluster: CLUSTER,
  });
  const record = (name: string, more: Partial<ObjectRecord> = {}): ObjectRecord => ({
    ...{ apiVersion: "v1", kind: "ConfigMap", namespace: "n", name, nonce: "nonce-of-the-run" },
    ...more,
  });

  describe("journals of this machine", () => {
    test("survive their process, and a line that was cut off", () => {
      const file = beginJournal(head("r1"));
      writeJournal(file, record("x"));
      appendFileSync(file, '{"apiVersion":"v1","ki');
      writeJournal(file, record("y"));
      const [journal] = listJournals().journals;
      assert.equal(journal?.head.run, "r1");
      assert.deepEqual(journal?.objects, [record("x"), record("y")]);
      assert.equal(journal?.unreadable, 1);
      assert.equal(isAlive(journal.head), true);
      const { process: its } = journal.head;
      assert.equal(isAlive({ ...journal.head, process: { ...its!, started: "0" } }), false, "another of the same id");
      endJournal(file);
      assert.deepEqual(listJournals(), { journals: [], broken: [] });
    });

    test("that are broken are reported, and do not prevent the use of others", () => {
      mkdirSync(journalFolder(), { recursive: true, mode: 0o700 });
      for (const [name, text] of [
        ["a", ""],
        ["b", "garbage\n"],
        ["c", '{"run":"r","pid":7,"context":"c","namespaces":[]}\n'],
      ] as const)
        writeFileSync(path.join(journalFolder(), `${name}.jsonl`), text);
      beginJournal(head("r2"));
      const { journals, broken } = listJournals();
      assert.deepEqual(
        journals.map((journal) => journal.head.run),
        ["r2"],
      );
      assert.equal(broken.length, 3);
      assert.match(broken[1] ?? "", /b\.jsonl: its first record does not name its run and its cluster$/);
    });

    test("that cannot be started leave no file", () => {
      mkdirSync(path.join(journalFolder(), "r3.jsonl"), { recursive: true });
      assert.throws(() => beginJournal(head("r3")));
      rmSync(journalFolder(), { recursive: true });
      writeFileSync(journalFolder(), "a file where the folder should be");
      assert.throws(() => beginJournal(head("r3")));
      rmSync(journalFolder());
      assert.equal(existsSync(journalFolder()), false);
    });
  });

  test("a cluster is the same by its server, its authority and the uid of kube-system, all three", () => {
    assert.equal(differenceOf(CLUSTER, { ...CLUSTER }), undefined);
    assert.match(differenceOf(CLUSTER, { ...CLUSTER, uid: "u-2" }) ?? "", /its uid of kube-system was u-1 and is u-2/);
    assert.match(differenceOf(CLUSTER, { ...CLUSTER, server: "https://b" }) ?? "", /its server was/);
    assert.match(differenceOf(CLUSTER, { ...CLUSTER, ca: "" }) ?? "", /its certificate authority .* is not known/);
    const unverified = { ...CLUSTER, ca: "" };
    assert.equal(differenceOf(unverified, { ...unverified }), undefined, "insecure-skip-tls-verify, which was told");
    assert.match(differenceOf({ ...CLUSTER, uid: "" }, { ...CLUSTER, uid: "" }) ?? "", /was not known/);
  });

  describe("whose an object is", () => {
    const made = (more: Partial<Made>): Made => ({ run: "r", namespaces: [], objects: [], claims: [], ...more });
    const found = (metadata: object) => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "x", ...metadata } });
    const marks = {
      labels: { "meshproof.dev/run": "r" },
      annotations: { "meshproof.dev/nonce": "nonce-of-the-run" },
    };

    test("its uid proves it, or its nonce while the uid is not known", () => {
      const objects = [record("x"), record("x", { uid: "1" })];
      assert.equal(ownership(made({ objects }), record("x"), found({ uid: "1" })), "own");
      assert.equal(ownership(made({ objects }), record("x"), found({ uid: "2" })), undefined);
      assert.equal(ownership(made({ objects: [record("x")] }), record("x"), found({ uid: "2", ...marks })), "own");
      assert.equal(ownership(made({ objects }), record("y"), found({ uid: "1" })), undefined, "another name");
    });

    test("a label alone never proves it", () => {
      const look = found({ uid: "2", labels: marks.labels });
      assert.equal(ownership(made({ objects: [record("x", { uid: "1" })] }), record("x"), look), undefined);
      assert.equal(ownership(made({ claims: [record("x", { uid: "1" })] }), record("x"), look), undefined);
    });

    test("the object must confirm a journal in the cluster, since another user may have written that", () => {
      const claims = [record("x", { uid: "1" })];
      assert.equal(ownership(made({ claims }), record("x"), found({ uid: "1", ...marks })), "own");
      assert.equal(ownership(made({ claims }), record("x"), found({ uid: "1" })), "claimed");
      const other = { labels: { "meshproof.dev/run": "s" }, annotations: marks.annotations };
      assert.equal(ownership(made({ claims }), record("x"), found({ uid: "1", ...other })), "claimed");
    });

    test("both journals of a run are one", () => {
      const local = openJournal(beginJournal(head("r1")));
      const remote = { run: "r2", namespaces: ["m"], objects: [record("z")], uid: "u" };
      const runs = joinJournals([local], { journals: [remote, { ...remote, run: "r1" }], foreign: [] });
      assert.deepEqual(
        runs.map(({ made: { run, claims, objects }, file }) => [
          run,
          claims.length,
          objects.length,
          file !== undefined,
        ]),
        [
          ["r1", 1, 0, true],
          ["r2", 1, 0, false],
        ],
      );
    });
  });

  describe("an inventory", () => {
    const made: Made = { run: "r", namespaces: [], objects: [record("x", { uid: "1" })], claims: [], journalUid: "j" };
    const labelled = (name: string, uid: string, nonce = "") => ({
      ...{ apiVersion: "v1", kind: "ConfigMap", namespace: "n", run: "r" },
      ...{ name, uid, nonce },
    });

    test("proves it if no object of the run is left", () => {
      const proof = judgeInventory(made, { found: [labelled("journal", "j")], kinds: 70, unlisted: [] });
      assert.deepEqual(proof, { kinds: 70, left: [], told: [] });
    });
    test("names the objects that are left, and those that only look like the run's", () => {
      const found = [labelled("x", "1"), labelled("y", "9", "nonce-of-the-run"), labelled("theirs", "2")];
      const { left, told } = judgeInventory(made, { found, kinds: 70, unlisted: [] });
      assert.deepEqual(left, ["ConfigMap n/x", "ConfigMap n/y"]);
      assert.match(told.join(), /did not create it although it has its label: ConfigMap n\/theirs$/);
    });
    test("of nothing proves nothing", () => {
      assert.match(judgeInventory(made, { found: [], kinds: 0, unlisted: [] }).doubt ?? "", /listed no kind at all/);
    });
    test("without a kind that the run used proves nothing; another kind is reported", () => {
      const node = { group: "", kind: "Node", why: "forbidden" };
      const without = (unlisted: typeof node) => judgeInventory(made, { found: [], kinds: 70, unlisted: [unlisted] });
      assert.match(without({ ...node, kind: "ConfigMap" }).doubt ?? "", /ConfigMap \(forbidden\)$/);
      assert.equal(without(node).doubt, undefined);
      assert.deepEqual(without(node).told, ["not listed, and no kind that run r created: Node"]);
      assert.equal(without({ ...node, group: "x.example", kind: "ConfigMap" }).doubt, undefined, "of another group");
    });
  });

  test("a ConfigMap is a journal only if the API server's managedFields name meshproof", () => {
    const data = { head: JSON.stringify({ run: "r", namespaces: ["n"] }), k: JSON.stringify(record("x")), odd: "{" };
    const fields = (manager: string) => [{ manager, fieldsV1: { "f:data": { "f:head": {} } } }];
    const metadata = {
      ...{ name: clusterJournalOf("r").name, uid: "u", labels: { "meshproof.dev/run": "r" } },
      managedFields: fields("meshproof"),
    };
    assert.deepEqual(readClusterJournal({ metadata, data }), {
      ...{ run: "r", namespaces: ["n"], uid: "u", objects: [record("x")] },
    });
    for (const [what, other] of [
      ["written by kubectl", { metadata: { ...metadata, managedFields: fields("kubectl") }, data }],
      ["written by x", { metadata: { ...metadata, managedFields: fields("x") }, data }],
      ["of another name", { metadata: { ...metadata, name: "x" }, data }],
      ["of another label", { metadata: { ...metadata, labels: {} }, data }],
      ["without a head", { metadata, data: { k: data.k } }],
      ["with a head that is not JSON", { metadata, data: { head: "{" } }],
    ] as const)
      assert.equal(readClusterJournal(other), undefined, what);
  });
});
