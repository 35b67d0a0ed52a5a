import { randomBytes } from "node:crypto";
import { MeshproofError } from "../model/errors.ts";
import { applyManifest, nameOf, parseManifests } from "../mesh/apply.ts";
import { statusOf, type Manifest } from "../mesh/client.ts";
import { readLog } from "../mesh/exec.ts";
import { waitForDeployment } from "../mesh/wait.ts";
import { inLanes } from "../lanes.ts";
import { curlLine, type WireAnswer, type WireRequest } from "../probe/curl.ts";
import type { Answer, AskedResult, CheckResult, StepResult } from "../model/result.ts";
import { substitute, type SubstitutionValues } from "../scenario/index.ts";
import type { AskedSpec, CheckSpec, ManifestFile, Scenario, StepSpec } from "../model/scenario.ts";
import type { TokenPlace, TokenSpec } from "../model/token.ts";
import { sentences } from "../../reports/words.ts";
import type { Token } from "../tokens/factory.ts";
import { attribute, startConvergence, worst, type CheckOutcome } from "../verdict/index.ts";
import { judgeDemands } from "./details.ts";
import { explainFailures } from "./explain.ts";
import { unique, waitInForce, type Awaited, type Change, type InForce, type Judges } from "./in-force.ts";
import { readKeySets } from "./key-sets.ts";
import { sendRound, type PlacedRequest } from "./round.ts";
import type { Place, Session, Target } from "./session.ts";
import { MANAGED_LABEL, outsideHostOf, RUN_LABEL, runLabels } from "./workloads.ts";

/** Rounds in a row that must agree before a step is judged. */
const ROUNDS = 3;

/** How long a JWKS server may leave a mark unanswered. */
const MARK_LIMIT_MS = 10_000;

/** How much of a reply is judged, and how much is kept for reports. */
const BODY_JUDGED = 1_048_576;
const BODY_KEPT = 2_048;

/** Objects that a scenario has in the cluster, by kind, namespace and name. */
export type Applied = Map<string, Manifest>;

interface PlacedToken {
  readonly name: string;
  readonly token: Token;
  readonly places: readonly TokenPlace[];
}

/** A check with where its request is sent from and to. */
interface LocatedCheck {
  readonly spec: CheckSpec;
  readonly place: Place;
  readonly target: Target;
}

interface PreparedCheck extends LocatedCheck {
  readonly tokens: readonly PlacedToken[];
  readonly url: string;
}

/** Applies, waits, probes and judges one step. @throws where the environment, not the mesh's answer, is at fault. */
export async function runStep(
  session: Session,
  scenario: Scenario,
  index: number,
  applied: Applied,
  signal?: AbortSignal,
): Promise<StepResult> {
  const step = scenario.steps[index] as StepSpec;
  const started = performance.now();
  const values = await substitutionValues(session, scenario, index);
  const changes = changesOf(step, values);
  const unclean = index === 0 && needsCleanGround(step) ? await waitForCleanGround(session, step, signal) : undefined;
  if (unclean !== undefined && unclean.problems.length > 0)
    return unjudged(step, unclean, { started, appliedAt: performance.now() });
  const marks = await markServers(session, step);

  await makeChanges(session, changes, applied, signal);
  await waitForOwnWorkloads(session, changes, signal);
  const appliedAt = performance.now();
  // Not before: a step may bring the Service that it asks.
  const located = await inLanes(step.checks, (spec) => locate(session, spec));
  const judges = judgesOf(located.map(({ target }) => target));
  session.accessLog.follow(judges.proxies);
  // A step that changes nothing finds what the one before it left; a scenario's first one, clean ground.
  const found =
    changes.length > 0 || index === 0
      ? await waitInForce(session, awaitedOf(step, located, judges, changes, applied), signal)
      : NOTHING_CHANGED;
  const { objects } = found;
  const inForceAt = performance.now();
  if (found.problems.length > 0) return unjudged(step, found, { started, appliedAt });

  // Not before: the times of a token count from when it is sent.
  const checks = await inLanes(located, (check) => addTokens(session, scenario, check, values));
  const key = `${scenario.id}/${index + 1}`;
  const send = async (round: number, newConnections: boolean, repeat: number): Promise<Answer[][]> => {
    const requests = checks.flatMap((check, i): PlacedRequest[] => {
      const request = wireRequest(check, `meshproof/${session.plan.runId}/${key}.${i + 1}/${round}`);
      return Array.from({ length: repeat }, () => ({ place: check.place, request }));
    });
    const answers = await sendRound(session, requests, { newConnections });
    return checks.map((_, i) =>
      answers
        .slice(i * repeat, (i + 1) * repeat)
        .map((a, n) => toAnswer(a, (requests[i * repeat + n] as PlacedRequest).request)),
    );
  };
  const convergence = startConvergence({
    checks: step.checks,
    rounds: ROUNDS,
    limitMs: inForceAt - appliedAt + session.plan.limitMs,
    inForceMs: inForceAt - appliedAt,
  });
  let round = 0;
  // Before a scenario's first step the one before it took its policies away.
  if ((changes.length > 0 || index === 0) && checks.length > 0) {
    const perTarget = Math.min(
      ...Map.groupBy(checks, (c) => `${c.spec.request.from} ${c.target.url}`)
        .values()
        .map((group) => group.length),
    );
    // A kept-alive connection between two proxies answers once more by the old policy, and each worker of the first pools one.
    const pooling = checks.flatMap(({ place, target }) => [
      ...(place.proxy ? [place.proxy] : []),
      ...target.proxies.filter(({ gateway }) => gateway),
    ]);
    const flushed = await send(0, true, Math.ceil((await session.flushRequests(pooling)) / perTarget));
    convergence.flush(flushed.map((answers) => answers[0] as Answer));
  }
  for (;;) {
    if (checks.length === 0) break;
    const answers = (await send(++round, false, 1)).map((a) => a[0] as Answer);
    if (convergence.add({ atMs: performance.now() - appliedAt, answers }) !== "continue") break;
  }
  const probedAt = performance.now();
  const outcomes = convergence.outcomes();
  const judged = checks.map((check, i) => ({
    ...check,
    result: toResult(session, check, outcomes[i] as CheckOutcome, objects),
    request: wireRequest(check, ""),
  }));
  const results = await explainFailures(session, await judgeDemands(session.accessLog, judged));
  const asked = await inLanes(step.asked, (spec) => judgeAsked(session, step, spec, marks));
  return {
    ...emptyResult(step),
    status: worst([...results, ...asked].map((r) => r.status)),
    objects,
    checks: results,
    asked,
    rounds: round,
    timing: timingOf({ started, appliedAt, inForceAt, probedAt }),
  };
}

