/** A whole run: batches of generated cases, counts, and each kind of disagreement made small. */

import fc from "fast-check";
import { stringify } from "yaml";
import type { Cluster } from "../../clusters/cluster.ts";
import { redact } from "../../harness/safe/redact.ts";
import type { ProxyKind } from "../../harness/verdict/attachment.ts";
import { describeMissing, formatExplanation } from "../../reports/explanation.ts";
import { aim } from "./aim.ts";
import { generated } from "./arbitraries.ts";
import { compareAll, sendAll, type Case, type Compared, type Round } from "./cases.ts";
import { openRange, type Range } from "./range.ts";
import { shrink, type Disagreement } from "./shrink.ts";

export interface FuzzOptions {
  readonly cases: number;
  readonly seed: number;
  /** How many workloads have policies of their own at a time, beside the gateway. */
  readonly workloads: number;
  readonly scenariosRoot: string;
  /** A minute by default: a machine that does much else is slow. */
  readonly inForceLimitMs?: number;
  readonly progress: (words: string) => void;
  /** Is given the last batch while its policies are still in force. */
  readonly atEnd?: (last: readonly Compared[]) => Promise<void>;
}

export interface FuzzResult {
  readonly agree: number;
  readonly undecided: number;
  readonly disagree: number;
  /** Requests by the kind of the proxy that judges them. */
  readonly kinds: Readonly<Record<ProxyKind, number>>;
  /** Sites that were left out from then on, as their proxies did not take their config, and why. */
  readonly leftOut: readonly string[];
  /** Each missing fact by its kind, and how often. */
  readonly missing: ReadonlyMap<string, number>;
  /** What the mesh answered, without names, and how often. */
  readonly answers: ReadonlyMap<string, number>;
  /** How many objects were in force, and how many the API server refused. */
  readonly objects: number;
  readonly refused: number;
  /** Seconds from the first batch to the last, without starting the cluster. */
  readonly seconds: number;
  /** One of each kind, made small. */
  readonly disagreements: readonly string[];
}

/** Requests for each set of policies. */
const REQUESTS = 25;
/** So many kinds of disagreements are made small. */
const KINDS = 6;

export async function fuzz(cluster: Cluster, options: FuzzOptions): Promise<FuzzResult> {
  const { cases, seed, workloads, scenariosRoot, progress, inForceLimitMs = 60_000 } = options;
  const runId = `fuzz${Date.now().toString(36)}`;
  const range = await openRange(cluster, { count: workloads, runId, scenariosRoot, progress, inForceLimitMs });
  try {
    const sets = fc.sample(generated(REQUESTS), { seed, numRuns: Math.ceil(cases / REQUESTS) });
    const tally = newTally();
    const kinds = new Map<string, Disagreement>();
    const start = performance.now();
    let last: readonly Compared[] = [];
    const leftOut: string[] = [];
    const leaveOut = (name: string, problem: string): void => {
      leftOut.push(`${name}: ${problem}`);
      progress(`left out from now on: ${leftOut.at(-1)}`);
    };
    const judge = async (
      round: Round,
      policies: ReadonlyMap<Case["site"], Disagreement["policies"]>,
    ): Promise<void> => {
      last = await compareAll(range, round);
      for (const one of last) {
        tally.add(one);
        const { site, request } = one.case;
        const kind = `${unnamed(one.mesh)} | ${unnamed(one.oracle)}`;
        if (one.result !== "disagree" || kinds.has(kind)) continue;
        progress(show(one));
        kinds.set(kind, { site, request, policies: policies.get(site)!, compared: one });
      }
    };
    // While the log of a batch is being written, the next one gets its policies.
    let pending: (() => Promise<void>) | undefined;
    let sites = range.sites;
    for (let at = 0; at < sets.length;) {
      const batch = sets.slice(at, at + sites.length).map((set, i) => ({ ...set, site: sites[i]! }));
      const policies = new Map(batch.map((set) => [set.site, set.policies]));
      const enforced = await range.enforce(policies);
      for (const { manifests, refused } of enforced.values()) tally.objects(manifests.length, refused.length);
      for (const [{ owner }, { problem }] of enforced) if (problem !== undefined) leaveOut(owner.name, problem);
      const good = batch.filter(({ site }) => enforced.get(site)!.problem === undefined);
      if (good.length === 0) throw new Error(`no proxy has taken its config\n${leftOut.join("\n")}`);
      // What they were to be asked is asked elsewhere.
      const again = batch.filter((one) => !good.includes(one));
      sites = sites.filter((site) => enforced.get(site)?.problem === undefined);
      sets.push(...again);
      const todo = good.flatMap(({ site, requests, policies: own }) =>
        requests.map((one): Case => ({ site, enforced: enforced.get(site)!, request: aim(one, own) })),
      );
      const round = await sendAll(range, todo);
      await pending?.();
      pending = () => judge(round, policies);
      progress(`${at * REQUESTS} of ${sets.length * REQUESTS}: ${tally.words()}`);
      at += batch.length;
    }
    await pending?.();
    const seconds = (performance.now() - start) / 1000;
    await options.atEnd?.(last);
    return { ...tally.result(), leftOut, seconds, disagreements: await makeSmall(range, kinds, progress) };
  } finally {
    await range.close();
  }
}

