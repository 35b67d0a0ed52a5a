/** Compares the oracle with a mesh: generated policies, tokens and requests (`npm run fuzz` has more of them), and `explain` itself. */

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { meshproof } from "../../cli/meshproof.fixture.ts";
import type { Cluster } from "../../clusters/cluster.ts";
import { startEmbedded } from "../../clusters/embedded/embedded.ts";
import type { Explanation } from "../../harness/model/explanation.ts";
import { explainRequest, type OracleRequest } from "../../harness/oracle/index.ts";
import type { Compared } from "../../tools/fuzz/cases.ts";
import { fuzz, type FuzzResult } from "../../tools/fuzz/run.ts";

const ROOT = path.join(import.meta.dirname, "../..");
const NAME = `fuzz-e2e-${process.pid}`;
const CASES = 600;
/** So many requests `explain` is asked about, with a saved config and with the pod's. */
const ASKED = 25;

describe("the oracle and a mesh", () => {
  let folder: string;
  let cluster: Cluster;
  let result: FuzzResult;
  let last: readonly Compared[] = [];
  /** What `explain` printed, and what it must print. */
  const printed: { readonly words: string; readonly got: unknown; readonly wanted: unknown }[] = [];

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "meshproof-fuzz-"));
    cluster = await startEmbedded({ name: NAME, keep: false, progress: () => undefined });
    const atEnd = async (compared: readonly Compared[]): Promise<void> => {
      last = compared;
      // What a gateway sends to a waypoint cannot be given as a request of one's own.
      const inWords = compared.filter(
        ({ asked, case: { site } }) => !site.entry && /^[A-Z]+$/.test(asked.method) && /^\/\S*$/.test(asked.path),
      );
      const some = inWords.filter((_, i) => i % Math.ceil(inWords.length / ASKED) === 0);
      for (const one of some) for (const how of ["offline", "live"] as const) printed.push(await explain(one, how));
    };
    const options = { cases: CASES, seed: 20261129, workloads: 6, scenariosRoot: path.join(ROOT, "scenarios") };
    result = await fuzz(cluster, { ...options, progress: () => undefined, atEnd });
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  async function explain(one: Compared, how: "offline" | "live"): Promise<(typeof printed)[number]> {
    const { site, enforced } = one.case;
    const { protocol: _, ...asked } = one.asked;
    const file = path.join(folder, `${site.owner.name}.json`);
    await writeFile(file, JSON.stringify(enforced.dump));
    const { namespace, pod } = site.proxy;
    const from = how === "live" ? ["--name", NAME, "--pod", `${namespace}/${pod}`] : ["--config-dump", file];
    const { stdout, stderr, exitCode } = await meshproof(["explain", ...from, "--json", ...flagsOf(asked)], {
      cwd: ROOT,
    });
    const words = `${how}: ${JSON.stringify(one.case.request)}`;
    assert.equal(exitCode, 0, `${words}\n${stderr}`);
    const { text, ...got } = JSON.parse(stdout) as Explanation & { readonly text: string };
    assert.ok(text.length > 0);
    for (const { compact } of one.tokens) {
      const signature = compact.split(".")[2] ?? "";
      assert.ok(signature.length < 16 || !stdout.includes(signature), `${words} has a signature`);
    }
    const said = explainRequest(enforced.dump, asked, Date.now() / 1000);
    // A dump has the name of the pod, and what follows a gateway is in other dumps.
    const at = { kind: site.proxy.kind, namespace, name: pod };
    const goesOn = at.kind === "gateway" && said.decision.verdict === "admitted";
    const wanted: unknown = JSON.parse(JSON.stringify({ ...said, at, ...(goesOn && { beyond: "not-known" }) }));
    return { words, got, wanted };
  }

  it(`agree about ${CASES} generated requests`, (test) => {
    const { agree, undecided, disagree, disagreements, missing, answers, objects, kinds, leftOut } = result;
    test.diagnostic(`${agree} agree, ${undecided} undecided, ${disagree} disagree; ${objects} objects were in force`);
    test.diagnostic(JSON.stringify(kinds));
    for (const [fact, times] of missing) test.diagnostic(`${times} times ${fact}`);
    assert.deepEqual(disagreements, []);
    assert.deepEqual(leftOut, []);
    for (const [kind, count] of Object.entries(kinds)) assert.ok(count >= 50, kind);
    assert.equal(agree + undecided, CASES);
    // Each undecided one names the fact that is missing, and they are few.
    assert.ok(![...missing.keys()].includes(""));
    assert.ok(undecided < CASES / 10, `${undecided} undecided`);
    assert.ok(answers.size >= 25, `too little variety: ${JSON.stringify([...answers])}`);
  });

  it("explain prints the same, with a saved config and with the pod's", () => {
    assert.ok(printed.length >= 2 * (ASKED - 5), `${printed.length} asked`);
    for (const { words, got, wanted } of printed) assert.deepEqual(got, wanted, words);
  });

  it("a broken matcher is noticed", () => {
    const broken = last.filter(({ case: { enforced }, asked, explanation }) => {
      const dump: unknown = JSON.parse(
        JSON.stringify(enforced.dump).replaceAll('"not_rule"', '"and_rules"').replaceAll('"prefix":"', '"exact":"'),
      );
      return explainRequest(dump, asked, Date.now() / 1000).decision.details !== explanation.decision.details;
    });
    assert.ok(broken.length > 0);
  });
});

/** The request in the command's options. */
function flagsOf({ method, path: target, authority, headers, ...request }: OracleRequest): string[] {
  const options = {
    "--port": request.port,
    "--peer": request.peer,
    "--source-ip": request.sourceIp,
    "--destination-ip": request.destinationIp,
    "--sni": request.serverName,
  };
  return [
    ...["--request", `${method} http://${authority}${target}`],
    ...headers.flatMap(([name, value]) => ["--header", `${name}: ${value}`]),
    ...Object.entries(options).flatMap(([name, value]) => (value === undefined ? [] : [name, String(value)])),
  ];
}