const NOTHING_CHANGED: InForce = { objects: [], problems: [] };

/**
 * Whether the scenario before must be out of the proxies before this step changes anything, and not only when the step is judged: a
 * proxy that rejects a config keeps the one before, and what the proxies still have may ask for keys.
 */
function needsCleanGround({ inForce, asked }: StepSpec): boolean {
  return inForce === "rejected" || asked.length > 0;
}

async function waitForCleanGround(session: Session, step: StepSpec, signal?: AbortSignal): Promise<InForce> {
  const located = await inLanes(step.checks, (spec) => locate(session, spec));
  const judges = judgesOf(located.map(({ target }) => target));
  return await waitInForce(session, { changes: [], applied: [], judges, clients: [] }, signal);
}

/** A step that did not get as far as its requests. */
function unjudged(
  step: StepSpec,
  { problems, objects }: InForce,
  { started, appliedAt }: { readonly started: number; readonly appliedAt: number },
): StepResult {
  const now = performance.now();
  return {
    ...emptyResult(step),
    status: "error",
    reason: sentences(problems),
    ...(problems.some(({ kind }) => kind === "foreign-policies") && { foreign: true as const }),
    objects,
    timing: timingOf({ started, appliedAt, inForceAt: now, probedAt: now }),
  };
}

function emptyResult({ name, position, matrices }: StepSpec): Omit<StepResult, "status" | "timing"> {
  return { name, position, objects: [], checks: [], asked: [], matrices, rounds: 0 };
}

function timingOf(at: Record<"started" | "appliedAt" | "inForceAt" | "probedAt", number>): StepResult["timing"] {
  return {
    applyMs: Math.round(at.appliedAt - at.started),
    inForceMs: Math.round(at.inForceAt - at.appliedAt),
    probeMs: Math.round(at.probedAt - at.inForceAt),
    totalMs: Math.round(performance.now() - at.started),
  };
}

function awaitedOf(
  step: StepSpec,
  checks: readonly LocatedCheck[],
  judges: Judges,
  changes: readonly Change[],
  applied: Applied,
): Awaited {
  return {
    changes,
    applied: [...applied.values()],
    judges,
    clients: checks.flatMap(({ place }) => place.proxy ?? []),
    ...(step.inForce && { expects: step.inForce }),
  };
}

