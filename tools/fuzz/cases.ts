/** Sends generated requests, asks the oracle the same, and compares. */

import type { Explanation, Missing } from "../../harness/model/explanation.ts";
import { secondsNow } from "../../harness/model/seconds.ts";
import { explainRequest, trustDomainOf, type OracleRequest } from "../../harness/oracle/index.ts";
import type { WireAnswer, WireRequest } from "../../harness/probe/curl.ts";
import { sentOn, sentTo, toOracleRequest } from "../../harness/run/explain.ts";
import { sendRound, type PlacedRequest } from "../../harness/run/round.ts";
import type { Token, TokenFactory } from "../../harness/tokens/factory.ts";
import { attribute } from "../../harness/verdict/index.ts";
import { inLanes } from "../../harness/lanes.ts";
import type { Request } from "./arbitraries.ts";
import type { Enforced, PlaceName, Range, Site } from "./range.ts";
import { PLACES, TOKENS } from "./values.ts";

/** A request to a site whose policies are in force. */
export interface Case {
  readonly site: Site;
  readonly enforced: Enforced;
  readonly request: Request;
}

export interface Compared {
  readonly case: Case;
  readonly result: "agree" | "undecided" | "disagree";
  readonly mesh: string;
  readonly oracle: string;
  readonly missing?: Missing;
  readonly asked: OracleRequest;
  readonly explanation: Explanation;
  readonly tokens: readonly Token[];
}

interface Sent {
  readonly placed: PlacedRequest;
  readonly name: string;
  readonly tokens: readonly Token[];
  readonly from: PlaceName;
}

let rounds = 0;

/** What {@link sendAll} has sent; the access log comes later. */
export interface Round {
  readonly number: number;
  readonly cases: readonly Case[];
  readonly sent: readonly Sent[];
  readonly answers: readonly WireAnswer[];
  /** Seconds since 1970. */
  readonly now: number;
}

export async function sendAll(range: Range, cases: readonly Case[]): Promise<Round> {
  const number = ++rounds;
  const { session } = range;
  const now = secondsNow();
  const sent = await inLanes(
    cases,
    async (one, index) => await prepare(range, one, nameOf(range, number, `${index}.`)),
  );
  for (const [i, { name }] of sent.entries()) session.accessLog.expect(name, [cases[i]!.site.proxy]);
  // Connections that clients' sidecars keep give one more answer by the old policies.
  await sendRound(session.curl, await flushes(range, new Set(cases.map(({ site }) => site))));
  const answers = await sendRound(
    session.curl,
    sent.map(({ placed }) => placed),
  );
  return { number, cases, sent, answers, now };
}

async function flushes({ places, session }: Range, sites: ReadonlySet<Site>): Promise<PlacedRequest[]> {
  const headers = [["User-Agent", `meshproof/${session.plan.runId}/0`]] as const;
  const to = (site: Site, from: PlaceName, port: string, h2c: boolean): PlacedRequest => ({
    place: places[from],
    request: { method: "GET", url: `${site.url(port)}/`, headers, ...(h2c && { protocol: "h2c" }) },
  });
  const all = await inLanes(sites, async (site) => {
    const ports = ["http", "grpc", ...(site.entry ? ["tcp"] : [])];
    const both = (from: PlaceName): PlacedRequest[] =>
      ports.flatMap((port) => [false, true].map((h2c) => to(site, from, port, h2c)));
    if (site.owner.kind === "sidecar") return [...both("sleep"), ...both("neighbour")];
    if (site.entry === undefined) return [];
    // Each of its workers keeps connections of its own, and which one takes a request depends on the connection.
    const times = await session.flushRequests([site.entry]);
    return Array.from({ length: times }, () => both("outside")).flat();
  });
  return all.flat();
}

/** What the access logs call a request. */
function nameOf({ session }: Range, round: number, request: string): string {
  return `meshproof/${session.plan.runId}/fuzz/${round}/${request}`;
}

