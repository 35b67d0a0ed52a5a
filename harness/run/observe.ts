/** What a mesh answers, and why, where nothing is expected of it. */

import { MeshproofError } from "../model/errors.ts";
import type { Manifest } from "../mesh/client.ts";
import type { Answer, AppliedObject } from "../model/result.ts";
import type { Scenario, StepSpec } from "../model/scenario.ts";
import type { Observation } from "../model/ticket.ts";
import { describeDisturbance, sentences } from "../../reports/words.ts";
import { withDetails, type Round } from "../verdict/index.ts";
import type { AccessLog } from "./access-log.ts";
import { changesOf, makeChanges, removeApplied, type Applied } from "./changes.ts";
import { explain, type ExplainingMesh } from "./explain.ts";
import { untilReachable } from "./endpoints.ts";
import { waitInForce } from "./in-force.ts";
import type { Proxy } from "./places.ts";
import { prepare, type Prepared } from "./prepare.ts";
import { BODY_KEPT, probe, type Onlooker, type ProbeOptions, type ProbingMesh } from "./probe.ts";
import { openLookout } from "./restarts.ts";
import type { Session } from "./session.ts";
import { apply, ROUNDS } from "./step.ts";
import { stepValues } from "./substitution.ts";

/** How long answers may go on to change. */
const LIMIT_MS = 5_000;

/** How long a proxy's own answer, or none, may turn into another one: a way to a new workload is open a moment later than its policies. */
const UNSURE_MS = 1_500;

/** What observing takes of a session. */
export interface ObservedMesh extends ProbingMesh, ExplainingMesh {
  readonly accessLog: Pick<AccessLog, "expect" | "find" | "wait">;
}

/**
 * Sends requests until three rounds in a row bring the same answers, or until a limit, and says what the judging proxies' own
 * config makes of each. Judges nothing.
 */
export async function observe(
  mesh: ObservedMesh,
  requests: readonly Prepared[],
  options: ProbeOptions,
): Promise<Observation[]> {
  const dumps = new Map<Proxy, Promise<unknown>>();
  const dump = (proxy: Proxy): Promise<unknown> => {
    const found = dumps.get(proxy) ?? mesh.dump(proxy);
    dumps.set(proxy, found);
    return found;
  };
  const { outcomes } = await probe(mesh, requests, watchAnswers(), options);
  const agents = outcomes.map(({ got }) => got.userAgent ?? "");
  for (const [index, { target }] of requests.entries()) {
    // A line of the gateway's says nothing of the waypoint behind it, which may write later.
    mesh.accessLog.expect(agents[index] ?? "", target.through?.proxies ?? target.proxies);
    if (target.proxies[0]) dump(target.proxies[0]).catch(() => undefined); // reported where it is awaited
  }
  await mesh.accessLog.wait(agents);
  const seen = requests.map((request, index) => {
    const { got, settled } = outcomes[index] as Seen;
    const { to } = request.spec.request;
    const { through, proxies } = request.target;
    const agent = got.userAgent ?? "";
    const passed = through && !("missing" in mesh.accessLog.find(agent, through.proxies));
    return { ...request, to, settled, passed, got: withDetails(got, mesh.accessLog.find(agent, proxies), to) };
  });
  const said = await explain({ ...mesh, dump }, seen);
  return seen.map(({ spec, request, tokens, got, settled, passed, curl }, index): Observation => {
    const { from, to, method } = spec.request;
    const explanation = said[index];
    return {
      request: { from, to, method, url: mesh.tokens.redact(request.url), tokens },
      got: { ...got, body: mesh.tokens.redact(got.body).slice(0, BODY_KEPT) },
      settled,
      ...(passed !== undefined && { passed }),
      curl,
      ...(explanation !== undefined && { explanation }),
      ...(spec.cell && { cell: spec.cell }),
    };
  });
}

/** A request's last answer, and whether it had stayed the same. */
interface Seen {
  readonly got: Answer;
  readonly settled: boolean;
}

