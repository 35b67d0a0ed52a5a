/** Sends a step's requests round by round, until the caller has enough answers. */

import { setTimeout as delay } from "node:timers/promises";
import type { Answer } from "../model/result.ts";
import type { WireAnswer, WireRequest } from "../probe/curl.ts";
import { attribute, type ConvergenceState, type Round } from "../verdict/index.ts";
import { named, type Prepared, type RequestOfCheck } from "./prepare.ts";
import { sendRound, type Curl, type PlacedRequest } from "./round.ts";
import type { Proxies } from "./session.ts";

/** How much of a reply is judged, and how much is kept for reports. */
const BODY_JUDGED = 1_048_576;
export const BODY_KEPT = 2_048;

/** What probing takes of a session. */
export interface ProbingMesh extends Pick<Proxies, "flushRequests"> {
  readonly curl: Curl;
}

/** Looks at the answers: a `Convergence` judges them, an observation only waits until they stay the same. */
export interface Onlooker<Outcome> {
  flush(answers: readonly Answer[]): void;
  add(round: Round): ConvergenceState;
  outcomes(): Outcome[];
}

export interface ProbeOptions {
  /** What the requests are called in access logs: `<prefix>.<request, from 1>/<round>`. */
  readonly prefix: string;
  /** Whether something changed before, so that pooled connections between proxies may still answer by the old policies. */
  readonly changed: boolean;
  /** When the change was made, by `performance.now()`: rounds are timed from then. */
  readonly appliedAt: number;
  /** Headers of the replies that are kept beside those that explain an answer; lower-case names. */
  readonly compared?: ReadonlySet<string>;
  readonly signal?: AbortSignal;
}

export interface Probed<Outcome> {
  /** One for each request. */
  readonly outcomes: Outcome[];
  readonly rounds: number;
}

/** @throws ERR_PROBE where a client cannot send */
export async function probe<Outcome>(
  mesh: ProbingMesh,
  requests: readonly Prepared<RequestOfCheck>[],
  onlooker: Onlooker<Outcome>,
  { prefix, changed, appliedAt, compared, signal }: ProbeOptions,
): Promise<Probed<Outcome>> {
  if (requests.length === 0) return { outcomes: [], rounds: 0 };
  const inRound = (round: number): PlacedRequest[] =>
    requests.map(({ place, request }, i) => ({ place, request: named(request, `${prefix}.${i + 1}/${round}`) }));
  await untilThrough(mesh.curl, requests, inRound, signal);
  const flushes = changed ? await flushesOf(mesh, requests) : 0;
  // The process that flushes also sends the first round. No request of the round uses a connection of the flush.
  let before = inRound(0).flatMap(({ place, request }) =>
    Array.from({ length: flushes }, () => ({ place, request: { ...request, closes: true } })),
  );
  for (let round = 1; ; round++) {
    signal?.throwIfAborted();
    const sent = [...before, ...inRound(round)];
    const answers = (await sendRound(mesh.curl, sent)).map((answer, i) =>
      toAnswer(answer, (sent[i] as PlacedRequest).request, compared),
    );
    if (before.length > 0) onlooker.flush(requests.map((_, i) => answers[i * flushes] as Answer));
    const state = onlooker.add({ atMs: performance.now() - appliedAt, answers: answers.slice(before.length) });
    if (state !== "continue") return { outcomes: onlooker.outcomes(), rounds: round };
    before = [];
  }
}

/** How long {@link untilThrough} may take; then the requests are judged as they are answered. */
const THROUGH_LIMIT_MS = 5_000;
const THROUGH_POLL_MS = 50;

/** Envoy's own answer where a worker has no endpoint (router.cc). */
const NO_ENDPOINT = "no healthy upstream";

/**
 * Sends the requests that must pass a waypoint until the gateway has an endpoint for them. Its workers learn that a waypoint's pod is ready
 * up to a second after its main thread (`common_lb_config.update_merge_window`), which alone can be asked.
 */
async function untilThrough(
  curl: Curl,
  requests: readonly Prepared<RequestOfCheck>[],
  inRound: (round: number) => PlacedRequest[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const asked = inRound(0).filter((_, i) => requests[i]?.target.through !== undefined);
  const until = performance.now() + THROUGH_LIMIT_MS;
  while (asked.length > 0 && performance.now() < until) {
    signal?.throwIfAborted();
    const answers = await sendRound(curl, asked);
    if (!answers.some(({ status, body }) => status === 503 && body.toString("utf8") === NO_ENDPOINT)) return;
    await delay(THROUGH_POLL_MS, undefined, { signal });
  }
}

/**
 * How often each request is sent to flush. A kept-alive connection between two proxies answers once more by the old policy, and
 * each worker of the first pools one for each workload that it sends requests to: a gateway's routes choose that by host and path.
 */
async function flushesOf(mesh: ProbingMesh, requests: readonly Prepared<RequestOfCheck>[]): Promise<number> {
  const ways = Map.groupBy(requests, ({ place, target, request }) => {
    const isRouted = target.proxies.some(({ kind }) => kind === "gateway");
    const host = request.headers.find(([name]) => name.toLowerCase() === "host")?.[1] ?? "";
    return [place.workload, target.url, ...(isRouted ? [host, request.url.split("?")[0]] : [])].join(" ");
  });
  const perWay = Math.min(...ways.values().map((group) => group.length));
  const pooling = requests.flatMap(({ place, target }) => [
    ...(place.proxy ? [place.proxy] : []),
    ...target.proxies.filter(({ kind }) => kind === "gateway"),
  ]);
  return Math.ceil((await mesh.flushRequests(pooling)) / perWay);
}

/** Headers that explain an answer. */
const TELLING = /^(server|www-authenticate|content-type|location|grpc-status|grpc-message|x-envoy-.*)$/;

/** @param compared more headers that are kept, as a check compares them; lower-case names */
function toAnswer(wire: WireAnswer, request: WireRequest, compared: ReadonlySet<string> = new Set()): Answer {
  const headers: Record<string, string> = {};
  for (const [name, value] of wire.headers.filter(([name]) => TELLING.test(name) || compared.has(name)))
    headers[name] = [...(headers[name] === undefined ? [] : [headers[name]]), value].join(", ").slice(0, 500);
  const grpc = headers["grpc-status"] ?? "";
  const body = wire.body.subarray(0, BODY_JUDGED).toString("utf8");
  const answer = {
    status: wire.status,
    ...(/^\d{1,2}$/.test(grpc) && { grpc: Number(grpc) }),
    headers,
    body: body === "" ? (headers["grpc-message"] ?? "") : body,
    totalMs: Math.round(wire.totalMs * 10) / 10,
    userAgent: request.headers.find(([name]) => name === "User-Agent")?.[1] ?? "",
    ...(wire.error ? { error: wire.error } : {}),
    ...(wire.noAnswer && { noAnswer: wire.noAnswer }),
  };
  return { ...answer, by: attribute(answer) };
}