/** Removes everything that a scenario still has in the cluster. The next scenario waits until the proxies have let go of it. */
export async function removeApplied(session: Session, applied: Applied): Promise<void> {
  for (const [identity, manifest] of [...applied].reverse()) {
    await session.kube.objects.remove(manifest);
    applied.delete(identity);
  }
}

async function locate(session: Session, spec: CheckSpec): Promise<LocatedCheck> {
  const [place, target] = await Promise.all([session.place(spec.request.from), session.target(spec.request.to)]);
  return { spec, place, target };
}

async function addTokens(
  session: Session,
  scenario: Scenario,
  { spec, place, target }: LocatedCheck,
  values: SubstitutionValues,
): Promise<PreparedCheck> {
  const names = spec.token.split("+").filter((name) => scenario.tokens[name] !== undefined);
  const tokens = await Promise.all(
    names.map(async (name): Promise<PlacedToken> => {
      const described = fillHeader(scenario.tokens[name] as TokenSpec, values);
      const token = await session.tokens.mint(described, spec.variant);
      return { name, token, places: [described.in ?? { header: "Authorization", prefix: "Bearer " }].flat() };
    }),
  );
  const query = tokens.flatMap(({ token, places }) =>
    places.flatMap((at) => ("query" in at ? [`${at.query}=${token.compact}`] : [])),
  );
  const { path } = spec.request;
  const joined = query.length === 0 ? path : `${path}${path.includes("?") ? "&" : "?"}${query.join("&")}`;
  return { spec, place, target, tokens, url: target.url + joined };
}

/** A token's header may point at a host of ours. */
function fillHeader(spec: TokenSpec, { ns, outsideIp }: SubstitutionValues): TokenSpec {
  if (spec.header === undefined) return spec;
  const text = JSON.stringify(spec.header).replaceAll("${ns}", ns).replaceAll("${outside.ip}", outsideIp);
  return { ...spec, header: JSON.parse(text) as Record<string, unknown> };
}

function wireRequest(check: PreparedCheck, userAgent: string): WireRequest {
  return {
    method: check.spec.request.method,
    url: check.url,
    headers: [...headersOf(check), ["User-Agent", userAgent]],
    ...(check.spec.request.protocol && { protocol: check.spec.request.protocol }),
  };
}

function headersOf(check: PreparedCheck): (readonly [string, string])[] {
  const carried = check.tokens.flatMap(({ token, places }) =>
    places.flatMap((at): (readonly [string, string])[] => {
      if ("header" in at) return [[at.header, `${at.prefix ?? ""}${token.compact}${at.suffix ?? ""}`]];
      return "cookie" in at ? [["Cookie", `${at.cookie}=${token.compact}`]] : [];
    }),
  );
  return [...carried, ...check.spec.request.headers];
}

/** A fresh URI per run, scenario and step: istiod keeps the keys of a URI for 20 minutes. */
export async function substitutionValues(
  session: Session,
  scenario: Scenario,
  index: number,
): Promise<SubstitutionValues> {
  const { namespace, outsideNamespace } = session.handle;
  const fresh = `${session.plan.runId}-${scenario.id.replaceAll("/", "-")}-${index + 1}`;
  const files = scenario.steps.flatMap((step) => [...step.apply, ...step.delete]);
  const keySets = await readKeySets(session.tokens, files);
  const outsideIp = scenario.features.includes("outside-host") ? (await session.server("outside-host")).ip : "";
  return {
    ns: namespace,
    outsideIp,
    outsideNs: outsideNamespace,
    outsideHost: outsideHostOf(outsideIp, outsideNamespace),
    jwks: (issuer) => keySets.get(issuer) ?? "",
    jwksUri: (issuer, via) => {
      const host = via
        ? `${via === "outside-https" ? "https" : "http"}://${outsideHostOf(outsideIp, outsideNamespace)}`
        : `http://nginx-proxy.${namespace}.svc.cluster.local:80`;
      return `${host}/jwks/${issuer}/${fresh}`;
    },
  };
}

function changesOf(step: StepSpec, values: SubstitutionValues): Change[] {
  const read = (file: ManifestFile, verb: Change["verb"]): Change[] => {
    const yaml = substitute(file.text, file.file, values);
    return parseManifests(yaml).map((manifest) => ({
      verb,
      manifest,
      file: file.file,
      yaml,
    }));
  };
  return [...step.delete.flatMap((file) => read(file, "delete")), ...step.apply.flatMap((file) => read(file, "apply"))];
}

