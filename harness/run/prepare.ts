/** From what a check describes to the request that is sent. */

import { curlLine, type WireRequest } from "../probe/curl.ts";
import type { SubstitutionValues } from "../scenario/index.ts";
import type { CheckSpec, ClientTls, Expectation, Scenario } from "../model/scenario.ts";
import type { CheckResult } from "../model/result.ts";
import type { TokenPlace, TokenSpec } from "../model/token.ts";
import type { Token, TokenFactory } from "../tokens/factory.ts";
import { inLanes } from "../lanes.ts";
import type { Place, Places, Target } from "./places.ts";

/** A request of a scenario, without its expectation. */
export type RequestOfCheck = Pick<CheckSpec, "request" | "token" | "variant">;

/** A check with where its request is sent from and to. */
export interface Located<Spec extends RequestOfCheck = CheckSpec> {
  readonly spec: Spec;
  readonly place: Place;
  readonly target: Target;
}

/** A check whose request can be sent. */
export interface Prepared<Spec extends RequestOfCheck = CheckSpec> extends Located<Spec> {
  /** With every token where it belongs, and without a User-Agent. */
  readonly request: WireRequest;
  /** The tokens by name, in words. */
  readonly tokens: CheckResult["request"]["tokens"];
  /** The stand-alone command, with `$TOKEN` for the token. */
  readonly curl: string;
}

/** What making requests takes of a session. */
export interface Minting {
  readonly tokens: Pick<TokenFactory, "mint">;
}

interface PlacedToken {
  readonly name: string;
  readonly token: Token;
  readonly places: readonly TokenPlace[];
}

/** Looks up where requests are sent from and to. After the step's changes: it may bring the Service that it asks. */
export async function locate<Spec extends RequestOfCheck>(
  places: Places,
  specs: readonly Spec[],
): Promise<Located<Spec>[]> {
  return await inLanes(specs, async (spec) => {
    const [place, target] = await Promise.all([places.place(spec.request.from), places.target(spec.request)]);
    return { spec, place, target };
  });
}

/**
 * Mints the tokens and writes the requests. As late as can be: the times of a token count from when it is sent.
 * @param second the time from which they count instead, in seconds since 1970
 */
export async function prepare<Spec extends RequestOfCheck>(
  { tokens }: Minting,
  located: readonly Located<Spec>[],
  { tokens: described }: Pick<Scenario, "tokens">,
  values: Pick<SubstitutionValues, "ns" | "outsideIp">,
  second?: number,
): Promise<Prepared<Spec>[]> {
  return await inLanes(located, async (one): Promise<Prepared<Spec>> => {
    const { spec, place, target } = one;
    const names = spec.token.split("+").filter((name) => described[name] !== undefined);
    const placed = await Promise.all(
      names.map(async (name): Promise<PlacedToken> => {
        const filled = fillHeader(described[name] as TokenSpec, values);
        const token = await tokens.mint(filled, spec.variant, second);
        return { name, token, places: [filled.in ?? { header: "Authorization", prefix: "Bearer " }].flat() };
      }),
    );
    const request = requestOf(spec, target, placed);
    const { namespace, container } = place.container;
    return {
      ...one,
      request,
      tokens: placed.map(({ name, token }) => ({ name, words: token.words })),
      curl: curlLine(
        { namespace, workload: place.workload, container },
        request,
        placed.map(({ token }) => token.compact),
      ),
    };
  });
}

/** Where a client connects that uses another name of the target, or speaks TLS. */
export function reachedBy(
  { url, connectTo }: Pick<Target, "url" | "connectTo">,
  host: string | undefined,
  tls: ClientTls | undefined,
): Pick<Target, "url" | "connectTo"> {
  const [, scheme = "http", own = "", port = scheme === "https" ? ":443" : ":80"] =
    /^(https?):\/\/([^/:]+)(:\d+)?$/.exec(url) ?? [];
  if (host === undefined && tls === undefined) return { url, ...(connectTo !== undefined && { connectTo }) };
  const name = host ?? own;
  const to = connectTo ?? `${name}${port}`;
  const shown = tls?.serverName ?? name;
  return {
    url: `${tls === undefined ? scheme : "https"}://${shown}${port}`,
    ...((connectTo !== undefined || shown !== name) && { connectTo: to }),
  };
}

/** The request as it is sent, called so in access logs. */
export function named(request: WireRequest, userAgent: string): WireRequest {
  return { ...request, headers: [...request.headers, ["User-Agent", userAgent]] };
}

function requestOf({ request }: RequestOfCheck, target: Target, tokens: readonly PlacedToken[]): WireRequest {
  const { method, path, requestTarget, protocol, host, tls } = request;
  const query = tokens.flatMap(({ token, places }) =>
    places.flatMap((at) => ("query" in at ? [`${at.query}=${token.compact}`] : [])),
  );
  const join = (target: string): string =>
    query.length === 0 ? target : `${target}${target.includes("?") ? "&" : "?"}${query.join("&")}`;
  const carried = tokens.flatMap(({ token, places }) =>
    places.flatMap((at): (readonly [string, string])[] => {
      if ("header" in at) return [[at.header, `${at.prefix ?? ""}${token.compact}${at.suffix ?? ""}`]];
      return "cookie" in at ? [["Cookie", `${at.cookie}=${token.compact}`]] : [];
    }),
  );
  const { url, connectTo } = reachedBy(target, host, tls);
  return {
    method,
    url: url + join(path),
    ...(requestTarget !== undefined && { requestTarget: join(requestTarget) }),
    headers: [...carried, ...request.headers],
    ...(protocol && { protocol }),
    ...(tls !== undefined && { maxTls: "1.2" }),
    ...(connectTo !== undefined && { connectTo }),
  };
}

/** Headers of replies may name the namespace of the workloads. */
export function fillExpectation(expect: Expectation, { ns }: Pick<SubstitutionValues, "ns">): Expectation {
  if (expect.headers === undefined) return expect;
  const filled = Object.entries(expect.headers).map(([name, wanted]) => [
    name,
    typeof wanted === "string" ? wanted.replaceAll("${ns}", ns) : wanted,
  ]);
  return { ...expect, headers: Object.fromEntries(filled) as NonNullable<Expectation["headers"]> };
}

/** A token's header may name one of meshproof's own hosts. */
function fillHeader(spec: TokenSpec, { ns, outsideIp }: Pick<SubstitutionValues, "ns" | "outsideIp">): TokenSpec {
  if (spec.header === undefined) return spec;
  const text = JSON.stringify(spec.header).replaceAll("${ns}", ns).replaceAll("${outside.ip}", outsideIp);
  return { ...spec, header: JSON.parse(text) as Record<string, unknown> };
}
