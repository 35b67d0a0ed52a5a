import type { Answer } from "../model/result.ts";
import type { Decision, Explanation, ProviderFact, RouteFact, RuleFact } from "./types.ts";

/** Leads an explanation that does not agree with the mesh: another version of Envoy may read the same config otherwise. */
export const OTHERWISE = "The mesh answered otherwise than meshproof reads this config: ";

/** A 401 was wanted where nothing looks at tokens. */
const NO_TOKENS =
  " No RequestAuthentication is in force at this proxy for this request, so no token is looked at and nothing answers 401.";

/**
 * Whether a decision is not the one that an answer shows. What a workload answers is its own matter, but that it answers is not.
 */
export function contradicts({ verdict, status }: Decision, got: Pick<Answer, "by" | "status">): boolean {
  if (verdict === "undecided") return false;
  if (verdict !== "admitted") return status !== got.status || got.by === "workload";
  // Behind the policies nothing but a failure on the way to the workload is left (502, 503, 504).
  return got.by !== "workload" && !(got.by === "proxy" && got.status > 500);
}

/**
 * The explanation for a person: the decision first, then each provider and each rule in the order in which Envoy asks them.
 * @param expected the status that a check wanted: what it wants of a filter that is not there is said at once
 */
export function formatExplanation(explanation: Explanation, expected?: number): string {
  const { decision, listener, path, route, providers, rules } = explanation;
  const verdict = {
    admitted: "The request goes through to the workload",
    denied: `The request is denied by ${decision.by} with ${decision.status}`,
    refused: decision.status === 0 ? "The request gets no answer" : `The proxy itself answers ${decision.status}`,
    answered: `The proxy itself answers ${decision.status}`,
    undecided: "It cannot be told what happens to the request",
  }[decision.verdict];
  return [
    `${verdict}: ${decision.why}.${expected === 401 && explanation.filtersAsked && !explanation.tokensAsked ? NO_TOKENS : ""}`,
    ...(decision.details === undefined ? [] : [`  Envoy says ${decision.details}`]),
    "",
    `judged at  ${listener}`,
    `path       ${path}`,
    ...(route === undefined ? [] : [`route      ${describeRoute(route)}`]),
    ...(explanation.filtersAsked ? filters(providers, rules) : []),
  ].join("\n");
}

/** What each filter said, in the order in which Envoy asks them. */
function filters(providers: readonly ProviderFact[], rules: readonly RuleFact[]): string[] {
  return [
    ...section("Tokens", providers.flatMap(describeProvider), "no RequestAuthentication is in force here"),
    ...section("Policies, in order", rules.flatMap(describeRule), "no AuthorizationPolicy is in force here"),
  ];
}

function describeRoute(route: RouteFact): string {
  switch (route.kind) {
    case "cluster":
      return `to ${route.cluster} (${route.config})`;
    case "answer":
      return `answers ${route.status} (${route.config})`;
    case "none":
      return `none in ${route.config}`;
    case "unknown":
      return "not known here";
  }
}

function section(title: string, lines: readonly string[], none: string): string[] {
  return ["", title, ...(lines.length === 0 ? [`  ${none}`] : lines)];
}

function describeProvider(provider: ProviderFact): string[] {
  const keys = {
    inline:
      provider.keyList
        .map(({ kid, kty, alg }) => [`kid ${kid ?? "-"}`, kty, alg].filter(Boolean).join(" "))
        .join(", ") || "none",
    remote: `fetched by the proxy from ${provider.uri}`,
    placeholder: "istiod's placeholder: it could not fetch the jwksUri, and no token fits",
  }[provider.keys];
  return [
    `  ${provider.accepted === true ? "✓" : provider.accepted === false ? "✗" : "·"} issuer ${provider.issuer}: ${provider.found}`,
    `      looks in  ${provider.places.join(", ")}`,
    ...(provider.audiences.length === 0 ? [] : [`      audiences ${provider.audiences.join(", ")}`]),
    `      keys      ${keys}`,
  ];
}

function describeRule({ name, action, dryRun, matched, fields }: RuleFact): string[] {
  const sign = matched === true ? "✓ matches" : matched === false ? "✗ does not match" : "· undecided";
  return [
    `  ${sign}  ${action}${dryRun ? " (dry run)" : ""} ${name}`,
    ...fields.map(
      ({ field, wanted, got, agrees }) => `      ${agrees ? "✓" : "✗"} ${field} is ${got}, wanted is ${wanted}`,
    ),
  ];
}