async function makeChanges(
  session: Session,
  changes: readonly Change[],
  applied: Applied,
  signal?: AbortSignal,
): Promise<void> {
  for (const { verb, manifest } of changes) {
    const identity = identityOf(manifest);
    if (verb === "delete") {
      await session.kube.objects.remove(manifest);
      applied.delete(identity);
      continue;
    }
    // On a cluster that exists, an apply is a creation and refuses by itself.
    if (!applied.has(identity) && session.handle.ours) await refuseForeign(session, manifest);
    applied.set(identity, manifest);
    await applyManifest(session.kube, manifest, {
      labels: runLabels(session.plan.runId),
      ...(signal ? { signal } : {}),
    });
  }
}

/** Kinds that decide where a request goes and who judges it. */
const WORKLOAD_KINDS = new Set(["Service", "Pod", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"]);

/** A step's own Deployments are ready before anything is asked, and what was looked up before it is looked up again. */
async function waitForOwnWorkloads(session: Session, changes: readonly Change[], signal?: AbortSignal): Promise<void> {
  if (!changes.some(({ manifest }) => WORKLOAD_KINDS.has(manifest.kind))) return;
  const deployments = changes.filter(({ verb, manifest }) => verb === "apply" && manifest.kind === "Deployment");
  await inLanes(deployments, async ({ manifest: { metadata } }) =>
    waitForDeployment(
      session.kube,
      metadata.namespace ?? session.handle.namespace,
      metadata.name,
      signal ? { signal } : {},
    ),
  );
  session.forget();
}

/** An object of the same name that this run did not make is somebody's: it must not be replaced and then deleted. */
async function refuseForeign(session: Session, manifest: Manifest): Promise<void> {
  let maker = "was not made by meshproof";
  try {
    const { labels } = (await session.kube.objects.read(manifest)).metadata ?? {};
    const run = labels?.[RUN_LABEL];
    // What belongs to no run is a workload of ours.
    const [label = "", value = ""] = Object.entries(MANAGED_LABEL)[0] ?? [];
    if (run === session.plan.runId || (run === undefined && labels?.[label] === value)) return;
    if (run !== undefined) maker = `was made by another run (${RUN_LABEL}: ${run})`;
  } catch (error) {
    if (statusOf(error) === 404) return;
    throw error;
  }
  throw new MeshproofError("ERR_MANIFEST_REJECTED", `${nameOf(manifest)} exists already and ${maker}`, {
    hint: "remove or rename it, or run on another cluster: meshproof would replace it and delete it afterwards",
  });
}

function identityOf(manifest: Manifest): string {
  return `${manifest.kind} ${manifest.metadata.namespace ?? ""}/${manifest.metadata.name}`;
}

function toAnswer(wire: WireAnswer, request: WireRequest): Answer {
  const headers = Object.fromEntries(
    wire.headers
      .filter(([name]) => /^(server|www-authenticate|content-type|location|x-envoy-.*)$/.test(name))
      .map(([name, value]) => [name, value.slice(0, 500)]),
  );
  const answer = {
    status: wire.status,
    headers,
    body: wire.body.subarray(0, BODY_JUDGED).toString("utf8"),
    totalMs: Math.round(wire.totalMs * 10) / 10,
    userAgent: request.headers.find(([name]) => name === "User-Agent")?.[1] ?? "",
    ...(wire.error ? { error: wire.error } : {}),
  };
  return { ...answer, by: attribute(answer) };
}

/** A request of our own in a JWKS server's log: what stands between two marks belongs to the step. */
type Marks = ReadonlyMap<string, string>;

async function markServers(session: Session, step: StepSpec): Promise<Marks> {
  const marks = new Map<string, string>();
  for (const { server } of step.asked) marks.set(server, await mark(session, server, step));
  return marks;
}

/** @returns the unguessable path that was asked for. */
async function mark(session: Session, server: string, { checks: [check] }: StepSpec): Promise<string> {
  if (!check)
    throw new MeshproofError(
      "ERR_SCENARIO_INVALID",
      "a step with `asked` needs a check, whose place reads the server's log",
    );
  const place = await session.place(check.request.from);
  const { ip } = await session.server(server);
  const host = server === "outside-host" ? ip : `${server}.${session.handle.namespace}`;
  const path = `/mark/${randomBytes(8).toString("hex")}`;
  const request = { method: "GET", url: `http://${host}${path}`, headers: [["User-Agent", "meshproof/mark"]] as const };
  // A proxy on the way may answer 503 for a moment, for a kept-alive connection that has just ended: a mark is no verdict.
  const until = performance.now() + MARK_LIMIT_MS;
  for (;;) {
    const [answer] = await sendRound(session, [{ place, request }], { newConnections: true });
    if (answer?.status === 404) return path;
    if (performance.now() > until) {
      const said = answer?.error ?? `status ${answer?.status} ${answer?.body.toString("utf8").slice(0, 200)}`.trim();
      throw new MeshproofError(
        "ERR_PROBE",
        `the JWKS server ${server} does not answer ${host}${path} from ${place.workload} for ${MARK_LIMIT_MS / 1000} s: ${said}`,
        { hint: `is its pod ready, and does a policy of the scenario forbid ${place.workload} to ask it?` },
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The server's access log writes one JSON object a line (scenarios/workloads). */
interface LogLine {
  readonly uri: string;
  readonly user_agent: string;
}

async function judgeAsked(session: Session, step: StepSpec, spec: AskedSpec, marks: Marks): Promise<AskedResult> {
  const from = marks.get(spec.server) ?? "";
  const to = await mark(session, spec.server, step);
  const where = await session.server(spec.server);
  let lines: LogLine[] = [];
  // The log passes through the kubelet: the second mark has been answered, so it will be there in a moment.
  for (let tries = 0; !lines.some((line) => line.uri === to); tries++) {
    if (tries === 100)
      throw new MeshproofError("ERR_PROBE", `the log of ${spec.server} does not show a request that it answered`);
    if (tries > 0) await new Promise((resolve) => setTimeout(resolve, 50));
    // eslint-disable-next-line no-restricted-syntax -- the API server compares it with the times of log lines
    const text = await readLog(session.kube, where, new Date(Date.now() - 600_000));
    lines = text.split("\n").flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as LogLine] : []));
  }
  const between = lines.slice(
    lines.findIndex((l) => l.uri === from) + 1,
    lines.findIndex((l) => l.uri === to),
  );
  const got = [...new Set(between.filter((l) => !l.user_agent.startsWith("meshproof/")).map(askerOf))];
  const agrees = spec.by === "nobody" ? got.length === 0 : got.length === 1 && got[0] === spec.by;
  return {
    position: spec.position,
    server: spec.server,
    expected: spec.by,
    got,
    status: agrees ? "passed" : "failed",
    ...(agrees
      ? {}
      : {
          reason: `expected ${spec.by} to ask ${spec.server} for keys, its log shows ${got.join(" and ") || "nobody"}`,
        }),
  };
}

/** istiod asks with Go's HTTP client; Envoy's JWKS fetcher sends no User-Agent of its own. */
function askerOf(line: LogLine): string {
  return line.user_agent.startsWith("Go-http-client/") ? "istiod" : "proxy";
}

function toResult(
  session: Session,
  check: PreparedCheck,
  outcome: CheckOutcome,
  objects: StepResult["objects"],
): CheckResult {
  const { spec, tokens } = check;
  const notes = outcome.status === "passed" ? [] : objects.map(({ findings = [] }) => sentences(findings));
  const upstream =
    outcome.status !== "passed" && check.target.readyPods === 0 ? `${spec.request.to} has no ready pod` : undefined;
  const reason = [outcome.reason, upstream, ...notes].filter(Boolean).join("; ");
  const curl = curlLine(
    {
      namespace: check.place.container.namespace,
      workload: check.place.workload,
      container: check.place.container.container,
    },
    { ...wireRequest(check, ""), headers: headersOf(check) },
    tokens.map(({ token }) => token.compact),
  );
  return {
    name: spec.name,
    position: spec.position,
    request: {
      from: spec.request.from,
      to: spec.request.to,
      method: spec.request.method,
      url: session.tokens.redact(check.url),
      token: tokens.map(({ name, token }) => `${name} (${token.words})`).join(" and ") || "no token",
    },
    expected: spec.expect,
    // A workload may echo the token: no signature may get into a report, not even a piece of one.
    got: { ...outcome.got, body: session.tokens.redact(outcome.got.body).slice(0, BODY_KEPT) },
    status: outcome.status,
    ...(reason ? { reason } : {}),
    enforcedMs: Math.round(outcome.enforcedMs),
    changes: outcome.changes,
    ...(outcome.wrong ? { wrong: outcome.wrong } : {}),
    ...(outcome.stale ? { stale: outcome.stale } : {}),
    curl,
    ...(spec.cell ? { cell: spec.cell } : {}),
  };
}

/** Every proxy that judges requests to these targets, once. */
export function judgesOf(targets: readonly Target[]): Judges {
  const proxies = unique(targets.flatMap((target) => target.proxies));
  const known = new Set(proxies.map(({ pod }) => pod));
  return { proxies, behind: unique(targets.flatMap((target) => target.behind)).filter(({ pod }) => !known.has(pod)) };
}

export { worst } from "../verdict/index.ts";