/** Waits until answers stay the same. Exported for its tests. */
export function watchAnswers(): Onlooker<Seen> {
  let last: readonly Answer[] = [];
  let since: number[] = [];
  let count = 0;
  const settled = (): boolean[] => since.map((round) => count - round + 1 >= ROUNDS);
  return {
    flush: () => undefined,
    add({ atMs, answers }: Round) {
      count++;
      since = answers.map((answer, index) => (isSame(answer, last[index]) ? (since[index] ?? count) : count));
      last = answers;
      const unsure = answers.some(({ by }) => by === "proxy" || by === "nobody");
      if (settled().every(Boolean) && (!unsure || atMs >= UNSURE_MS)) return "settled";
      return count >= ROUNDS && atMs >= LIMIT_MS ? "gave-up" : "continue";
    },
    outcomes: () => last.map((got, index) => ({ got, settled: settled()[index] === true })),
  };
}

function isSame(one: Answer, other: Answer | undefined): boolean {
  return one.status === other?.status && one.by === other.by;
}

export interface ObservedStep {
  readonly objects: readonly AppliedObject[];
  readonly observations: readonly Observation[];
  /** What stays in the cluster, with `keep`. */
  readonly kept: readonly Manifest[];
}

/**
 * Applies a scenario's first step, observes what the mesh answers to its requests, and removes what it applied.
 * @param options.keep whether what was applied stays, unless this fails
 * @param options.keyServers the proxies of workloads that serve keys. They have everything else of the step before a
 *   RequestAuthentication is applied, since istiod asks them for keys at once, and their policies may refuse it.
 * @param options.services the Services with a cluster IP: before anything is asked, the proxies on the way know their pods
 * @throws MeshproofError ERR_PROBE where nothing can be said: the proxies do not have what was applied, or something died
 */
export async function observeStep(
  session: Session,
  scenario: Scenario,
  {
    keyServers,
    services = [],
    keep = false,
    signal,
  }: {
    readonly keyServers: readonly Proxy[];
    readonly services?: Parameters<typeof untilReachable>[2];
    readonly keep?: boolean;
    readonly signal?: AbortSignal;
  },
): Promise<ObservedStep> {
  const step = scenario.steps[0] as StepSpec;
  const applied: Applied = new Map();
  session.forget();
  const lookout = await openLookout(session, scenario);
  try {
    const values = await stepValues(session, scenario, 0);
    const changes = changesOf(step, values);
    const rest = changes.filter(({ manifest }) => manifest.kind !== "RequestAuthentication");
    if (keyServers.length > 0 && rest.length < changes.length) {
      await makeChanges(session, rest, applied, signal);
      const judges = { proxies: keyServers, behind: [] };
      const before = { changes: [], judges, clients: [], applied: [...applied.values()] };
      const { problems } = await waitInForce(session, before, signal);
      if (problems.length > 0) throw new MeshproofError("ERR_PROBE", sentences(problems));
    }
    const { problems, objects, located, appliedAt } = await apply(
      session,
      { step, changes, applied, changed: true },
      signal,
    );
    if (problems.length > 0) throw new MeshproofError("ERR_PROBE", sentences(problems));
    const onTheWay = located.flatMap(({ place, target }) => [
      ...(place.proxy === undefined ? [] : [place.proxy]),
      ...target.proxies.filter(({ kind }) => kind === "gateway"),
    ]);
    const proxies = new Map(onTheWay.map((proxy) => [`${proxy.namespace}/${proxy.pod}`, proxy]));
    await untilReachable(session.kube, [...proxies.values()], services);
    const requests = await prepare(session, located, scenario, values);
    const prefix = `meshproof/${session.plan.runId}/${scenario.id}/1`;
    const observations = await observe(session, requests, {
      prefix,
      changed: true,
      appliedAt,
      ...(signal && { signal }),
    });
    const disturbed = await lookout.close();
    if (disturbed.length > 0)
      throw new MeshproofError("ERR_PROBE", disturbed.map((one) => describeDisturbance(one)).join("; "));
    const kept = keep ? [...applied.values()] : [];
    if (keep) applied.clear();
    return { objects, observations, kept };
  } finally {
    await removeApplied(session, applied);
  }
}