async function makeSmall(
  range: Range,
  kinds: ReadonlyMap<string, Disagreement>,
  progress: (words: string) => void,
): Promise<string[]> {
  const small: string[] = [];
  for (const found of [...kinds.values()].slice(0, KINDS)) {
    progress(`making a disagreement smaller: ${found.compared.mesh}, not ${found.compared.oracle}`);
    const least = await shrink(range, found);
    small.push(least === undefined ? `once only, not again:\n${show(found.compared)}` : show(least.compared));
    progress(small.at(-1)!);
  }
  return small;
}

/** A disagreement for a person: objects, request, both answers, and what the oracle read. No signature of a token. */
function show({ case: { site, enforced, request }, mesh, oracle, explanation }: Compared): string {
  const short = (key: string, value: unknown): unknown => (key === "jwks" ? "(the issuer's keys)" : value);
  const plain = JSON.parse(JSON.stringify(enforced.manifests, short)) as readonly unknown[];
  const objects = plain.map((one) => stringify(one, { lineWidth: 0 })).join("---\n");
  return redact(
    [
      `at ${site.owner.namespace}/${site.owner.name}`,
      objects,
      `request ${JSON.stringify(request)}`,
      `mesh    ${mesh}`,
      `oracle  ${oracle}`,
      formatExplanation(explanation),
    ].join("\n"),
  );
}

/** Without the names of objects and rules. */
function unnamed(answer: string): string {
  return answer.replaceAll(/ns\[.*?\]-policy\[.*?\]-rule\[\d+\]/g, "rule");
}

function newTally() {
  const counts = { agree: 0, undecided: 0, disagree: 0 };
  const kinds = { sidecar: 0, gateway: 0, waypoint: 0 };
  const missing = new Map<string, number>();
  const answers = new Map<string, number>();
  let [objects, refused] = [0, 0];
  const count = (map: Map<string, number>, key: string): void => void map.set(key, (map.get(key) ?? 0) + 1);
  return {
    add(one: Compared): void {
      counts[one.result]++;
      kinds[one.case.site.owner.kind]++;
      count(answers, unnamed(one.mesh));
      if (one.missing) count(missing, kindOf(one.missing));
    },
    objects(inForce: number, rejected: number): void {
      objects += inForce;
      refused += rejected;
    },
    words: () => `${counts.agree} agree, ${counts.undecided} undecided, ${counts.disagree} disagree`,
    result: () => ({ ...counts, kinds, missing, answers, objects, refused }),
  };
}

/** The missing fact without what it is about. */
function kindOf(missing: NonNullable<Compared["missing"]>): string {
  if (missing.kind === "external-authorizer") return "the external authorizer of a CUSTOM rule decides";
  if (missing.kind === "forwarded-for") return "X-Forwarded-For has no address where the client's is expected";
  return unnamed(describeMissing(missing));
}