async function prepare(range: Range, { site, request }: Case, name: string): Promise<Sent> {
  const from = site.owner.kind === "sidecar" ? request.from : "outside";
  const tokens = await Promise.all(request.tokens.map(async ({ token }) => await mint(range.session.tokens, token)));
  const headers: [string, string][] = request.headers.map(([name, value]) => [name, value]);
  let path = request.path;
  for (const [i, { place }] of request.tokens.entries()) {
    const carrier = PLACES[place];
    const { compact } = tokens[i]!;
    if ("header" in carrier) headers.push([carrier.header, `${carrier.before}${compact}`]);
    // Behind a fragment it would go with the fragment.
    else path = path.replace(/(?=#|$)/, `${path.includes("?") ? "&" : "?"}${carrier.parameter}=${compact}`);
  }
  // A sidecar chooses the workload by the host, so only a client without one can ask for a strange one.
  if (from === "outside" && request.host !== "") headers.push(["Host", request.host]);
  headers.push(["User-Agent", name]);
  const tcp = isTcp({ site, request });
  const wire: WireRequest = {
    method: request.method,
    url: `${site.url(request.port)}${path}`,
    headers,
    // A connection is judged once.
    ...(tcp ? { closes: true } : request.h2c && { protocol: "h2c" }),
  };
  return { placed: { place: range.places[from], request: wire }, name, tokens, from };
}

async function mint(factory: TokenFactory, name: string): Promise<Token> {
  const { spec, variant } = TOKENS[name]!;
  return await factory.mint(spec, variant);
}

/** Envoy writes its log each second; on a busy machine it takes longer. */
const LOG_MS = 20_000;

/** Once Envoy has written its log. */
export async function compareAll(range: Range, round: Round): Promise<Compared[]> {
  const { cases, sent, answers } = round;
  const { accessLog } = range.session;
  const asked = cases.map((one, i) => ask(one, sent[i]!, round.now));
  // What the codec or a sender's own sidecar refuses has no line that names it.
  const unlogged = ["refused", "undecided"];
  const logged = sent.filter((_, i) => !isTcp(cases[i]!) && !unlogged.includes(asked[i]!.explanation.decision.verdict));
  await accessLog.wait(
    logged.map(({ name }) => name),
    LOG_MS,
  );
  const compared = cases.map((one, i) => compareOne(range, one, asked[i]!, sent[i]!, answers[i]!));
  accessLog.drop(nameOf(range, round.number, ""));
  return compared;
}

export function isTcp({ site, request }: Pick<Case, "site" | "request">): boolean {
  return site.owner.kind === "sidecar" && request.port === "tcp";
}

interface Asked {
  readonly asked: OracleRequest;
  readonly explanation: Explanation;
}

/** What the oracle says: behind a gateway the waypoint's config, of what the gateway sends on. */
function ask({ site, enforced, request }: Case, { placed }: Sent, now: number): Asked {
  const { proxy, entry = proxy, owner } = site;
  const to = owner.kind === "sidecar" ? "site" : "ingress";
  const port = site.ports[request.port];
  const first = enforced.entryDump ?? enforced.dump;
  const asked: OracleRequest = {
    ...toOracleRequest(placed.request, placed.place, entry, to, trustDomainOf(first)),
    ...(port !== undefined && { port }),
  };
  const explanation = explainRequest(first, asked, now);
  if (site.entry === undefined || explanation.decision.verdict !== "admitted") return { asked, explanation };
  const behind = { ...sentOn(asked, entry, proxy, trustDomainOf(enforced.dump)), ...sentTo(explanation) };
  return { asked: behind, explanation: explainRequest(enforced.dump, behind, now) };
}

function compareOne(range: Range, one: Case, asked: Asked, sent: Sent, answer: WireAnswer): Compared {
  const { decision } = asked.explanation;
  const { status, body } = answer;
  const headers = Object.fromEntries(answer.headers);
  const line = range.session.accessLog.find(sent.name);
  const details = "details" in line ? line.details : undefined;
  const grpc = headers["grpc-status"] === undefined ? "" : ` (grpc-status ${headers["grpc-status"]})`;
  const wanted = `${decision.status}${decision.grpcStatus === undefined ? "" : ` (grpc-status ${decision.grpcStatus})`}`;
  const oracle = `${wanted} by ${decision.by}: ${decision.verdict} ${decision.details ?? ""}`;
  const by = attribute({ status, headers, body: body.toString("utf8"), ...(details && { details }) });
  const told = isTcp(one) ? "TCP" : (details ?? answer.error ?? "no line in the log");
  const mesh = `${status}${grpc} by ${by}: ${told}`;
  const common = { case: one, mesh, oracle, ...asked, tokens: sent.tokens };
  if (decision.reason.kind === "undecided") return { ...common, result: "undecided", missing: decision.reason.missing };
  return { ...common, result: agrees() ? "agree" : "disagree" };

  function agrees(): boolean {
    if (isTcp(one)) return (status === 0) === (decision.status === 0);
    // After the policies only a failure on the way to the workload can still answer.
    if (decision.verdict === "admitted") return /^(via_upstream|upstream_)/.test(details ?? "");
    if (`${status}${grpc}` !== wanted) return false;
    // What the sender's own sidecar refuses by the same rule never reaches the judge, nor its log.
    if (details === undefined) return decision.verdict === "refused";
    // Which of several rules Envoy names may not be known.
    return by === decision.by && (decision.details === undefined || details === decision.details);
  }
}
